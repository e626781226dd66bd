import assert from "node:assert/strict";
import { createServer, get, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { httpListener, loopback, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

/** Name of the cluster → its ratio. */
const ratios: Readonly<Record<string, number | undefined>> = { none: undefined, one: 1, half: 1.5, double: 2, triple: 3 };
const together = 4;

/** Of the cluster, whose next hosts get connections. */
const predictive: readonly (readonly [hosts: number, ratio: number, lb: string])[] = [
	[1, 2, "ROUND_ROBIN"],
	[3, 1.5, "ROUND_ROBIN"],
	[3, 2, "ROUND_ROBIN"],
	[3, 3, "ROUND_ROBIN"],
	[2, 3, "LEAST_REQUEST"],
];

/** Once everybody is there. */
function gate(count: number): () => Promise<void> {
	let waiting: (() => void)[] = [];
	return () =>
		new Promise((resolve) => {
			waiting.push(resolve);
			if (waiting.length < count) return;
			for (const go of waiting) go();
			waiting = [];
		});
}

/** They answer requests for `…/together` together. */
async function startHosts(t: TestContext, count: number): Promise<readonly number[]> {
	const all = gate(together);
	const servers = Array.from({ length: count }, () =>
		createServer((request, response) => void (request.url?.endsWith("/together") ? all() : Promise.resolve()).then(() => response.end("ok"))),
	);
	t.after(() => {
		for (const server of servers) server.close().closeAllConnections();
	});
	return Promise.all(servers.map(listen));
}

async function listen(server: Server): Promise<number> {
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return (server.address() as AddressInfo).port;
}

const ask = (port: number, path: string) =>
	new Promise<void>((resolve, reject) => {
		get({ port, path, agent: false }, (response) => response.resume().on("end", resolve)).on("error", reject);
	});

/** Connections made: by one request, then by some that are under way at once. */
async function observe(proxy: Proxy, names: readonly string[]): Promise<Readonly<Record<string, number>>> {
	const seen: Record<string, number> = {};
	for (const name of names) {
		const made = async () => (await proxy.counters(new RegExp(`^cluster\\.${name}\\.upstream_cx_total$`))).get(`cluster.${name}.upstream_cx_total`) ?? 0;
		await ask(proxy.port("http"), `/${name}/alone`);
		await sleep(100);
		seen[`${name} alone`] = await made();
		await Promise.all(Array.from({ length: together }, () => ask(proxy.port("http"), `/${name}/together`)));
		await sleep(100);
		seen[`${name} together`] = await made();
	}
	return seen;
}

test("connections are made ahead of requests as in Envoy", { skip: skipReason }, async (t) => {
	const [port = 0] = await startHosts(t, 1);
	const pair = await startPair(
		() => ({
			admin: { address: loopback(0) },
			static_resources: {
				listeners: [
					httpListener("http", {
						route_config: {
							virtual_hosts: [
								{ name: "all", domains: ["*"], routes: Object.keys(ratios).map((name) => ({ match: { prefix: `/${name}/` }, route: { cluster: name } })) },
							],
						},
					}),
				],
				clusters: Object.entries(ratios).map(([name, ratio]) => ({
					...staticCluster(name, port),
					...(ratio === undefined ? {} : { preconnect_policy: { per_upstream_preconnect_ratio: ratio } }),
				})),
			},
		}),
		["http"],
	);
	t.after(() => Promise.all(pair.map((proxy) => proxy.stop())));
	const names = Object.keys(ratios);
	const [envoy, weft] = [await observe(pair[0], names), await observe(pair[1], names)];
	assert.equal(envoy["double alone"], 2, "Envoy preconnects");
	assert.deepEqual(weft, envoy);
});

// Envoy counts the connections of all clusters together, so each case has a proxy of its own.
for (const [hosts, ratio, lb] of predictive) {
	test(`connections are made to those of ${hosts} hosts that come next (${lb}, ${ratio}) as in Envoy`, { skip: skipReason }, async (t) => {
		const ports = await startHosts(t, hosts);
		const cluster = { ...staticCluster("ahead", ports), lb_policy: lb, preconnect_policy: { predictive_preconnect_ratio: ratio } };
		const route_config = { virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "ahead" } }] }] };
		const pair = await startPair(
			() => ({ admin: { address: loopback(0) }, static_resources: { listeners: [httpListener("http", { route_config })], clusters: [cluster] } }),
			["http"],
		);
		t.after(() => Promise.all(pair.map((proxy) => proxy.stop())));
		const [envoy, weft] = [await observe(pair[0], ["ahead"]), await observe(pair[1], ["ahead"])];
		if (lb === "LEAST_REQUEST") return assert.deepEqual([weft["ahead alone"], envoy["ahead alone"]], [1, 1]);
		assert.deepEqual(weft, envoy);
	});
}
