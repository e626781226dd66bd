import assert from "node:assert/strict";
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { createServer, get } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { extension, httpListener, loopback, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

/** What one proxy sent to one kind of sink, added up. */
class Collector {
	readonly #lines: string[] = [];
	readonly datagram: DatagramSocket = createSocket("udp4");
	readonly stream: Server = createTcpServer((socket) => {
		let rest = "";
		socket
			.on("error", () => undefined)
			.on("data", (piece) => {
				const lines = (rest + piece.toString()).split("\n");
				rest = lines.pop() ?? "";
				this.#lines.push(...lines);
			});
	});

	constructor() {
		this.datagram.on("message", (message) => this.#lines.push(...message.toString().split("\n")));
	}

	async start(): Promise<{ readonly udp: number; readonly tcp: number }> {
		await new Promise<void>((resolve) => this.datagram.bind(0, "127.0.0.1", resolve));
		await new Promise<void>((resolve) => this.stream.listen(0, "127.0.0.1", resolve));
		// Neither keeps a test that failed alive.
		this.datagram.unref();
		this.stream.unref();
		return { udp: this.datagram.address().port, tcp: (this.stream.address() as AddressInfo).port };
	}

	stop(): void {
		this.datagram.close();
		this.stream.close();
	}

	/** `prefix.name|type|#tags` → the sum of counters, the number of times, the last gauge. */
	get sums(): ReadonlyMap<string, number> {
		const sums = new Map<string, number>();
		for (const line of this.#lines.filter((one) => one !== "")) {
			const match = /^([^:]+):(-?[\d.e-]+)\|(c|g|ms|h)(?:\|@([\d.e-]+))?(\|#.*)?$/.exec(line);
			assert.ok(match, `not a line of statsd: ${JSON.stringify(line)}`);
			const [, name = "", value = "", type = "", rate = "1", tags = ""] = match;
			const key = `${name}|${type}${tags}`;
			const before = sums.get(key) ?? 0;
			sums.set(key, type === "g" ? Number(value) : before + (type === "c" ? Number(value) : Math.round(1 / Number(rate))));
		}
		return sums;
	}
}

const sinkType = "config.metrics.v3";
const stats = {
	stats_tags: [
		{ tag_name: "fixed", fixed_value: "constant" },
		{ tag_name: "my.kind", regex: "upstream_(rq)_" },
		{ tag_name: "nested", regex: "upstream_rq(_(to)tal)" },
		{ tag_name: "anchored", regex: "^http\\.((in)gress\\.)" },
	],
	histogram_bucket_settings: [{ match: { suffix: "upstream_rq_time" }, buckets: [7, 1, 2000] }],
	stats_matcher: { exclusion_list: { patterns: [{ suffix: "_2xx" }, { safe_regex: { regex: ".*upstream_cx_tx.*" } }] } },
};
const reducedStats = {
	use_all_default_tags: false,
	stats_tags: [{ tag_name: "envoy.response_code" }, { tag_name: "cluster", regex: "^cluster\\.((.+?)\\.)" }],
	stats_matcher: { inclusion_list: { patterns: [{ prefix: "cluster.up." }, { exact: "server.live" }] } },
};

const requests = 5;
// What both count in the same way, whatever tags made of the name.
const compared = /cluster\.(up\.)?(upstream_cx_total|upstream_(rq)?_?(200|2xx|completed|total|pending_total|time)?)[|]/;

async function start(
	statsConfig: object,
): Promise<{ proxies: readonly [Proxy, Proxy]; collectors: readonly (readonly Collector[])[]; stop: () => Promise<void> }> {
	const collectors = [0, 1].map(() => [new Collector(), new Collector(), new Collector()] as const);
	const ports = await Promise.all(collectors.map((own) => Promise.all(own.map((collector) => collector.start()))));
	const upstream = createServer((_, response) => setTimeout(() => response.end("ok"), 3));
	await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
	upstream.unref();
	const sinksOf = (own: readonly { udp: number }[]) => [
		extension("envoy.stat_sinks.statsd", `${sinkType}.StatsdSink`, { address: loopback(own[0]?.udp ?? 0) }),
		extension("envoy.stat_sinks.dog_statsd", `${sinkType}.DogStatsdSink`, { address: loopback(own[1]?.udp ?? 0), prefix: "dog", max_bytes_per_datagram: 500 }),
		extension("envoy.stat_sinks.statsd", `${sinkType}.StatsdSink`, { tcp_cluster_name: "statsd", prefix: "tcp" }),
	];
	const proxies = await startPair(
		(_log, name) => {
			const own = ports[name === "envoy" ? 0 : 1] ?? [];
			return {
				node: { id: "n", cluster: "c" },
				admin: { address: loopback(0) },
				stats_config: statsConfig,
				stats_flush_interval: "0.3s",
				stats_sinks: sinksOf(own),
				static_resources: {
					listeners: [
						httpListener("ingress", {
							route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "up" } }] }] },
						}),
					],
					clusters: [staticCluster("up", (upstream.address() as AddressInfo).port), staticCluster("statsd", own[2]?.tcp ?? 0)],
				},
			};
		},
		["ingress"],
	);
	for (const proxy of proxies) {
		for (let i = 0; i < requests; i++) {
			await new Promise((resolve, reject) => {
				get({ host: "127.0.0.1", port: proxy.port("ingress") }, (response) => response.resume().on("end", resolve)).on("error", reject);
			});
		}
	}
	const stop = async () => {
		await Promise.all(proxies.map((proxy) => proxy.stop()));
		for (const collector of collectors.flat()) collector.stop();
		upstream.close().closeAllConnections();
	};
	return { proxies, collectors, stop };
}

