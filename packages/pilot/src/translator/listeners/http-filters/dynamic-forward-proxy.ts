import { dynamicForwardProxyFilter } from "../../dynamic-dns.ts";
import type { HttpFilter, HttpFilterInput } from "./filter.ts";

/** One filter a cache: each waits for the names that are routed to its own cluster. */
export function buildDynamicForwardProxy({ dynamicDns, dynamicHosts }: HttpFilterInput): readonly HttpFilter[] {
	return dynamicDns === undefined ? [] : dynamicHosts.map((host) => dynamicForwardProxyFilter(host, dynamicDns));
}
