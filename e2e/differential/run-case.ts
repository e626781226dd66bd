import { setTimeout as sleep } from "node:timers/promises";
import { RawClient } from "../security/raw-client.ts";
import { echo, RecordingUpstream } from "../security/upstream.ts";
import { describeRequest, describeResponse, type Observation } from "./observation.ts";
import { type Kind, ProxyUnderTest } from "./proxy-under-test.ts";
import type { Case, Suite } from "./suite.ts";

/** Counters of what happens to requests; sizes and times differ between any two programs. */
const comparedStats =
	/^(cluster\.[^.]+\.(upstream_rq|upstream_cx_(total|connect_fail|connect_timeout|overflow|none_healthy|http[12]_total|protocol_error|max_requests)|retry|ejections|membership_change|lb_)|http\.(?!admin)[^.]+\.(downstream_rq|rq_|no_route|no_cluster|fault|cors|rbac|jwt|local_rate|rs_too_large|passthrough))/;
const ignoredStats = /_bytes|_time|cx_length|upstream_rq_timeout_budget|external\.|internal\.|\.canary|rq_rx_reset_with|headers_count/;
const settleMs = 40;

/** One proxy with its own upstreams, for all cases of a suite. */
export class World {
	readonly proxy: ProxyUnderTest;
	readonly #upstreams: ReadonlyMap<string, RecordingUpstream>;

	private constructor(proxy: ProxyUnderTest, upstreams: ReadonlyMap<string, RecordingUpstream>) {
		this.proxy = proxy;
		this.#upstreams = upstreams;
	}

	static async start(kind: Kind, suite: Suite): Promise<World> {
		const upstreams = new Map(suite.upstreams.map((name) => [name, new RecordingUpstream()]));
		const ports: Record<string, number> = {};
		for (const [name, upstream] of upstreams) ports[name] = await upstream.listen();
		const gone = new RecordingUpstream();
		const closed = await gone.listen();
		await gone.close();
		const proxy = await ProxyUnderTest.start(kind, (accessLog) => suite.resources({ upstream: ports, closed }, accessLog), suite.listeners);
		return new World(proxy, upstreams);
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
		const before = await this.proxy.stats(comparedStats);
		const client = await RawClient.connect(this.proxy.port(test.listener ?? "main"));
		const responses = await this.#exchange(client, test);
		const closed = await client.closedWithin(settleMs);
		client.close();
		const log = await this.proxy.log(responses.length);
		const after = await this.proxy.stats(comparedStats);
		const upstream = [...this.#upstreams].flatMap(([name, { seen }]) => seen.map((request) => describeRequest(name, request)));
		const violations = [...this.#upstreams.values()].flatMap((one) => one.violations);
		return { responses, closed, upstream, violations, log, stats: moved(before, after) };
	}

	async #exchange(client: RawClient, { send, responses = 1, quietMs = 2_000 }: Case): Promise<readonly unknown[]> {
		const seen: unknown[] = [];
		for (const piece of [send].flat()) {
			client.send(piece);
			const isHead = /^HEAD /.test(piece);
			for (let i = 0; i < responses; i++) seen.push(describeResponse(await client.response({ isHead, quietMs })));
		}
		await sleep(5);
		return seen;
	}
}

function moved(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): Readonly<Record<string, number>> {
	const deltas = [...after].map(([name, value]) => [name, value - (before.get(name) ?? 0)] as const);
	return Object.fromEntries(deltas.filter(([name, delta]) => delta !== 0 && !ignoredStats.test(name)).sort(([a], [b]) => (a < b ? -1 : 1)));
}
