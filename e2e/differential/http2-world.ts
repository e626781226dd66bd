import { setTimeout as sleep } from "node:timers/promises";
import { RawClient } from "../security/raw-client.ts";
import { echo, RecordingUpstream, type Responder } from "../security/upstream.ts";
import { fileLog, loopback } from "./config.ts";
import { FrameClient, FrameUpstream, type Http2Script, type Setting } from "./http2-peers.ts";
import { describeRequest, describeResponse } from "./observation.ts";
import { type Proxy, startPair } from "./pair.ts";
import { moved } from "./run-case.ts";
import { defaultLogFields, type Ports } from "./suite.ts";

/** One case: what the client does, and what the upstreams answer. */
export interface Http2Case {
	readonly name: string;
	readonly listener?: string;
	/** Of the client's SETTINGS. */
	readonly settings?: readonly Setting[];
	/** Frames on one connection… */
	readonly run?: (client: FrameClient, proxy: Proxy) => Promise<void> | void;
	/** … or a request of HTTP/1. */
	readonly send?: string;
	readonly script?: Http2Script;
	readonly reply?: string | Responder;
	/** Log lines that are waited for. */
	readonly lines?: number;
	/** How long the connection is watched after that. */
	readonly settleMs?: number;
}

export interface Http2Suite {
	/** Name → its SETTINGS. */
	readonly http2Upstreams: Readonly<Record<string, readonly Setting[]>>;
	readonly http1Upstreams: readonly string[];
	resources(ports: Ports, accessLog: readonly object[]): object;
	readonly listeners: readonly string[];
}

const comparedStats =
	/^(http2\.|cluster\.[^.]+\.(http2\.|upstream_rq|upstream_cx_(http|connect|close_notify|destroy|max_requests|idle|overflow|none_healthy|protocol_error|total)|upstream_flow|retry)|http\.(?!admin)[^.]+\.(downstream_rq|downstream_cx_(protocol_error|http|idle|max|drain|overload|destroy|total|upgrades|delayed)|downstream_flow|rq_|no_route|no_cluster|rs_too_large))/;
const ignoredStats = /nghttp2_|pending_send_bytes|deferred_stream_close|streams_active|downstream_cx_destroy(_remote|_local)?$/;
const settleMsDefault = 60;
const closedPort = 1;

/** One proxy with its own upstreams, for all cases. */
export class Http2World {
	readonly proxy: Proxy;
	readonly #http1: ReadonlyMap<string, RecordingUpstream>;
	readonly #http2: ReadonlyMap<string, FrameUpstream>;
	#logLines = 0;

	private constructor(proxy: Proxy, upstreams: Upstreams) {
		this.proxy = proxy;
		this.#http1 = upstreams.http1;
		this.#http2 = upstreams.http2;
	}

	static async startPair(suite: Http2Suite): Promise<readonly [Http2World, Http2World]> {
		const upstreams = { envoy: await startUpstreams(suite), weft: await startUpstreams(suite) };
		const build = (path: string, name: Proxy["name"]) => ({
			node: { id: "node", cluster: "cluster" },
			admin: { address: loopback(0) },
			static_resources: suite.resources({ upstream: upstreams[name].ports, closed: closedPort }, [fileLog(path, defaultLogFields)]),
		});
		try {
			const [envoy, weft] = await startPair(build, suite.listeners);
			return [new Http2World(envoy, upstreams.envoy), new Http2World(weft, upstreams.weft)];
		} catch (error) {
			for (const { http1, http2 } of Object.values(upstreams)) {
				for (const server of [...http1.values(), ...http2.values()]) await server.close();
			}
			throw error;
		}
	}

