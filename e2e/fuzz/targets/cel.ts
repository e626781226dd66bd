import { compileCel } from "../../../packages/proxy/src/data/cel/cel.ts";
import { createHeaders, createRequestView } from "../../../packages/proxy/src/data/headers/headers-view.ts";
import { createConnectionInfo, createStreamInfo, mergeMetadata } from "../../../packages/proxy/src/data/log/stream-info.ts";
import { createCompileContext } from "../../../packages/proxy/src/data/match/compile-context.ts";
import { check } from "../invariants.ts";

const nobody = createStreamInfo(createConnectionInfo());
const somebody = Object.assign(createStreamInfo(createConnectionInfo({ id: 7, localAddress: "10.0.0.2:9080", remoteAddress: "10.0.0.9:5000" })), {
	startAt: 100,
	endAt: 6_200,
	responseCode: 503,
	request: createRequestView({ path: "/shop?q=1", authority: "shop:80", headers: { "user-agent": "curl/8" } }),
	response: createHeaders({ "grpc-status": "14" }),
});
mergeMetadata(somebody, "envoy.filters.http.rbac", { shadow: "denied", list: [1, "x"] });

/** An expression is refused with a reason or is a predicate over any stream. */
export function fuzz(data: Buffer): void {
	const context = createCompileContext();
	const holds = compileCel(data.toString("utf8"), context);
	for (const info of [nobody, somebody]) check(typeof holds(info) === "boolean", "neither true nor false");
	if (context.errors.length > 0) check(!holds(somebody), "what is refused holds");
}
