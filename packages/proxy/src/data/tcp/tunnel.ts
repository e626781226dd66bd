import type { TcpTunnel } from "../../config/network-filters.ts";
import { RequestHead } from "../codec/request-head.ts";
import { ResponseHead } from "../codec/response-head.ts";
import { compileFormat, type Formatter } from "../headers/formatter.ts";
import { compileHeaderMutations, type MutateHeaders } from "../headers/header-mutations.ts";
import { Attempt } from "../http/attempt.ts";
import type { ChooseContext, HostEntry } from "../lb/host-entry.ts";
import { type StreamInfo, setFilterState } from "../log/stream-info.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import { clusterStat } from "../upstream/cluster-stats.ts";
import type { PoolClient, PoolFailure, UpstreamClient, UpstreamExchange } from "../upstream/exchange.ts";
import type { WorkerContext } from "../worker/context.ts";

/** `tunneling_config`, ready for use. */
export interface CompiledTunnel {
	readonly config: TcpTunnel;
	readonly authority: Formatter;
	readonly mutate: MutateHeaders | undefined;
}

export function compileTunnel(config: TcpTunnel, { environment }: WorkerContext, errors: string[]): CompiledTunnel {
	const authority = compileFormat(config.hostname, "-", environment);
	errors.push(...authority.errors.map((error) => `tunneling_config.hostname: ${error}`));
	return {
		config,
		authority: authority.value ?? (() => ""),
		mutate: compileHeaderMutations([{ add: config.headers, remove: [] }], environment, errors),
	};
}

/** Whose bytes go through the tunnel. */
export interface TunnelOwner {
	readonly info: StreamInfo;
	/** Bytes may pass both ways. */
	onTunnelOpen(exchange: UpstreamExchange): void;
	/** It did not come to be; another may be tried. */
	onTunnelFailed(reason: string, cause: "connectFailure" | "timeout" | "overflow" | "response"): void;
	onTunnelBytes(bytes: Buffer, start: number, end: number): void;
	/** The host says no more, or is gone. */
	onTunnelEnd(): void;
	onTunnelBlocked(): void;
	onTunnelDrain(): void;
}

const headersKey = "envoy.tcp_proxy.propagate_response_headers";
const trailersKey = "envoy.tcp_proxy.propagate_response_trailers";

/** One attempt to have a host pass the bytes of a TCP connection on: a CONNECT, or a POST, and its answer. */
export class Tunnel implements UpstreamClient, PoolClient {
	readonly response = new ResponseHead();
	readonly isHead = false;
	readonly #tunnel: CompiledTunnel;
	readonly #owner: TunnelOwner;
	readonly #attempt = new Attempt();
	readonly #head = new RequestHead();
	readonly #trailers: string[] = [];
	#isOpen = false;
	#isOpening = false;
	#isOver = false;

	constructor(tunnel: CompiledTunnel, owner: TunnelOwner) {
		this.#tunnel = tunnel;
		this.#owner = owner;
	}

	begin(cluster: ClusterRuntime, context: ChooseContext): HostEntry | "noHost" | "overflow" {
		return this.#attempt.begin(cluster, "default", context);
	}

	/** Asks for a connection to the host that `begin` gave. The owner never hears before this has returned. */
	connect(): void {
		const { info } = this.#owner;
		const { config, authority, mutate } = this.#tunnel;
		const head = this.#head;
		head.method = config.usePost ? "POST" : "CONNECT";
		head.authority = authority(info);
		head.path = config.usePost ? config.postPath : head.authority;
		head.isChunked = config.usePost;
		mutate?.(head, info);
		this.#attempt.connect(this, head, undefined, info);
	}

