import type { GrpcStats } from "../../config/http-filters.ts";
import { mergeMetadata, type StreamInfo } from "../log/stream-info.ts";
import type { HttpStream } from "../http/stream.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import type { Histogram } from "../stats/histogram.ts";
import type { Counter, FilterInputs } from "./filter-inputs.ts";

interface Call {
	readonly method: string;
	readonly request: FrameCounter;
	readonly response: FrameCounter;
	status: string;
}

/** Series of a cluster; a client that makes names up must not make memory up. */
const seriesMax = 1000;
const headerBytes = 5;

/** Calls by cluster and method: `cluster.<name>.grpc.<service>.<method>.{success,failure,total,<status>,…_message_count}`. */
export function compileGrpcStats(config: GrpcStats, { index, rootCounter, rootHistogram }: FilterInputs): StreamFilter {
	const listed = config.methods === "all" ? undefined : new Set(config.methods);
	const counters = new Map<string, Counter>();
	const count = (prefix: string, name: string, by = 1) => {
		const key = `${prefix}${name}`;
		let counter = counters.get(key);
		if (counter === undefined) {
			if (counters.size >= seriesMax) return;
			counters.set(key, (counter = rootCounter(prefix, name)));
		}
		counter(by);
	};
	const histograms = new Map<string, Histogram>();
	/** From the last byte of the request to the last of the answer, as far as the service's own time goes. */
	const recordTime = (prefix: string, { upstreamLastSentAt, upstreamLastReceivedAt }: StreamInfo) => {
		if (upstreamLastSentAt < 0 || upstreamLastReceivedAt < 0) return;
		let histogram = histograms.get(prefix);
		if (histogram === undefined) {
			if (histograms.size >= seriesMax) return;
			histograms.set(prefix, (histogram = rootHistogram(prefix, "upstream_rq_time")));
		}
		histogram.record(upstreamLastReceivedAt - upstreamLastSentAt);
	};
	const methodOf = (path: string): string | undefined => {
		const match = /^\/([^/?]+)\/([^/?]+)(?:\?.*)?$/.exec(path);
		if (match === null) return undefined;
		const [, service = "", method = ""] = match;
		if (listed !== undefined && !listed.has(`${service}/${method}`)) return "";
		return `${config.replaceDots ? service.replaceAll(".", "_") : service}.${method}.`;
	};
	return {
		onRequestHead(stream) {
			const { request, filters } = stream;
			const method = stream.isGrpcRequest ? methodOf(request.path) : undefined;
			if (method === undefined) return "continue";
			filters.states[index] = { method, request: new FrameCounter(), response: new FrameCounter(), status: "" } satisfies Call;
			filters.seesRequestBody = filters.seesResponseBody = true;
			return "continue";
		},
		onRequestBody({ filters }, bytes) {
			(filters.states[index] as Call | undefined)?.request.feed(bytes);
			return bytes;
		},
		onResponseHead({ response, filters }) {
			const call = filters.states[index] as Call | undefined;
			if (call !== undefined) call.status = response.get("grpc-status") ?? "";
		},
		onResponseBody({ filters }, bytes) {
			(filters.states[index] as Call | undefined)?.response.feed(bytes);
			return bytes;
		},
		onResponseEnd({ filters }, trailers) {
			const call = filters.states[index] as Call | undefined;
			const at = trailers.indexOf("grpc-status");
			if (call !== undefined && at >= 0 && at % 2 === 0) call.status = trailers[at + 1] as string;
			return undefined;
		},
		onOver(stream) {
			const call = stream.filters.states[index] as Call | undefined;
			if (call === undefined || stream.choice === undefined) return;
			report(stream, call, stream.choice.cluster);
		},
	};

	function report({ info }: HttpStream, { method, request, response, status }: Call, cluster: string): void {
		const prefix = `cluster.${cluster}.grpc.${method}`;
		if (status !== "") {
			count(prefix, status);
			count(prefix, status === "0" ? "success" : "failure");
		}
		count(prefix, "total");
		if (config.upstreamStats) recordTime(prefix, info);
		if (request.messages > 0) count(prefix, "request_message_count", request.messages);
		if (response.messages > 0) count(prefix, "response_message_count", response.messages);
		if (config.emitFilterState)
			mergeMetadata(info, "envoy.filters.http.grpc_stats", { request_message_count: request.messages, response_message_count: response.messages });
	}
}

/** gRPC messages in a body: a flag, four bytes of length, the message. */
class FrameCounter {
	messages = 0;
	#head = 0;
	#length = 0;
	#left = 0;

	feed(bytes: Buffer): void {
		for (let at = 0; at < bytes.length; ) {
			if (this.#left > 0) {
				const taken = Math.min(this.#left, bytes.length - at);
				this.#left -= taken;
				at += taken;
				continue;
			}
			if (this.#head > 0) this.#length = this.#length * 256 + (bytes[at] as number);
			at++;
			if (++this.#head < headerBytes) continue;
			this.messages++;
			this.#left = this.#length;
			this.#head = this.#length = 0;
		}
	}
}
