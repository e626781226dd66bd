import type { RouteAction } from "../../config/routes.ts";
import { envoyHeaderBit } from "../codec/header-block.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import { nothingAsked, takeTimeoutHeaders } from "./asked-timeouts.ts";
import { resolveTimeoutMs } from "./grpc-timeout.ts";
import type { HttpStream } from "./stream.ts";

/** How long one request may take, by its route, its cluster and what its caller asks for. Milliseconds; 0: without end. */
export class RequestTimeouts {
	/** From the end of the request to the end of the answer. */
	wholeMs = 0;
	/** Until an attempt is answered. */
	perTryMs = 0;
	/** Of an attempt, all of its answer included. */
	durationMaxMs = 0;
	/** An attempt that takes too long goes on, and another begins beside it. */
	hedges = false;
	/** What a timeout is answered with. */
	status: 204 | 504 = 504;
	#startedAt = 0;
	#askedPerTryMs: number | undefined;
	#grpcMaxMs: number | undefined;

	take(stream: HttpStream, config: RouteAction, cluster: ClusterRuntime): void {
		const { request } = stream;
		const asked = (request.present & envoyHeaderBit) === 0 ? nothingAsked : takeTimeoutHeaders(request);
		this.wholeMs = asked.timeoutMs ?? resolveTimeoutMs(config, request);
		this.durationMaxMs = asked.streamDurationMs ?? cluster.config.maxStreamDurationMs;
		this.status = asked.isAnsweredEmpty ? 204 : 504;
		this.hedges = asked.hedges ?? config.hedgesOnTryTimeout ?? stream.route?.virtualHost.config.hedgesOnTryTimeout ?? false;
		this.#askedPerTryMs = asked.perTryTimeoutMs;
		this.#grpcMaxMs = config.grpcTimeoutMaxMs;
	}

	/** `perTryMs`: the retry policy's; undefined: it has none. */
	begin(nowMs: number, perTryMs: number | undefined): void {
		this.#startedAt = nowMs;
		this.perTryMs = this.#askedPerTryMs ?? perTryMs ?? 0;
	}

	/** 0: an attempt has as long as the request. */
	get attemptMs(): number {
		const { perTryMs, wholeMs } = this;
		return perTryMs > 0 && (wholeMs === 0 || perTryMs < wholeMs) ? perTryMs : 0;
	}

	/** What is left for this attempt; callees may give up as well then. */
	tell(stream: HttpStream): void {
		const { perTryMs, wholeMs } = this;
		const { context, info, manager, request } = stream;
		const isFirst = info.attemptCount <= 1;
		const left = wholeMs === 0 || isFirst ? wholeMs : Math.max(1, Math.round(wholeMs - (context.nowMs() - this.#startedAt)));
		// Beside another an attempt may take all the time there is.
		const expected = !this.hedges && perTryMs > 0 && (left === 0 || perTryMs < left) ? perTryMs : left;
		if (expected === 0) return;
		if (!manager.suppressEnvoyHeaders) {
			if (isFirst) request.appendOwn("x-envoy-expected-rq-timeout-ms", String(expected));
			else request.set("x-envoy-expected-rq-timeout-ms", String(expected));
		}
		if (this.#grpcMaxMs !== undefined && stream.isGrpcRequest) request.set("grpc-timeout", `${expected}m`);
	}
}
