import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { extension, fileLog, keyedHost, loopback, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";
import { type Manner, startTcpUpstreams, type TcpUpstreams } from "./tcp-upstreams.ts";

type Json = Readonly<Record<string, unknown>>;

/** What a client does: sends a text, or `<end>`, `<reset>`, `<wait>`, `<much>`; then it reads until the end, or for `quietMs`. */
type Step = string;

interface Case {
	/** Cluster, or further fields of the TCP proxy. */
	readonly proxy: Manner | "down" | Json;
	readonly steps: readonly Step[];
	readonly quietMs?: number;
	/** How it ends is told apart: elsewhere bytes that nobody read make a reset of an end. */
	readonly tellsResets?: boolean;
	/** Connections at the same time, that say nothing and stay until the end. */
	readonly beside?: number;
}

const muchBytes = 2_000_000;
const source = (port: number) => ({ cluster: "ring", hash_policy: [{ source_ip: {} }], _: port });

const cases: Readonly<Record<string, Case>> = {
	echo: { proxy: "echo", steps: ["hello", "<wait>", "again", "<end>"] },
	"an end at once": { proxy: "echo", steps: ["<end>"] },
	"nothing but an end": { proxy: "silent", steps: ["<wait>", "<end>"] },
	"the upstream speaks first": { proxy: "greets", steps: ["<wait>", "hi", "<end>"] },
	"an answer after the end": { proxy: "answers after the end", steps: ["one", "<wait>", "two", "<end>"] },
	"the upstream ends first": { proxy: "answers and ends", steps: ["abc", "<wait>", "more"], quietMs: 400 },
	"the upstream ends first, then the client": { proxy: "answers and ends", steps: ["abc", "<wait>", "<end>"] },
	"the upstream ends at once": { proxy: "ends at once", steps: ["<wait>", "<end>"] },
	"the upstream resets": { proxy: "resets", steps: ["abc"], tellsResets: true },
	"the client resets": { proxy: "echo", steps: ["abc", "<wait>", "<reset>"] },
	"much from the upstream": { proxy: "sends much", steps: ["<wait>", "<end>"] },
	"much to the upstream": { proxy: "answers after the end", steps: ["<much>", "<end>"] },
	"much both ways": { proxy: "echo", steps: ["<much>", "<end>"] },
	"nobody listens": { proxy: "down", steps: ["abc"] },
	"nobody listens, several attempts": { proxy: { cluster: "down-too", max_connect_attempts: 3 }, steps: ["abc"] },
	"no hosts": { proxy: { cluster: "empty" }, steps: ["abc"] },
	"no such cluster": { proxy: { cluster: "nothing" }, steps: ["abc"] },
	"idle timeout": { proxy: { cluster: "silent", idle_timeout: "0.25s" }, steps: ["abc"] },
	"idle timeout, and traffic before": { proxy: { cluster: "echo", idle_timeout: "0.3s" }, steps: ["a", "<wait>", "b", "<wait>", "c"] },
	"idle timeout while one side has ended": { proxy: { cluster: "answers and ends", idle_timeout: "0.3s" }, steps: ["a"] },
	"no idle timeout": { proxy: { cluster: "silent", idle_timeout: "0s" }, steps: ["abc"], quietMs: 400 },
	"a connection's duration": { proxy: { cluster: "echo", max_downstream_connection_duration: "0.3s" }, steps: ["a", "<wait>", "b"] },
	"as many connections as may be": { proxy: { cluster: "one-connection" }, steps: ["abc", "<end>"], beside: 0 },
	"one connection too many": { proxy: { cluster: "one-connection" }, steps: ["abc", "<end>"], beside: 1 },
	"by the client's address": { proxy: source(1), steps: ["abc", "<end>"] },
	weighted: { proxy: { weighted_clusters: { clusters: [{ name: "echo", weight: 1 }] } }, steps: ["abc", "<end>"] },
	"a subset": { proxy: { cluster: "subsets", metadata_match: { filter_metadata: { "envoy.lb": { stage: "two" } } } }, steps: ["abc", "<end>"] },
	"a subset that is not there": {
		proxy: { cluster: "subsets", metadata_match: { filter_metadata: { "envoy.lb": { stage: "three" } } } },
		steps: ["abc", "<end>"],
	},
	"a subset of a weighted cluster": {
		proxy: { weighted_clusters: { clusters: [{ name: "subsets", weight: 1, metadata_match: { filter_metadata: { "envoy.lb": { stage: "two" } } } }] } },
		steps: ["abc", "<end>"],
	},
	"logged when connected, too": { proxy: { cluster: "echo", access_log_options: { flush_access_log_on_connected: true } }, steps: ["abc", "<end>"] },
};

const listenerOf = (name: string) => name.replaceAll(/[ ,']+/g, "-");
/** Some clusters, so that counts of one case are its own. */
const counted =
	/^(tcp\.|cluster\.).*\.(downstream_cx_(total|no_route)|idle_timeout|max_downstream|early_data|upstream_(cx_(total|connect|destroy|overflow|none|max|idle|pool)|rq_)|outlier)/;

describe("tcp_proxy, beside a real Envoy", { skip: skipReason }, () => {
	let upstreams: TcpUpstreams;
	let pair: readonly [Proxy, Proxy];
	before(async () => {
		upstreams = await startTcpUpstreams();
		pair = await startPair((accessLog) => bootstrap(upstreams.ports, accessLog), Object.keys(cases).map(listenerOf));
	});
	after(async () => {
		for (const proxy of pair ?? []) await proxy.stop();
		upstreams?.stop();
	});

	for (const [name, one] of Object.entries(cases)) {
		test(name, async () => {
			const [envoy, weft] = await Promise.all(pair.map((proxy) => observe(proxy, listenerOf(name), one)));
			assert.deepEqual(weft, envoy);
		});
	}
});

function bootstrap(ports: TcpUpstreams["ports"], accessLog: string): object {
	const log = (listener: string) =>
		fileLog(accessLog, {
			listener,
			received: "%BYTES_RECEIVED%",
			sent: "%BYTES_SENT%",
			flags: "%RESPONSE_FLAGS%",
			details: "%RESPONSE_CODE_DETAILS%",
			ended: "%CONNECTION_TERMINATION_DETAILS%",
			cluster: "%UPSTREAM_CLUSTER%",
			host: "%UPSTREAM_HOST%",
			hostName: "%UPSTREAM_HOST_NAME%",
			attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
			failure: "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
			protocol: "%PROTOCOL%",
			method: "%REQ(:METHOD)%",
			code: "%RESPONSE_CODE%",
			type: "%ACCESS_LOG_TYPE%",
			wireSent: "%UPSTREAM_WIRE_BYTES_SENT%",
			wireReceived: "%UPSTREAM_WIRE_BYTES_RECEIVED%",
			downstreamWireSent: "%DOWNSTREAM_WIRE_BYTES_SENT%",
			downstreamWireReceived: "%DOWNSTREAM_WIRE_BYTES_RECEIVED%",
		});
	const listeners = Object.entries(cases).map(([name, { proxy }]) => {
		const { _, ...fields } = typeof proxy === "string" ? ({ cluster: proxy } as Json) : proxy;
		const listener = listenerOf(name);
		const filter = extension("envoy.filters.network.tcp_proxy", "extensions.filters.network.tcp_proxy.v3.TcpProxy", {
			stat_prefix: listener,
			access_log: [log(listener)],
			...fields,
		});
		return { name: listener, address: loopback(0), filter_chains: [{ filters: [filter] }] };
	});
	const keyed = (cluster: string, more: object) => ({
		name: cluster,
		type: "STATIC",
		connect_timeout: "1s",
		load_assignment: {
			cluster_name: cluster,
			endpoints: [{ lb_endpoints: [keyedHost("one", ports.echo, { stage: "one" }), keyedHost("two", ports.greets, { stage: "two" })] }],
		},
		...more,
	});
	return {
		admin: { address: loopback(0) },
		static_resources: {
			listeners,
			clusters: [
				...Object.entries(ports).map(([name, port]) => staticCluster(name, port)),
				staticCluster("down", 1),
				staticCluster("down-too", 1),
				{ name: "empty", type: "STATIC", connect_timeout: "1s" },
				staticCluster("one-connection", ports.echo, { circuit_breakers: { thresholds: [{ max_connections: 1 }] } }),
				keyed("ring", { lb_policy: "RING_HASH" }),
				keyed("subsets", { lb_subset_config: { fallback_policy: "NO_FALLBACK", subset_selectors: [{ keys: ["stage"] }] } }),
			],
		},
	};
}

/** What the client gets, how it ends, what is logged and what is counted. */
async function observe(proxy: Proxy, listener: string, { steps, quietMs = 1_500, beside = 0, tellsResets = false }: Case): Promise<unknown> {
	const before = await proxy.counters(counted);
	const port = proxy.port(listener);
	const others = await Promise.all(Array.from({ length: beside }, () => holdOne(port)));
	const { heard, end } = await talk(port, steps, quietMs);
	for (const other of others) other.destroy();
	const deadline = performance.now() + 1_500;
	const lines = () => proxy.log().filter((line) => line["listener"] === listener);
	const wanted = 1 + beside;
	while (lines().length < wanted && performance.now() < deadline) await sleep(20);
	await sleep(50);
	const moved = [...(await proxy.counters(counted))].flatMap(([name, value]) => {
		const delta = value - (before.get(name) ?? 0);
		return delta === 0 ? [] : [`${name}: ${delta}`];
	});
	return { heard, end: end === "open" || tellsResets ? end : "closed", log: lines().map(describeLine).toSorted(), moved: moved.toSorted() };
}

/** Envoy's flags are in the order in which they were set. */
const describeLine = ({ flags, ...line }: Json): string => JSON.stringify({ ...line, flags: String(flags).split(",").toSorted() });

async function holdOne(port: number): Promise<Socket> {
	const socket = connect({ port, host: "127.0.0.1" }, () => socket.write("x"));
	socket.on("error", () => {});
	await new Promise((resolve) => socket.once("data", resolve));
	return socket;
}

/** `end`: "end" in order, "reset", or "open" when nothing more came in time. */
async function talk(port: number, steps: readonly Step[], quietMs: number): Promise<{ readonly heard: string; readonly end: string }> {
	const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
	let heard = "";
	let end = "open";
	socket.on("data", (bytes: Buffer) => void (heard += bytes.toString("latin1")));
	const over = new Promise<void>((resolve) => {
		socket.on("end", () => {
			end = "end";
			resolve();
		});
		socket.on("error", () => {
			end = "reset";
			resolve();
		});
		socket.on("close", () => resolve());
	});
	for (const step of steps) {
		if (step === "<wait>") await sleep(120);
		else if (step === "<end>") socket.end();
		else if (step === "<reset>") socket.resetAndDestroy();
		else if (step === "<much>") socket.write(Buffer.alloc(muchBytes, "y"));
		else socket.write(step);
	}
	await Promise.race([over, sleep(quietMs)]);
	socket.destroy();
	return { heard: heard.length > 100 ? `${heard.length} bytes` : heard, end };
}
