import type { HostRewriteOverride } from "../../config/http-filters.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import type { HttpStream } from "../http/stream.ts";
import { sendLocalReply } from "../http/local-reply.ts";
import { destinationOf, DynamicHostSet, type Resolution } from "../lb/dynamic-hosts.ts";
import { responseFlags } from "../log/response-flags.ts";

/** Resolves what a request names before the router looks for a host, where its cluster is a dynamic forward proxy. */
export function compileDynamicForwardProxy(override: HostRewriteOverride | undefined): StreamFilter {
	return {
		onRequestHead(stream) {
			const { request, snapshot, choice, filters } = stream;
			const cluster = choice && snapshot.clusters.get(choice.cluster);
			const hosts = cluster?.hosts;
			if (cluster === undefined || !(hosts instanceof DynamicHostSet)) return "continue";
			stream.info.upstreamCluster = choice?.cluster ?? "";
			const name = override?.kind === "literal" ? override.value : override && request.get(override.name);
			if (name !== undefined && name !== "") request.authority = name;
			const destination = destinationOf(request.authority, cluster.config);
			const judgeNow = (resolution: Resolution) => judge(stream, resolution, hosts.choose({ destination })?.address);
			const known = hosts.resolution(destination);
			if (known !== undefined) return judgeNow(known) ? "continue" : "stop";
			const resume = filters.suspend(() => cancel());
			const cancel = hosts.wait(
				destination,
				filters.guard((resolution: Resolution) => {
					if (judgeNow(resolution)) resume();
				}),
			);
			return "stop";
		},
	};
}

/** False: the request has been answered. */
function judge(stream: HttpStream, resolution: Resolution, address: string | undefined): boolean {
	if (resolution !== "resolved") {
		const { status, body, details } = failures[resolution];
		sendLocalReply(stream, { status, body, flags: resolution === "failed" ? responseFlags.DF : 0, details });
		return false;
	}
	if (address !== stream.downstream.info.localAddress) return true;
	// It would come back to where it came in, for ever.
	sendLocalReply(stream, { status: 508, body: "the request names the proxy itself", flags: 0, details: "dynamic_forward_proxy_loop" });
	return false;
}

/** In Envoy's words. */
const failures = {
	failed: { status: 503, body: "DNS resolution failure", details: "dns_resolution_failure" },
	tooManyHosts: { status: 503, body: "DNS cache overflow", details: "dns_cache_overflow" },
	tooManyWaiting: { status: 503, body: "Dynamic forward proxy pending request overflow", details: "dynamic_forward_proxy_pending_request_overflow" },
} as const;
