import { envoyHeaderBit } from "../codec/header-block.ts";
import { tellPeer } from "../filters/peer-metadata.ts";
import { destinationOf } from "../lb/dynamic-hosts.ts";
import { originalDestination } from "../lb/original-destination.ts";
import type { ChooseContext } from "../lb/host-entry.ts";
import type { ClusterChoice, CompiledForward } from "../match/route-table.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import { clusterStat } from "../upstream/cluster-stats.ts";
import type { HttpStream } from "./stream.ts";

const none: readonly string[] = [];

/** What the route says of the choice of a host. Gives the cookies that a hash policy wants to be set. */
export function prepareChoice(stream: HttpStream, cluster: ClusterRuntime, forward: CompiledForward, context: ChooseContext): readonly string[] {
	const { request } = stream;
	if (cluster.config.kind === "originalDst") {
		context.destination = originalDestination(cluster.config.originalDst, stream.info, {
			header: (name) => request.first(name),
			onInvalid: () => cluster.count(clusterStat.original_dst_host_invalid),
		});
	}
	if (cluster.config.kind === "dynamicForwardProxy") context.destination = destinationOf(request.authority, cluster.config);
	if (forward.hash === undefined) return none;
	const { hash, setCookies } = forward.hash(request, stream.info);
	context.hash = hash;
	return setCookies;
}

/** The head as the upstream is to see it. */
export function prepareRequest(stream: HttpStream, cluster: ClusterRuntime, forward: CompiledForward, choice: ClusterChoice): void {
	const { request, info, manager } = stream;
	choice.mutateRequest?.(request, info);
	// Only to workloads of the mesh: others are told nothing.
	if (manager.peers !== undefined && manager.direction !== "inbound" && cluster.config.transportMatches.length > 0) tellPeer(manager.peers, request);
	if ((request.present & envoyHeaderBit) !== 0) request.remove("x-envoy-expected-rq-timeout-ms");
	// As in Envoy: of this one nobody is told what it replaced.
	if (choice.hostRewrite) request.authority = choice.hostRewrite;
	const host = forward.rewriteHost?.(request, info);
	if (host !== undefined && host !== "") rewriteAuthority(stream, forward, host);
	const path = forward.rewritePath?.(request.path, info);
	if (path === undefined) return;
	if (!manager.suppressEnvoyHeaders) request.set("x-envoy-original-path", request.path);
	request.path = path;
}

/** The authority becomes `host`, and what it was is told as the route says. */
export function rewriteAuthority({ request, manager }: HttpStream, { config }: CompiledForward, host: string): void {
	const original = request.authority;
	if (config.appendXForwardedHost) {
		const forwarded = request.get("x-forwarded-host");
		// What stands last there is not said twice.
		if (forwarded?.split(",").at(-1) !== original) request.set("x-forwarded-host", forwarded ? `${forwarded},${original}` : original);
	}
	if (!manager.suppressEnvoyHeaders) request.set("x-envoy-original-host", original);
	request.authority = host;
}

/**
 * Headers of the route's and the router's own, on every response, local ones included. `setCookies`: those of an
 * upstream's answer. `serviceTimeMs` -1: it is not told.
 */
export function prepareResponse(stream: HttpStream, setCookies: readonly string[], serviceTimeMs: number): void {
	const { response, info, manager, route, choice } = stream;
	if (serviceTimeMs >= 0 && !manager.suppressEnvoyHeaders) {
		if ((response.present & envoyHeaderBit) !== 0) response.remove("x-envoy-upstream-service-time");
		response.appendOwn("x-envoy-upstream-service-time", String(Math.round(serviceTimeMs)));
	}
	for (const cookie of setCookies) response.append("set-cookie", cookie);
	if (route?.virtualHost.config.includeAttemptCountInResponse === true && info.attemptCount > 0)
		response.set("x-envoy-attempt-count", String(info.attemptCount));
	const mutate = choice === undefined ? route?.mutateResponse : choice.mutateResponse;
	mutate?.(response, info);
}
