import type { ProxyProtocolConfig_TlvEntry, ProxyProtocolPassThroughTLVs } from "@weft/xds/generated/envoy/config/core/v3/proxy_protocol.ts";
import type { UpstreamTransport } from "../clusters.ts";
import type { TlvChoice } from "../listeners.ts";
import { type At, report } from "./issues.ts";

/** `pass_through_tlvs`; undefined: none. */
export function decodeTlvChoice(choice: ProxyProtocolPassThroughTLVs | undefined): TlvChoice | undefined {
	return choice && (choice.matchType === 0 ? "all" : choice.tlvType);
}

/** `added_tlvs`. A type is one byte, a length two. */
export function decodeTlvs(at: At, entries: readonly ProxyProtocolConfig_TlvEntry[]): NonNullable<UpstreamTransport["addedTlvs"]> {
	for (const { type, value } of entries)
		if (type > 255 || value.length > 65_535) report(at, `TLV ${type} does not fit: types are below 256, values at most 65535 bytes`);
	return entries.map(({ type, value }) => ({ type, value }));
}
