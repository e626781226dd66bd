import { setTimeout as sleep } from "node:timers/promises";
import { RawClient } from "../security/raw-client.ts";
import { echo, RecordingUpstream } from "../security/upstream.ts";
import { fileLog, loopback } from "./config.ts";
import { describeRequest, describeResponse, type Observation } from "./observation.ts";
import { type Proxy, startPair } from "./pair.ts";
import { type Case, defaultLogFields, type Ports, type Suite } from "./suite.ts";

/** Counters of what happens to requests; sizes and times differ between any two programs, and connections are kept from case to case. */
const comparedStats =
	/^(cluster\.[^.]+\.(upstream_rq|upstream_cx_(connect_fail|connect_timeout|overflow|none_healthy|protocol_error)|retry|outlier|membership_change|lb_|original_dst)|http\.(?!admin)[^.]+\.(downstream_rq|downstream_cx_protocol_error|rq_|no_route|no_cluster|fault|cors|rbac|jwt|local_rate|rs_too_large|passthrough)|tcp\.|vhost\.)/;
const ignoredStats =
	/_bytes|cx_length|upstream_rq_timeout_budget|external\.|internal\.|\.canary|rq_rx_reset_with|headers_count|upstream_rq_pending_total|lb_recalculate|_cx_rx_|_cx_tx_|downstream_cx_tx|downstream_cx_rx|http\.async-client/;
const settleMs = 40;
/** Nobody listens there; a port that was free a moment ago may be anybody's by now, a proxy's own included. */
const closed = 1;

/** One proxy with its own upstreams, for all cases of a suite. */
export class World {
	readonly proxy: Proxy;
	readonly #suite: Suite;
	readonly #upstreams: ReadonlyMap<string, RecordingUpstream>;
	#logLines = 0;

	private constructor(proxy: Proxy, suite: Suite, upstreams: ReadonlyMap<string, RecordingUpstream>) {
		this.proxy = proxy;
		this.#suite = suite;
		this.#upstreams = upstreams;
	}

	static async startPair(suite: Suite): Promise<readonly [World, World]> {
		const upstreams = { envoy: await startUpstreams(suite), weft: await startUpstreams(suite) };
		const build = (path: string, name: Proxy["name"]) => {
			const ports: Ports = { upstream: upstreams[name].ports, closed };
			const log = fileLog(path, { ...defaultLogFields, ...suite.log });
			return { node: { id: "node", cluster: "cluster" }, admin: { address: loopback(0) }, static_resources: suite.resources(ports, [log]), ...suite.bootstrap };
		};
		try {
			const [envoy, weft] = await startPair(build, suite.listeners);
			return [new World(envoy, suite, upstreams.envoy.servers), new World(weft, suite, upstreams.weft.servers)];
		} catch (error) {
			for (const { servers } of Object.values(upstreams)) for (const server of servers.values()) await server.close();
			throw error;
		}
	}

	async stop(): Promise<void> {
		await this.proxy.stop();
		for (const upstream of this.#upstreams.values()) await upstream.close();
	}

	async run(test: Case): Promise<Observation> {
		for (const upstream of this.#upstreams.values()) {
			upstream.clear();
			const { reply } = test;
			upstream.fallback = reply === undefined ? echo : typeof reply === "string" ? () => ({ bytes: reply }) : reply;
		}
		const before = await this.proxy.counters(comparedStats);
		const client = await RawClient.connect(this.proxy.port(test.listener ?? "main"));
		const responses = await this.#exchange(client, test);
		const closed = await client.closedWithin(settleMs);
		client.close();
		const log = await this.#log(responses.length);
		const after = await this.proxy.counters(comparedStats);
		const upstream = [...this.#upstreams].flatMap(([name, { seen }]) => seen.map((request) => describeRequest(name, request)));
		const violations = [...this.#upstreams.values()].flatMap((one) => one.violations);
		return { responses, closed, upstream, violations, log, stats: moved(before, after, this.#suite.ignoreStats) };
	}

	async #exchange(client: RawClient, { send, responses = 1, quietMs = 2_000 }: Case): Promise<readonly unknown[]> {
		const seen: unknown[] = [];
		for (const piece of [send].flat()) {
			client.send(piece);
			const isHead = piece.startsWith("HEAD ");
			for (let i = 0; i < responses; i++) seen.push(describeResponse(await client.response({ isHead, quietMs })));
		}
		return seen;
	}

	/** What was logged since the last call, once there are `count` lines or time is up. */
	async #log(count: number): Promise<readonly unknown[]> {
		const end = performance.now() + 1_000;
		for (;;) {
			const lines = this.proxy.log();
			if (lines.length - this.#logLines >= count || performance.now() > end) {
				const fresh = lines.slice(this.#logLines);
				this.#logLines = lines.length;
				return fresh;
			}
			await sleep(15);
		}
	}
}

async function startUpstreams({ upstreams }: Suite): Promise<{ readonly servers: ReadonlyMap<string, RecordingUpstream>; readonly ports: Ports["upstream"] }> {
	const servers = new Map(upstreams.map((name) => [name, new RecordingUpstream()]));
	const ports: Record<string, number> = {};
	for (const [name, server] of servers) ports[name] = await server.listen();
	return { servers, ports };
}

/** What was counted meanwhile, without what says nothing. */
export function moved(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>, ignored?: RegExp): Readonly<Record<string, number>> {
	const deltas = [...after].map(([name, value]) => [name, value - (before.get(name) ?? 0)] as const);
	const isCompared = (name: string) => !ignoredStats.test(name) && ignored?.test(name) !== true;
	return Object.fromEntries(deltas.filter(([name, delta]) => delta !== 0 && isCompared(name)).sort(([a], [b]) => (a < b ? -1 : 1)));
}