	async stop(): Promise<void> {
		await this.proxy.stop();
		for (const server of [...this.#http1.values(), ...this.#http2.values()]) await server.close();
	}

	async run(test: Http2Case): Promise<object> {
		this.#prepare(test);
		const before = await this.proxy.counters(comparedStats);
		const seen = test.send === undefined ? await this.#runFrames(test) : await this.#runHttp1(test.send, test.settleMs);
		const log = await this.#log(test.lines ?? 1);
		// The client went only then; its line may be read before the upstream has read what the proxy told it.
		if (test.send !== undefined) await sleep(settleMsDefault);
		const upstream = this.#describeUpstreams();
		const upstreamEvents = [...this.#http2].flatMap(([name, one]) => one.events(name));
		const after = await this.proxy.counters(comparedStats);
		for (const one of this.#http2.values()) one.clear();
		for (const one of this.#http1.values()) for (const socket of one.sockets) socket.destroy();
		await this.#untilIdle();
		return { ...seen, upstream, upstreamEvents, log, stats: moved(before, after, ignoredStats) };
	}

	/** The ends of upstream connections belong to no case. */
	async #untilIdle(): Promise<void> {
		for (const end = performance.now() + 1_000; performance.now() < end; await sleep(10)) {
			if ((await this.proxy.stats(/^cluster\..*\.upstream_cx_active/)).length === 0) return;
		}
	}

	#prepare({ reply, script = {} }: Http2Case): void {
		for (const one of this.#http2.values()) one.script = script;
		for (const one of this.#http1.values()) {
			one.clear();
			one.fallback = reply === undefined ? echo : typeof reply === "string" ? () => ({ bytes: reply }) : reply;
		}
	}

	#describeUpstreams(): readonly unknown[] {
		return [
			...[...this.#http1].flatMap(([name, { seen, violations }]) => [...seen.map((request) => describeRequest(name, request)), ...violations]),
			...[...this.#http2].flatMap(([name, upstream]) => upstream.describe(name)),
		];
	}

	async #runFrames(test: Http2Case): Promise<object> {
		const client = await FrameClient.connect(this.proxy.port(test.listener ?? "main"), ...(test.settings ?? []));
		try {
			await test.run?.(client, this.proxy);
			await sleep(test.settleMs ?? settleMsDefault);
			client.incoming.take();
			return { streams: client.incoming.describe(), events: [...client.incoming.events], closed: client.isClosed };
		} finally {
			client.close();
		}
	}

	async #runHttp1(bytes: string, settleMs = settleMsDefault): Promise<object> {
		const client = await RawClient.connect(this.proxy.port("main"));
		client.send(bytes);
		const response = describeResponse(await client.response({ isHead: bytes.startsWith("HEAD "), quietMs: 4_000 }));
		const closed = await client.closedWithin(settleMs);
		client.close();
		return { response, closed };
	}

	/** What was logged since the last call, once there are `count` lines or time is up. */
	async #log(count: number): Promise<readonly unknown[]> {
		for (const end = performance.now() + 1_000; ; await sleep(15)) {
			const lines = this.proxy.log();
			if (lines.length - this.#logLines < count && performance.now() < end) continue;
			const fresh = lines.slice(this.#logLines);
			this.#logLines = lines.length;
			return fresh.toSorted((a, b) => (String(a["path"]) < String(b["path"]) ? -1 : 1)).map(settleLine);
		}
	}
}

/** The two proxies have other ports to tell apart. */
const settleLine = (line: Readonly<Record<string, unknown>>) =>
	Object.fromEntries(
		Object.entries(line).map(([name, value]) => [name, typeof value === "string" ? value.replace(/127\.0\.0\.1:\d+/g, "127.0.0.1:<port>") : value]),
	);

interface Upstreams {
	readonly http1: ReadonlyMap<string, RecordingUpstream>;
	readonly http2: ReadonlyMap<string, FrameUpstream>;
	readonly ports: Ports["upstream"];
}

async function startUpstreams({ http1Upstreams, http2Upstreams }: Http2Suite): Promise<Upstreams> {
	const http1 = new Map(http1Upstreams.map((name) => [name, new RecordingUpstream()]));
	const http2 = new Map(Object.entries(http2Upstreams).map(([name, own]) => [name, new FrameUpstream(...own)]));
	const ports: Record<string, number> = {};
	for (const [name, server] of [...http1, ...http2]) ports[name] = await server.listen();
	return { http1, http2, ports };
}
