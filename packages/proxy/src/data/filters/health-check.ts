import type { HealthCheck } from "../../config/http-filters.ts";
import { sendLocalReply } from "../http/local-reply.ts";
import type { HttpStream } from "../http/stream.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import { responseFlags } from "../log/response-flags.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { compileHeaderMatches } from "../match/header-match.ts";
import type { FilterInputs } from "./filter-inputs.ts";

/**
 * Requests that ask whether this proxy is well: answered here, or passed on and the answer remembered. A proxy that is
 * to fail its checks says so whatever the upstream would say.
 */
export function compileHealthCheck(check: HealthCheck, { context, index, errors }: FilterInputs): StreamFilter {
	const compile = createCompileContext();
	const isCheck = compileHeaderMatches(check.headers, compile) ?? (() => true);
	errors.push(...compile.errors);
	const cached = { status: 0, until: 0 };
	const minimums = Object.entries(check.clusterMinHealthyPercentages);
	const answer = (stream: HttpStream, status: number, details: string): "stop" => {
		sendLocalReply(stream, { status, body: "", flags: status >= 200 && status < 300 ? 0 : responseFlags.LH, details });
		return "stop";
	};
	return {
		onRequestHead(stream) {
			if (!isCheck(stream.request)) return "continue";
			stream.info.isHealthCheck = true;
			if (context.healthcheckFailed) return answer(stream, 503, "health_check_failed");
			if (check.passThrough) {
				if (check.cacheMs > 0 && context.nowMs() < cached.until) return answer(stream, cached.status, "health_check_cached");
				stream.filters.states[index] = true;
				return "continue";
			}
			for (const [name, percent] of minimums) {
				const cluster = stream.snapshot.clusters.get(name);
				if (cluster === undefined) return answer(stream, 503, "health_check_failed_no_cluster_found");
				const { total, healthy } = cluster.hosts.membership();
				// A share of nothing is none, unless none is asked for.
				if (total === 0 && percent > 0) return answer(stream, 503, "health_check_failed_cluster_empty");
				if (healthy < (total * percent) / 100) return answer(stream, 503, "health_check_failed_cluster_unhealthy");
			}
			return answer(stream, 200, minimums.length > 0 ? "health_check_ok_cluster_healthy" : "health_check_ok");
		},
		onResponseHead({ response, filters, info }) {
			if (!info.isHealthCheck) {
				if (context.healthcheckFailed) response.set("x-envoy-immediate-health-check-fail", "true");
				return;
			}
			if (filters.states[index] === true && check.cacheMs > 0) {
				cached.status = response.status;
				cached.until = context.nowMs() + check.cacheMs;
			}
			response.set("x-envoy-upstream-healthchecked-cluster", context.node.cluster);
		},
	};
}
