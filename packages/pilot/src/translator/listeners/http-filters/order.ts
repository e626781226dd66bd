import { createMemo } from "../../memo.ts";
import { buildAlpn } from "./alpn.ts";
import { buildCorsFilter } from "./cors.ts";
import { buildDynamicForwardProxy } from "./dynamic-forward-proxy.ts";
import { buildExtAuthz } from "./ext-authz.ts";
import { buildExtensionFilters } from "./extension.ts";
import { buildFaultFilter } from "./fault.ts";
import type { AnyHttpFilter, HttpFilterBuilder, HttpFilterInput } from "./filter.ts";
import { buildGrpcStats } from "./grpc-stats.ts";
import { buildGrpcWeb } from "./grpc-web.ts";
import { buildIstioStats } from "./istio-stats.ts";
import { buildJwtAuthnFilter } from "./jwt-authn.ts";
import { buildLocalRateLimit } from "./local-rate-limit.ts";
import { buildPeerMetadata } from "./peer-metadata.ts";
import { buildRbac } from "./rbac.ts";
import { buildRouter } from "./router.ts";
import { buildStatefulSession } from "./stateful-session.ts";

/** The one place that orders HTTP filters; each line says why it stands where it does. */
const order: readonly HttpFilterBuilder[] = [
	buildPeerMetadata, // first: every later filter, and every metric of a refusal, needs to know the peer
	buildExtAuthz, // before authentication: the authorizer may be what mints the token
	buildExtensionFilters("AUTHN"),
	buildJwtAuthnFilter, // before authorization, which reads the claims
	buildExtensionFilters("AUTHZ"),
	buildRbac,
	buildLocalRateLimit, // behind authorization: what is refused uses up nothing, and claims are known
	buildExtensionFilters("STATS"),
	buildExtensionFilters("UNSPECIFIED_PHASE"), // behind all that refuses, so that only what is let through costs
	buildGrpcWeb, // before what knows gRPC only
	buildGrpcStats, // before anything that may answer by itself, so that all gRPC messages are counted
	buildAlpn, // before the router opens the upstream connection that it speaks about
	buildFaultFilter, // before CORS, so that faults hit preflights too, as Istio has it
	buildCorsFilter, // answers preflights that need no upstream
	buildIstioStats, // last but one: sees the final response of all the others
	buildDynamicForwardProxy, // after all that may refuse, since it waits for DNS; the router needs what it finds
	buildStatefulSession, // after all that may choose another cluster, since it chooses the host
	buildRouter, // ends the chain
];

const chains = createMemo<readonly AnyHttpFilter[]>();

/** Filters of an HTTP connection manager, in order. Every listener with the same input shares one array. */
export function buildHttpFilters(input: HttpFilterInput): readonly AnyHttpFilter[] {
	const { policies, extensions, direction, istioExtensions, hideFromOutside, suppressEnvoyHeaders, sessions, grpcWeb, dynamicDns, dynamicHosts } = input;
	const names = extensions.map(({ filter }) => filter.name).join();
	const dynamic = dynamicHosts.length > 0 ? `${dynamicDns}|${dynamicHosts.join()}` : "";
	const key = `${dynamic}|${direction}|${istioExtensions}|${hideFromOutside}|${suppressEnvoyHeaders}|${sessions}|${grpcWeb}|${names}`;
	return chains.get([policies], key, () => order.flatMap((build) => build(input) ?? []));
}
