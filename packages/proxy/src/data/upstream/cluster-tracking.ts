import type { ClusterTracking } from "../../config/clusters.ts";
import { requestHeadBytes, responseHeadBytes } from "../headers/head-size.ts";
import type { HeadersView, RequestView } from "../headers/headers-view.ts";
import type { Histogram } from "../stats/histogram.ts";
import type { StatsScope } from "../stats/registry.ts";

/** What a cluster keeps of each request only where it is asked to (`track_cluster_stats`). */
export class RequestTracking {
	readonly #budget: Histogram | undefined;
	readonly #tryBudget: Histogram | undefined;
	readonly #sizes: Readonly<Record<"rqHead" | "rqBody" | "rsHead" | "rsBody", Histogram>> | undefined;

	constructor(config: ClusterTracking, scope: StatsScope) {
		if (config.timeoutBudgets) {
			this.#budget = scope.histogram("upstream_rq_timeout_budget_percent_used");
			this.#tryBudget = scope.histogram("upstream_rq_timeout_budget_per_try_percent_used");
		}
		if (!config.sizes) return;
		this.#sizes = {
			rqHead: scope.histogram("upstream_rq_headers_size"),
			rqBody: scope.histogram("upstream_rq_body_size"),
			rsHead: scope.histogram("upstream_rs_headers_size"),
			rsBody: scope.histogram("upstream_rs_body_size"),
		};
	}

	attemptBegins(request: RequestView): void {
		this.#sizes?.rqHead.record(requestHeadBytes(request));
	}

	responseBegins(response: HeadersView): void {
		this.#sizes?.rsHead.record(responseHeadBytes(response));
	}

	/** `elapsedMs` undefined: the timeout of an attempt had no part in its end. `responseBytes` undefined: no response came. */
	attemptEnds(elapsedMs: number | undefined, perTryMs: number, requestBytes: number, responseBytes: number | undefined): void {
		if (elapsedMs !== undefined) this.#tryBudget?.record(share(elapsedMs, perTryMs));
		this.#sizes?.rqBody.record(requestBytes);
		if (responseBytes !== undefined) this.#sizes?.rsBody.record(responseBytes);
	}

	/** From the end of the request to the end of the answer, or to the timeout. */
	requestEnds(elapsedMs: number, timeoutMs: number): void {
		this.#budget?.record(share(elapsedMs, timeoutMs));
	}
}

/** 0 to 1, as Envoy shows its percentages; any part of no timeout is none of it. */
const share = (elapsedMs: number, timeoutMs: number): number => (timeoutMs === 0 ? 0 : Math.max(0, elapsedMs) / timeoutMs);
