import { RequestHead } from "../codec/request-head.ts";
import { ResponseHead } from "../codec/response-head.ts";
import { beginRequest, createChooseContext, endRequest, type HostEntry } from "../lb/host-entry.ts";
import { Timer } from "../transport/timers.ts";
import { clusterGauge, clusterStat } from "./cluster-stats.ts";
import type { ClusterRuntime } from "./cluster-runtime.ts";
import type { HttpPool, PoolClient, UpstreamClient, UpstreamExchange } from "./exchange.ts";

export interface AsyncRequestInit {
	readonly method: string;
	readonly authority: string;
	readonly path: string;
	/** Lower-case name, value, name, value … */
	readonly headers: readonly string[];
	readonly body?: Buffer;
	readonly timeoutMs: number;
	/** A larger answer is no answer. */
	readonly bodyBytesMax: number;
	/** The host to ask; undefined: the balancer's choice. */
	readonly host?: HostEntry;
	/** Without the headers that tell a request of the proxy's own. */
	readonly isBare?: boolean;
}

export type AsyncResult =
	| { readonly kind: "response"; readonly response: ResponseHead; readonly body: Buffer; readonly trailers: ReadonlyMap<string, string> }
	| { readonly kind: "failed"; readonly reason: string };

/** A request of the proxy's own, to a cluster. `onResult` runs once, never before the constructor has returned, and not after `cancel`. */
export class AsyncRequest implements UpstreamClient, PoolClient {
	readonly response = new ResponseHead();
	readonly isHead: boolean;
	readonly #cluster: ClusterRuntime;
	readonly #init: AsyncRequestInit;
	readonly #head = new RequestHead();
	readonly #timer: Timer;
	readonly #pieces: Buffer[] = [];
	#isStarting = true;
	/** Known before the caller knows its request. */
	#early: AsyncResult | undefined;
	#onResult: ((result: AsyncResult) => void) | undefined;
	readonly #trailers = new Map<string, string>();
	#bytes = 0;
	#host: HostEntry | undefined;
	#pool: HttpPool | undefined;
	#upstream: UpstreamExchange | undefined;

	constructor(cluster: ClusterRuntime, init: AsyncRequestInit, onResult: (result: AsyncResult) => void) {
		this.#cluster = cluster;
		this.#init = init;
		this.#onResult = onResult;
		this.isHead = init.method === "HEAD";
		this.#timer = new Timer(cluster.context.wheel, () => {
			if (this.#early !== undefined) return this.#finish(this.#early);
			cluster.count(clusterStat.upstream_rq_timeout);
			this.#finish({ kind: "failed", reason: "timeout" });
		});
		this.#writeHead();
		this.#connect();
		this.#isStarting = false;
	}

	#writeHead(): void {
		const { method, path, authority, headers, body } = this.#init;
		const head = this.#head;
		head.method = method;
		head.path = path;
		head.authority = authority;
		for (let i = 0; i < headers.length; i += 2) head.append(headers[i] as string, headers[i + 1] as string);
		if (this.#init.isBare !== true) this.#writeOwnHeaders();
		if (body === undefined || body.length === 0) return;
		head.contentLength = body.length;
		head.append("content-length", String(body.length));
	}

	#writeOwnHeaders(): void {
		const head = this.#head;
		const { timeoutMs } = this.#init;
		// What Envoy's own requests say of themselves.
		head.append("x-envoy-internal", "true");
		if (timeoutMs > 0) head.append("x-envoy-expected-rq-timeout-ms", String(timeoutMs));
	}

	#connect(): void {
		const cluster = this.#cluster;
		if (this.#init.host === undefined && cluster.drop() !== undefined) return this.#finish({ kind: "failed", reason: "drop overload" });
		const host = this.#init.host ?? cluster.hosts.choose(createChooseContext());
		if (host === undefined) {
			cluster.count(clusterStat.upstream_cx_none_healthy);
			return this.#finish({ kind: "failed", reason: "no healthy upstream" });
		}
		if (!cluster.tryHold("requests", "default")) {
			cluster.count(clusterStat.upstream_rq_active_overflow);
			return this.#finish({ kind: "failed", reason: "overflow" });
		}
		this.#host = host;
		cluster.gauge(clusterGauge.upstream_rq_active, 1);
		beginRequest(host);
		if (this.#init.timeoutMs > 0) this.#timer.arm(this.#init.timeoutMs);
		this.#pool = cluster.poolFor(host, this.#head, undefined, "default");
		const upstream = this.#pool.acquire(this);
		if (upstream !== undefined) this.onPoolReady(upstream);
	}

	onPoolReady(upstream: UpstreamExchange): void {
		const { body } = this.#init;
		this.#pool = undefined;
		this.#upstream = upstream;
		upstream.begin(this);
		this.#cluster.count(clusterStat.upstream_rq_total);
		if (this.#host !== undefined) this.#host.counts.rq_total++;
		const hasBody = body !== undefined && body.length > 0;
		upstream.sendHead(this.#head, "", !hasBody);
		if (!hasBody) return;
		upstream.sendBody(body, 0, body.length);
		upstream.sendEnd([]);
	}

	onPoolFailure(failure: string, transportFailure: string): void {
		this.#pool = undefined;
		this.#finish({ kind: "failed", reason: transportFailure || failure });
	}

	onResponseHead(): "body" | "interim" {
		if (this.response.status < 200) return "interim";
		this.#cluster.responseCodes.increment(this.response.status);
		return "body";
	}

	onResponseBody(bytes: Buffer, start: number, end: number): void {
		this.#bytes += end - start;
		if (this.#bytes > this.#init.bodyBytesMax) return this.#finish({ kind: "failed", reason: "the answer is too large" });
		this.#pieces.push(Buffer.from(bytes.subarray(start, end)));
	}

	onResponseTrailer(name: string, value: string): void {
		this.#trailers.set(name, value);
	}

	onResponseEnd(): void {
		this.#upstream = undefined;
		this.#finish({ kind: "response", response: this.response, body: Buffer.concat(this.#pieces), trailers: this.#trailers });
	}

	onUpstreamReset(reason: string): void {
		this.#upstream = undefined;
		this.#finish({ kind: "failed", reason });
	}

	onUpstreamBlocked(): void {}
	onUpstreamDrain(): void {}

	cancel(): void {
		this.#onResult = undefined;
		this.#release();
	}

	#finish(result: AsyncResult): void {
		if (this.#isStarting) {
			this.#release();
			this.#early = result;
			return this.#timer.arm(1);
		}
		const onResult = this.#onResult;
		this.#onResult = undefined;
		this.#release();
		onResult?.(result);
	}

	#release(): void {
		this.#timer.disarm();
		this.#pool?.cancel(this);
		this.#upstream?.abandon();
		this.#pool = this.#upstream = undefined;
		if (this.#host === undefined) return;
		this.#cluster.letGo("requests", "default");
		this.#cluster.gauge(clusterGauge.upstream_rq_active, -1);
		endRequest(this.#host);
		this.#host = undefined;
	}
}
