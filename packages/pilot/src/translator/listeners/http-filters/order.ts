import { buildAlpn } from "./alpn.ts";
import { buildCorsFilter } from "./cors.ts";
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
	buildRouter, // ends the chain
];

const chains = new Map<string, readonly HttpFilter[]>();

/** Filters of an HTTP connection manager, in order. Every listener with the same input shares one array. */
export function buildHttpFilters(input: HttpFilterInput): readonly HttpFilter[] {
	const key = `${input.direction}|${input.istioExtensions}|${input.metrics}`;
	const known = chains.get(key);
	if (known) return known;
	const chain = order.map((build) => build(input)).filter((filter) => filter !== undefined);
	chains.set(key, chain);
	return chain;
}
