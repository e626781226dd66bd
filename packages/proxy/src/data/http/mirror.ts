import { isInFraction } from "../../config/runtime-values.ts";
import type { CompiledForward } from "../match/route-table.ts";
import { RequestHead } from "../codec/request-head.ts";
import { ResponseHead } from "../codec/response-head.ts";
import { createChooseContext, type HostEntry, beginRequest, endRequest } from "../lb/host-entry.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import type { HttpPool, PoolClient, UpstreamClient, UpstreamExchange } from "../upstream/exchange.ts";
import { appendForwardedFor } from "../headers/edge.ts";
import { Timer } from "../transport/timers.ts";
import type { UpstreamAlpn } from "../upstream/transport-chooser.ts";
import type { HttpStream } from "./stream.ts";
import { clusterGauge, clusterStat } from "../upstream/cluster-stats.ts";

const mirrorTimeoutMs = 15_000;

/** A copy of a request, sent beside it; what it brings is thrown away. */
export interface Mirror {
	onRequestBody(bytes: Buffer, start: number, end: number): void;
	onRequestEnd(): void;
	/** The request never came to its end. */
	cancel(): void;
}

const none: readonly Mirror[] = [];

/** The copies that the route asks for; empty for most routes. */
export function startMirrors(stream: HttpStream, { config }: CompiledForward): readonly Mirror[] {
	if (config.mirrors.length === 0 || stream.upgrade !== "") return none;
	return config.mirrors.flatMap(({ cluster, fraction, shadowSuffix }) => {
		const target = stream.snapshot.clusters.get(cluster);
		if (target === undefined || !isInFraction(stream.context.runtime.share(fraction), stream.context.random)) return [];
		return [new MirrorRequest(stream, target, shadowSuffix)];
	});
}

/** Kept until complete (bounded like every request buffer), then sent in one piece. */
class MirrorRequest implements Mirror, UpstreamClient, PoolClient {
	readonly response = new ResponseHead();
	readonly isHead: boolean;
	readonly #cluster: ClusterRuntime;
	readonly #head: RequestHead;
	readonly #body: Buffer[] = [];
	readonly #bodyBytesMax: number;
	readonly #alpn: UpstreamAlpn | undefined;
	readonly #timer: Timer;
	#bodyBytes = 0;
	#isSent = false;
	#host: HostEntry | undefined;
	#pool: HttpPool | undefined;
	#upstream: UpstreamExchange | undefined;

	constructor(stream: HttpStream, cluster: ClusterRuntime, shadowSuffix: boolean) {
		const { request, manager, context } = stream;
		this.#cluster = cluster;
		this.isHead = stream.isHead;
		this.#alpn = manager.upstreamAlpn;
		this.#bodyBytesMax = manager.bufferBytesMax;
		this.#timer = new Timer(context.wheel, () => this.#end());
		const [name, port] = splitPort(request.authority);
		const head = new RequestHead();
		head.version = request.version;
		head.method = request.method;
		head.path = request.path;
		head.scheme = request.scheme;
		head.authority = shadowSuffix ? `${name}-shadow${port}` : request.authority;
		request.forEach((header, value) => {
			if (header !== "content-length") head.append(header, value);
		});
		// What Envoy's own requests say of themselves.
		head.set("x-envoy-internal", "true");
		appendForwardedFor(head, context.machineAddress, context.machineAddress);
		if (stream.route?.virtualHost.config.includeRequestAttemptCount === true) head.set("x-envoy-attempt-count", "1");
		this.#head = head;
		if (stream.isRequestDelivered) this.onRequestEnd();
	}

	onRequestBody(bytes: Buffer, start: number, end: number): void {
		this.#bodyBytes += end - start;
		if (this.#isSent) return;
		if (this.#bodyBytes <= this.#bodyBytesMax) this.#body.push(Buffer.from(bytes.subarray(start, end)));
		else this.#abandon();
	}

	cancel(): void {
		if (!this.#isSent) this.#abandon();
	}

	#abandon(): void {
		this.#isSent = true;
		this.#body.length = 0;
		this.#cluster.count(clusterStat.retry_or_shadow_abandoned);
	}

	onRequestEnd(): void {
		if (this.#isSent) return;
		this.#isSent = true;
		const cluster = this.#cluster;
		if (cluster.drop() !== undefined) return;
		const host = cluster.hosts.choose(createChooseContext());
		if (host === undefined) {
			cluster.count(clusterStat.upstream_cx_none_healthy);
			return;
		}
		if (!cluster.tryHold("requests", "default")) {
			cluster.count(clusterStat.upstream_rq_active_overflow);
			return;
		}
		this.#host = host;
		cluster.gauge(clusterGauge.upstream_rq_active, 1);
		beginRequest(host);
		this.#timer.arm(mirrorTimeoutMs);
		this.#pool = cluster.poolFor(host, this.#head, this.#alpn, "default");
		const upstream = this.#pool.acquire(this);
		if (upstream !== undefined) this.onPoolReady(upstream);
	}

	onPoolReady(upstream: UpstreamExchange): void {
		this.#pool = undefined;
		this.#upstream = upstream;
		upstream.begin(this);
		this.#cluster.count(clusterStat.upstream_rq_total);
		const hasBody = this.#bodyBytes > 0;
		if (hasBody) {
			this.#head.contentLength = this.#bodyBytes;
			this.#head.append("content-length", String(this.#bodyBytes));
		}
		upstream.sendHead(this.#head, "", !hasBody);
		if (!hasBody) return;
		for (const bytes of this.#body) upstream.sendBody(bytes, 0, bytes.length);
		upstream.sendEnd([]);
	}

	onPoolFailure(): void {
		this.#pool = undefined;
		this.#end();
	}

	onResponseHead(): "body" | "interim" {
		if (this.response.status < 200) return "interim";
		this.#cluster.responseCodes.increment(this.response.status);
		return "body";
	}
	onResponseBody(): void {}
	onResponseTrailer(): void {}
	onResponseEnd(): void {
		this.#upstream = undefined;
		this.#end();
	}
	onUpstreamReset(): void {
		this.#upstream = undefined;
		this.#end();
	}
	onUpstreamBlocked(): void {}
	onUpstreamDrain(): void {}

	#end(): void {
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

function splitPort(authority: string): readonly [string, string] {
	const match = /^(.*?)(:\d+)$/.exec(authority);
	return match === null ? [authority, ""] : [match[1] as string, match[2] as string];
}
