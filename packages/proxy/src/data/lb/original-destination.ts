import { isIP } from "node:net";
import type { OriginalDstRules } from "../../config/clusters.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import { readMetadata } from "../match/metadata-match.ts";
import { parseIpPort } from "./host-entry.ts";

interface Overrides {
	/** undefined: the stream has no headers. */
	readonly header: ((name: string) => string | undefined) | undefined;
	/** A metadata value or a header that is no `ip:port`: it is passed over. */
	onInvalid(): void;
}

/** Where an ORIGINAL_DST cluster is to send a stream, `ip:port`: as metadata says, else a header, else where the client wanted to go (Envoy's order). */
export function originalDestination(rules: OriginalDstRules, info: StreamInfo, { header, onInvalid }: Overrides): string {
	const { localAddress } = info.connection;
	const valid = (text: string | undefined) => {
		const parsed = text === undefined ? undefined : parseIpPort(text);
		if (parsed !== undefined && isIP(parsed.address) !== 0) return text;
		if (text !== undefined) onInvalid();
		return undefined;
	};
	const named = valid(metadataText(rules.metadata, info)) ?? valid(rules.header === undefined ? undefined : header?.(rules.header));
	const destination = named ?? localAddress;
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
