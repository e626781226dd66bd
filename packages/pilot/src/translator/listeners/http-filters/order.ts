import { buildAlpn } from "./alpn.ts";
import { buildCorsFilter } from "./cors.ts";
import { buildDynamicForwardProxy } from "./dynamic-forward-proxy.ts";
import { buildFaultFilter } from "./fault.ts";
import type { HttpFilter, HttpFilterBuilder, HttpFilterInput } from "./filter.ts";
import { buildGrpcStats } from "./grpc-stats.ts";
import { buildIstioStats } from "./istio-stats.ts";
import { buildPeerMetadata } from "./peer-metadata.ts";
import { buildRouter } from "./router.ts";

/** The one place that orders HTTP filters; each line says why it stands where it does. */
const order: readonly HttpFilterBuilder[] = [
	buildPeerMetadata, // first: every later filter, and every metric of a refusal, needs to know the peer
	buildGrpcStats, // before anything that may answer by itself, so that all gRPC messages are counted
	buildAlpn, // before the router opens the upstream connection that it speaks about
	buildFaultFilter, // before CORS, so that faults hit preflights too, as Istio has it
	buildCorsFilter, // answers preflights that need no upstream
	buildIstioStats, // last but one: sees the final response of all the others
	buildDynamicForwardProxy, // after all that may refuse, since it waits for DNS; the router needs what it finds
	buildRouter, // ends the chain
];

/** Directions × clients × sets of wildcards that are resolved by request. */
const chainsMax = 1024;
const chains = new Map<string, readonly HttpFilter[]>();

/** Filters of an HTTP connection manager, in order. Every listener with the same input shares one array. */
export function buildHttpFilters(input: HttpFilterInput): readonly HttpFilter[] {
	const key = `${input.direction}|${input.istioExtensions}|${input.metrics}|${input.dynamicHosts.length > 0 ? `${input.dynamicDns}|${input.dynamicHosts.join()}` : ""}`;
	const known = chains.get(key);
	if (known) return known;
	const chain = order.flatMap((build) => build(input) ?? []);
	if (chains.size >= chainsMax) chains.clear();
	chains.set(key, chain);
	return chain;
}
