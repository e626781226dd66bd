import type { ProxyProtocolPassThroughTLVs } from "@weft/xds/generated/envoy/config/core/v3/proxy_protocol.ts";
import type { TlvChoice } from "../runtime-config.ts";

/** `pass_through_tlvs`; undefined: none. */
export function decodeTlvChoice(choice: ProxyProtocolPassThroughTLVs | undefined): TlvChoice | undefined {
	return choice && (choice.matchType === 0 ? "all" : choice.tlvType);
}
