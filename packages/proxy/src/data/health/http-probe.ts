import type { HttpProbe, ProbeResult, StatusRange } from "../../config/health-check.ts";
import { compileStringMatch } from "../match/string-match.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { type AsyncResult, AsyncRequest } from "../upstream/async-request.ts";
import { isInOrder } from "./payload.ts";
import { probeHeaders } from "./probe-headers.ts";
import type { ProbeTarget } from "./prober.ts";

/** What is read of an answer at most; only its beginning is compared. */
const answerBytesMax = 1024 * 1024;

export function probeHttp({ cluster, entry, check, authority, verifiesName }: ProbeTarget, probe: HttpProbe, onResult: (result: ProbeResult) => void): void {
	const { authority: host, headers } = probeHeaders(probe.host || authority, ["user-agent", "Envoy/HC"], probe.headersToAdd, probe.headersToRemove);
	const request = {
		method: probe.method,
		authority: host,
		path: probe.path,
		headers,
		...(probe.body !== undefined && { body: Buffer.from(probe.body) }),
		timeoutMs: check.timeoutMs,
		bodyBytesMax: answerBytesMax,
		host: entry,
		isBare: true,
	};
	new AsyncRequest(cluster, request, (result) => onResult(judge(result, probe, verifiesName)));
}

function judge(result: AsyncResult, probe: HttpProbe, verifiesName: boolean): ProbeResult {
	if (result.kind === "failed") return { kind: "network", timeout: result.reason === "timeout", detail: result.reason };
	const { response, body } = result;
	const immediateFail = response.has("x-envoy-immediate-health-check-fail");
	const bad = (detail: string, retriable = false): ProbeResult => ({ kind: "bad", retriable, immediateFail, detail });
	const { status } = response;
	if (!isIn(status, probe.expected)) return bad(`status ${status}`, isIn(status, probe.retriable));
	if (probe.serviceName !== undefined && verifiesName) {
		const service = response.get("x-envoy-upstream-healthchecked-cluster") ?? "";
		if (!compileStringMatch(probe.serviceName, createCompileContext())(service)) return bad(`the service is ${JSON.stringify(service)}`);
	}
	if (!isInOrder(body.subarray(0, probe.responseBytesMax), probe.receive)) return bad("the body is not the expected one");
	return { kind: "good", degraded: response.has("x-envoy-degraded") };
}

function isIn(status: number, ranges: readonly StatusRange[]): boolean {
	return ranges.some(({ start, end }) => status >= start && status < end);
}
