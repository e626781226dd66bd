import { isIP, SocketAddress } from "node:net";
import type { OriginalDstRules } from "../../config/clusters.ts";
import { originalDestinationKey } from "../../config/stream-data.ts";
import { filterStateObject } from "../log/filter-state.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import { readMetadata } from "../match/metadata-match.ts";
import { parseIpPort } from "./host-entry.ts";

interface Overrides {
	/** undefined: the stream has no headers. */
	readonly header: ((name: string) => string | undefined) | undefined;
	/** A metadata value or a header that is no `ip:port`: it is passed over. */
	onInvalid(): void;
}

export function isHostAddress(text: string): boolean {
	const parsed = parseIpPort(text);
	return parsed !== undefined && isIP(parsed.address) !== 0;
}

/** In the form of RFC 5952; undefined: it is no `ip:port`. */
export function canonicalAddress(text: string): string | undefined {
	const parsed = parseIpPort(text);
	if (parsed === undefined || isIP(parsed.address) === 0) return undefined;
	if (isIP(parsed.address) === 4) return text;
	const { address, port } = new SocketAddress({ ...parsed, family: "ipv6" });
	return `[${address}]:${port}`;
}

/** Where an ORIGINAL_DST cluster is to send a stream, `ip:port`: as the filter state says, metadata, a header, else where the client wanted to go (Envoy's order). */
export function originalDestination(rules: OriginalDstRules | undefined, info: StreamInfo, { header, onInvalid }: Overrides): string {
	const valid = (text: string | undefined) => {
		if (text === undefined || isHostAddress(text)) return text;
		onInvalid();
		return undefined;
	};
	const said = filterStateObject(info, originalDestinationKey)?.text;
	if (rules === undefined) return said ?? info.connection.localAddress;
	const named = said ?? valid(metadataText(rules.metadata, info)) ?? valid(rules.header === undefined ? undefined : header?.(rules.header));
	const destination = named ?? info.connection.localAddress;
	return rules.port === undefined ? destination : destination.replace(/\d+$/, String(rules.port));
}

/** Of the stream, else of its connection; of a list the first value counts. */
function metadataText(key: OriginalDstRules["metadata"], info: StreamInfo): string | undefined {
	if (key === undefined) return undefined;
	for (const metadata of [info.dynamicMetadata, info.connection.dynamicMetadata]) {
		const found = readMetadata(metadata, key.namespace, key.path);
		const value: unknown = Array.isArray(found) ? found[0] : found;
		if (typeof value === "string") return value;
	}
	return undefined;
}
