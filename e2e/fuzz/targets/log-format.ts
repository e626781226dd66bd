import { compileFormat, compileTypedFormat } from "../../../packages/proxy/src/data/headers/formatter.ts";
import { createHeaders, createRequestView } from "../../../packages/proxy/src/data/headers/headers-view.ts";
import { createConnectionInfo, createStreamInfo, mergeMetadata } from "../../../packages/proxy/src/data/log/stream-info.ts";
import { check } from "../invariants.ts";

const environment = { hostname: "host", env: { HOME: "/root" }, nowMs: () => 1_700_000_000_123 };
const nobody = createStreamInfo(createConnectionInfo());
const somebody = Object.assign(createStreamInfo(createConnectionInfo({ id: 7, localAddress: "10.0.0.2:9080", remoteAddress: "[::1]:5000" })), {
	startAt: 100,
	endAt: 6_200,
	responseCode: 503,
	bytesSent: 12,
	request: createRequestView({ path: "/shop?q=1", authority: "shop:80", headers: { "user-agent": "curl/8" } }),
	response: createHeaders({ "grpc-status": "14" }),
});
mergeMetadata(somebody, "envoy.filters.http.rbac", { shadow: { denied: [1, "x"] } });

/** A format is refused with a reason or can be written for any stream, also for one that has nothing to say. */
export function fuzz(data: Buffer): void {
	const format = data.toString("utf8");
	const { value, errors } = compileFormat(format, "-", environment);
	check((value === undefined) === errors.length > 0, `${errors.length} errors and ${value === undefined ? "no" : "a"} formatter`);
	const typed = compileTypedFormat(format, environment);
	for (const info of [nobody, somebody]) {
		if (value !== undefined) check(typeof value(info) === "string", "no text");
		typed.value?.(info);
	}
}