async function until(isTrue: () => boolean, what: () => string): Promise<void> {
	for (const end = performance.now() + 20_000; !isTrue(); await sleep(20)) assert.ok(performance.now() < end, what());
}

/** Names and labels of families that both have, and the values of those that are the same in every run. */
async function prometheusOf(proxy: Proxy): Promise<readonly string[]> {
	const wanted = /^envoy_(cluster_upstream_(rq)?_?(200|xx|total|pending_total|time_bucket|time_count|)|server_live|cluster_up_upstream_rq_total)\{/;
	const lines = (await proxy.admin("/stats/prometheus"))
		.split("\n")
		.filter((line) => wanted.test(line) && (line.includes('"up"') || line.startsWith("envoy_server")));
	return lines.map((line) => (line.includes("le=") && !line.includes("+Inf") ? line.replace(/ \d+$/, " <some>") : line)).sort();
}

test("statistics are named, left out, cut into buckets and sent as by Envoy", { skip: skipReason }, async (t) => {
	const { proxies, collectors, stop } = await start(stats);
	t.after(stop);
	const keys = [
		"envoy.cluster.up.upstream_rq_total|c",
		"dog.cluster.upstream_|c|#fixed:constant,my.kind:rq,nested:to,envoy.cluster_name:up",
		"tcp.cluster.up.upstream_rq_total|c",
	];
	for (const own of collectors) {
		for (const [i, collector] of own.entries()) {
			await until(
				() => collector.sums.get(keys[i] as string) === requests,
				() => `${keys[i]} is not ${requests}: ${JSON.stringify([...collector.sums])}`,
			);
		}
	}
	for (const i of [0, 1, 2]) {
		const sums = () =>
			collectors.map((own) => [...(own[i]?.sums ?? [])].filter(([key, value]) => compared.test(key) && !/external|\|g/.test(key) && value !== 0).sort());
		// What is waited for above may come in another packet, or another flush, than the rest.
		const isAlike = () => {
			const [envoy, weft] = sums();
			return (envoy?.length ?? 0) > 4 && isDeepStrictEqual(weft, envoy);
		};
		await until(isAlike, () => JSON.stringify(sums()));
	}
	const [envoy, weft] = await Promise.all(proxies.map((proxy) => prometheusOf(proxy)));
	assert.ok((envoy?.length ?? 0) > 6, String(envoy));
	assert.deepEqual(weft, envoy);
	for (const proxy of proxies) assert.doesNotMatch(await proxy.admin("/stats"), /_2xx|upstream_cx_tx/);
});

test("Envoy's own tags may be left away, and only some statistics be kept", { skip: skipReason }, async (t) => {
	const { proxies, stop } = await start(reducedStats);
	t.after(stop);
	// Envoy shows histograms as they were when they were last flushed.
	for (const end = performance.now() + 20_000; !(await proxies[0].admin("/stats/prometheus")).includes('rq_time_count{cluster="up"} 5'); await sleep(50))
		assert.ok(performance.now() < end, "no histogram");
	const [envoy, weft] = await Promise.all(proxies.map((proxy) => prometheusOf(proxy)));
	assert.ok(envoy?.includes('envoy_cluster_upstream_rq{envoy_response_code="200",cluster="up"} 5'), String(envoy));
	assert.deepEqual(weft, envoy);
	for (const proxy of proxies) {
		const names = (await proxy.admin("/stats"))
			.split("\n")
			.filter((line) => line !== "")
			.map((line) => line.split(":")[0] ?? "");
		assert.deepEqual([...new Set(names.map((name) => (name.startsWith("cluster.up.") ? "cluster.up." : name)))].sort(), ["cluster.up.", "server.live"]);
	}
});