	onPoolReady(exchange: UpstreamExchange): void {
		this.#attempt.leavePool();
		this.#attempt.upstream = exchange;
		exchange.begin(this);
		this.#attempt.cluster?.count(clusterStat.upstream_rq_total);
		this.#head.scheme = exchange.connection.isTls ? "https" : "http";
		exchange.sendHead(this.#head, this.#tunnel.config.usePost ? "" : "connect", false);
	}

	onPoolFailure(failure: PoolFailure, transportFailure: string): void {
		this.#attempt.leavePool();
		const cause = failure === "overflow" ? "overflow" : failure === "connectionTimeout" ? "timeout" : "connectFailure";
		// Never from inside `acquire`: the attempt is not set up yet.
		setImmediate(() => {
			this.#fail(transportFailure, cause);
			this.#attempt.cluster?.context.afterEvent();
		});
	}

	#fail(reason: string, cause: Parameters<TunnelOwner["onTunnelFailed"]>[1]): void {
		if (this.#isOver) return;
		this.close();
		this.#owner.onTunnelFailed(reason, cause);
	}

	onResponseHead(hasBody: boolean): "body" | "tunnel" | "interim" {
		const { response } = this;
		const { status } = response;
		if (status < 200 && status !== 101) return "interim";
		if (this.#tunnel.config.propagatesHeaders) this.#propagate(headersKey, [":status", String(status), ...pairsOf(response)]);
		const exchange = this.#attempt.upstream;
		// RFC 9110 §9.3.6: any 2xx opens it; over HTTP/2 Envoy takes 200 alone.
		const isGood = exchange?.protocol === "HTTP/2" ? status === 200 && hasBody : status >= 200 && status < 300;
		if (!isGood || exchange === undefined) {
			this.#fail(`tunnel_response:${status}`, "response");
			return "tunnel";
		}
		this.#isOpen = this.#isOpening = true;
		this.#owner.onTunnelOpen(exchange);
		this.#isOpening = false;
		return this.#tunnel.config.usePost ? "body" : "tunnel";
	}

	#propagate(key: string, pairs: readonly string[]): void {
		const list: { readonly key: string; readonly value: string }[] = [];
		for (let i = 0; i < pairs.length; i += 2) list.push({ key: pairs[i] as string, value: pairs[i + 1] as string });
		setFilterState(this.#owner.info, key, { text: JSON.stringify({ headers: list }), kind: "json" });
	}

	onResponseBody(bytes: Buffer, start: number, end: number): void {
		if (!this.#isOver) this.#owner.onTunnelBytes(bytes, start, end);
	}

	onResponseTrailer(name: string, value: string): void {
		this.#trailers.push(name, value);
	}

	onResponseEnd(): void {
		this.#attempt.upstream = undefined;
		if (this.#trailers.length > 0 && this.#tunnel.config.propagatesTrailers) this.#propagate(trailersKey, this.#trailers);
		if (!this.#isOver && this.#isOpen) this.#owner.onTunnelEnd();
	}

	onUpstreamReset(): void {
		this.#attempt.upstream = undefined;
		if (this.#isOver) return;
		if (this.#isOpen) this.#owner.onTunnelEnd();
		else this.#fail("", "response");
	}

	onUpstreamBlocked(): void {
		if (this.#isOpen && !this.#isOver) this.#owner.onTunnelBlocked();
	}

	onUpstreamDrain(): void {
		if (this.#isOpen && !this.#isOver) this.#owner.onTunnelDrain();
	}

	// ---- for the owner

	send(bytes: Buffer, start: number, end: number): void {
		this.#attempt.upstream?.sendBody(bytes, start, end);
	}

	/** The client says no more; the host may. */
	end(): void {
		if (!this.#isOpening) return this.#attempt.upstream?.sendEnd([]);
		// The codec does not know yet that this is a tunnel.
		setImmediate(() => {
			this.end();
			this.#attempt.cluster?.context.afterEvent();
		});
	}

	pause(): void {
		this.#attempt.upstream?.pause();
	}

	resume(): void {
		this.#attempt.upstream?.resume();
	}

	/** Gives up what is under way, and everything that it holds; the owner hears no more. */
	close(): void {
		if (this.#isOver) return;
		this.#isOver = true;
		this.#attempt.abandon(this);
		this.#attempt.release();
	}
}

function pairsOf(head: ResponseHead): readonly string[] {
	const pairs: string[] = [];
	head.forEach((name, value) => void pairs.push(name, value));
	return pairs;
}
