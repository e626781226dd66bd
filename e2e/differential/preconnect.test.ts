import assert from "node:assert/strict";
import { createServer, get, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { httpListener, loopback, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

/** Name of the cluster → its ratio. */
const ratios: Readonly<Record<string, number | undefined>> = { none: undefined, one: 1, half: 1.5, double: 2, triple: 3 };
const together = 4;

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

async function listen(server: Server): Promise<number> {
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return (server.address() as AddressInfo).port;
}

const ask = (port: number, path: string) =>
	new Promise<void>((resolve, reject) => {
		get({ port, path, agent: false }, (response) => response.resume().on("end", resolve)).on("error", reject);
	});

/** Connections made: by one request, then by some that are under way at once. */
async function observe(proxy: Proxy): Promise<Readonly<Record<string, number>>> {
	const seen: Record<string, number> = {};
	for (const name of Object.keys(ratios)) {
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
	const all = gate(together);
	const server = createServer((request, response) => void (request.url?.endsWith("/together") ? all() : Promise.resolve()).then(() => response.end("ok")));
	const port = await listen(server);
	t.after(() => {
		server.closeAllConnections();
		server.close();
	});
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
	const [envoy, weft] = [await observe(pair[0]), await observe(pair[1])];
	assert.equal(envoy["double alone"], 2, "Envoy preconnects");
	assert.deepEqual(weft, envoy);
});
