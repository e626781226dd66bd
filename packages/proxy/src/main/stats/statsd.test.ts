import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { defaultStatsConfig, type StatsConfig } from "../../config/stats-config.ts";
import { createStatsRegistry, mergeStats } from "../../data/stats/registry.ts";
import { compileStatsView, keepStats } from "../../data/stats/stats-view.ts";
import { formatStatsd, StatsDeltas } from "./statsd-lines.ts";
import { DatagramSender, pack, StreamSender } from "./statsd-senders.ts";

const viewOf = (config: Partial<StatsConfig> = {}) => compileStatsView({ ...defaultStatsConfig, ...config }).value;

test("lines say what came since the last ones", () => {
	const registry = createStatsRegistry();
	const scope = registry.openScope("cluster.outbound|80||a.");
	const counter = scope.counter("upstream_rq_200");
	const gauge = scope.gauge("active");
	const add = (by: number) => void (registry.counters[counter] = (registry.counters[counter] ?? 0) + by);
	const histogram = scope.histogram("time");
	const deltas = new StatsDeltas();
	const flush = (hasTags: boolean) => {
		const stats = mergeStats([registry.dump()]);
		return [...formatStatsd(deltas.next(stats), stats, { prefix: "p", hasTags }, viewOf())];
	};
	assert.deepEqual(flush(false), []);
	add(3);
	registry.gauges[gauge] = 2;
	for (const value of [5, 5, 5, 70]) histogram.record(value);
	const name = "p.cluster.outbound_80__a.";
	assert.deepEqual(flush(false), [`${name}upstream_rq_200:3|c`, `${name}active:2|g`, `${name}time:5|ms|@0.333333`, `${name}time:70|ms`]);
	registry.gauges[gauge] = 0;
	assert.deepEqual(flush(false), [`${name}active:0|g`]);
	add(1);
	histogram.record(5);
	registry.gauges[gauge] = -1;
	const tags = "|#envoy.cluster_name:outbound_80__a";
	assert.deepEqual(flush(true), [
		"p.cluster.upstream_rq:1|c|#envoy.response_code:200,envoy.cluster_name:outbound_80__a",
		`p.cluster.active:0|g${tags}`,
		`p.cluster.active:-1|g${tags}`,
		`p.cluster.time:5|ms${tags}`,
	]);
	// After a reset counting begins anew.
	registry.reset();
	registry.gauges[gauge] = 0;
	add(2);
	assert.deepEqual(flush(false), [`${name}upstream_rq_200:2|c`, `${name}active:0|g`]);
});

test("Istio's metrics go along, with their labels", () => {
	const series = { labels: [["reporter", "source"]] as const, counters: [["requests_total", 4]] as const, histograms: [] };
	const stats = { ...mergeStats([]), istio: [series] };
	const lines = (hasTags: boolean) => [...formatStatsd(new StatsDeltas().next(stats), stats, { prefix: "p", hasTags }, viewOf())];
	assert.deepEqual(lines(true), ["p.istiocustom.istio_requests_total:4|c|#reporter:source"]);
	assert.deepEqual(lines(false), ["p.istiocustom.istio_requests_total.reporter.source:4|c"]);
});

test("what the matcher leaves out is not there, Istio's metrics included", () => {
	const registry = createStatsRegistry();
	for (const name of ["a.x", "a.y", "b.x"]) registry.openScope(name.slice(0, 2)).counter(name.slice(2));
	const istio = [{ labels: [], counters: [["requests_total", 1]] as const, histograms: [] }];
	const all = { ...mergeStats([registry.dump()]), istio };
	const namesOf = (matcher: StatsConfig["matcher"]) => {
		const { counters, istio: series } = keepStats(all, viewOf({ matcher }));
		return [...counters.keys(), ...series.flatMap((one) => one.counters.map(([name]) => name))];
	};
	const prefix = (value: string) => ({ kind: "prefix", value, ignoreCase: false }) as const;
	assert.deepEqual(namesOf({ kind: "all" }), ["a.x", "a.y", "b.x", "requests_total"]);
	assert.deepEqual(namesOf({ kind: "none" }), []);
	assert.deepEqual(namesOf({ kind: "exclude", patterns: [prefix("a.")] }), ["b.x", "requests_total"]);
	assert.deepEqual(namesOf({ kind: "include", patterns: [prefix("b."), prefix("istiocustom")] }), ["b.x", "requests_total"]);
});

test("lines are packed as far as a datagram goes", () => {
	assert.deepEqual([...pack(["aaa", "bbb", "c".repeat(20), "d", "e"], 8)], ["aaa\nbbb", "c".repeat(20), "d\ne"]);
	assert.deepEqual([...pack([], 8)], []);
});

test("datagrams arrive", async () => {
	const server = createSocket("udp4");
	await new Promise<void>((resolve) => server.bind(0, "127.0.0.1", resolve));
	const sender = new DatagramSender({ kind: "ip", address: "127.0.0.1", port: server.address().port }, 100);
	const received = new Promise<string>((resolve) => server.once("message", (message) => resolve(message.toString())));
	assert.deepEqual(await sender.send(["a:1|c", "b:2|c"]), { dropped: 0, error: undefined });
	assert.equal(await received, "a:1|c\nb:2|c");
	sender.close();
	server.close();
});

test("a stream is made again after it ended, and a server that does not read costs lines", async () => {
	const sockets: Socket[] = [];
	let text = "";
	const server = createServer((socket) => {
		sockets.push(socket);
		socket.on("error", () => undefined);
		if (sockets.length < 3) socket.on("data", (piece) => (text += piece.toString()));
		else socket.pause();
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const { port } = server.address() as AddressInfo;
	const until = async (isTrue: () => boolean) => {
		for (const end = performance.now() + 20_000; !isTrue(); await sleep(5)) assert.ok(performance.now() < end);
	};
	const sender = new StreamSender(() => ({ kind: "ip", address: "127.0.0.1", port }), 5_000);
	await sender.send(["one"]);
	await until(() => text === "one\n");
	sockets[0]?.destroy();
	while (sockets.length < 2) {
		await sender.send(["two"]);
		await sleep(10);
	}
	await until(() => text.endsWith("two\n"));
	sockets[1]?.destroy();
	let dropped = 0;
	for (let i = 0; i < 2_000 && dropped === 0; i++) {
		({ dropped } = await sender.send(Array.from({ length: 100 }, () => "x".repeat(1_000))));
		await sleep(1);
	}
	assert.ok(dropped > 0);
	sender.close();
	for (const socket of sockets) socket.destroy();
	server.close();
	const nowhere = await new StreamSender(() => undefined, 1_000).send(["a", "b"]);
	assert.deepEqual([nowhere.dropped, nowhere.error?.message], [2, "no healthy upstream"]);
});
