import assert from "node:assert/strict";
import { createServer, get, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { httpListener, loopback, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

/** Zone → its hosts, by the number of the server; negative: not healthy. */
type Zones = Readonly<Record<string, readonly number[]>>;

interface Case {
	readonly name: string;
	readonly zones: Zones;
	/** Fields of the cluster. */
	readonly fields?: object;
	/** Weights of hosts, by their number. */
	readonly weights?: Readonly<Record<number, number>>;
}

const type = "type.googleapis.com/envoy.extensions.load_balancing_policies";
const zoneAware = (config: object) => ({ common_lb_config: { zone_aware_lb_config: config } });
const policy = (name: string, config: object) => ({ policies: [{ typed_extension_config: { name, typed_config: config } }] });
const roundRobin = (zones: object) =>
	policy("envoy.load_balancing_policies.round_robin", {
		"@type": `${type}.round_robin.v3.RoundRobin`,
		locality_lb_config: { zone_aware_lb_config: zones },
	});

const even: Zones = { a: [1, 2, 3], b: [4, 5, 6] };
const uneven: Zones = { a: [1], b: [2, 3, 4, 5, 6] };
const cases: readonly Case[] = [
	{ name: "even", zones: even },
	{ name: "uneven", zones: uneven },
	{ name: "more-here", zones: { a: [1, 2, 3, 4, 5], b: [6] } },
	{ name: "too-small", zones: { a: [1, 2], b: [3, 4] } },
	{ name: "smaller", zones: { a: [1, 2], b: [3, 4] }, fields: zoneAware({ min_cluster_size: 3 }) },
	{ name: "no-hosts-here", zones: { b: [1, 2, 3], c: [4, 5, 6] } },
	{ name: "one-zone", zones: { a: [1, 2, 3, 4, 5, 6] } },
	{ name: "three-zones", zones: { a: [1], b: [2, 3], c: [4, 5, 6] } },
	{ name: "unhealthy-here", zones: { a: [-1, -2], b: [3, 4, 5, 6, 7, 8] } },
	{ name: "seldom", zones: even, fields: zoneAware({ routing_enabled: { value: 30 } }) },
	{ name: "never", zones: even, fields: zoneAware({ routing_enabled: { value: 0 } }) },
	{ name: "panic", zones: { a: [-1, -2, -3], b: [-4, -5, 6] } },
	{ name: "panic-fails", zones: { a: [-1, -2, -3], b: [-4, -5, 6] }, fields: zoneAware({ fail_traffic_on_panic: true }) },
	{ name: "least-request", zones: uneven, fields: { lb_policy: "LEAST_REQUEST" } },
	{ name: "random", zones: even, fields: { lb_policy: "RANDOM" } },
	{ name: "hashing", zones: even, fields: { lb_policy: "RING_HASH" } },
	{ name: "policy", zones: uneven, fields: { load_balancing_policy: roundRobin({ min_cluster_size: 2 }) } },
	{ name: "forced", zones: uneven, fields: { load_balancing_policy: roundRobin({ force_local_zone: {} }) } },
	{ name: "forced-from-two", zones: uneven, fields: { load_balancing_policy: roundRobin({ force_local_zone: { min_size: 2 } }) } },
	{
		name: "by-weight",
		zones: uneven,
		weights: { 1: 5 },
		fields: { load_balancing_policy: roundRobin({ locality_basis: "HEALTHY_HOSTS_WEIGHT" }) },
	},
	{
		name: "subsets",
		zones: even,
		fields: {
			load_balancing_policy: policy("envoy.load_balancing_policies.subset", {
				"@type": `${type}.subset.v3.Subset`,
				fallback_policy: "ANY_ENDPOINT",
				subset_selectors: [{ keys: ["k"] }],
				subset_lb_policy: roundRobin({ min_cluster_size: 2 }),
			}),
		},
	},
];

const locals: Readonly<Record<string, Zones>> = {
	even: { a: [1, 2, 3], b: [4, 5, 6] },
	"more of us here": { a: [1, 2, 3], b: [4] },
	"one zone": { a: [1, 2, 3] },
	"none of us here": { b: [1, 2], c: [3] },
	"not well": { a: [-1, -2, -3], b: [-4, 5] },
};

const requests = 240;

/** How many requests of each cluster went to each zone, and what the balancer counted. */
async function observe(proxy: Proxy): Promise<ReadonlyMap<string, Readonly<Record<string, number>>>> {
	const seen = new Map<string, Record<string, number>>();
	for (const { name, zones } of cases) {
		const zoneOf = new Map(Object.entries(zones).flatMap(([zone, hosts]) => hosts.map((host) => [String(Math.abs(host)), zone] as const)));
		const counted: Record<string, number> = {};
		for (let sent = 0; sent < requests; sent += 20) {
			const answers = await Promise.all(Array.from({ length: 20 }, () => ask(proxy.port("http"), name)));
			for (const answer of answers) counted[zoneOf.get(answer) ?? answer] = (counted[zoneOf.get(answer) ?? answer] ?? 0) + 1;
		}
		for (const [stat, value] of await proxy.counters(new RegExp(`^cluster\\.${name}\\.lb_(zone|local|healthy_panic)`))) {
			// How often the structures are looked at depends on what else changes: those are a few.
			if (value > 10) counted[stat.split(".").at(-1) as string] = value;
		}
		seen.set(name, counted);
	}
	return seen;
}

function ask(port: number, path: string): Promise<string> {
	return new Promise((resolve, reject) => {
		get({ host: "127.0.0.1", port, path: `/${path}/` }, (response) => {
			let body = "";
			response
				.on("data", (piece: Buffer) => (body += piece.toString()))
				.on("end", () => resolve(response.statusCode === 200 ? body : String(response.statusCode)));
		}).on("error", reject);
	});
}

function clusterOf(name: string, zones: Zones, ports: readonly number[], fields: object = {}, weights: Case["weights"] = {}): object {
	const endpoints = Object.entries(zones).map(([zone, hosts]) => ({
		locality: { zone },
		lb_endpoints: hosts.map((host) => ({
			endpoint: { address: loopback(ports[Math.abs(host) - 1] as number) },
			health_status: host < 0 ? "UNHEALTHY" : "HEALTHY",
			load_balancing_weight: weights[Math.abs(host)] ?? 1,
		})),
	}));
	return { ...staticCluster(name, []), load_assignment: { cluster_name: name, endpoints }, ...fields };
}

test("requests stay in the zone as in Envoy", { skip: skipReason }, async (t) => {
	const servers: Server[] = [];
	for (let i = 1; i <= 8; i++) {
		const server = createServer((_, response) => response.end(String(i)));
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		servers.push(server);
	}
	t.after(() => servers.forEach((server) => server.close().closeAllConnections()));
	const ports = servers.map((server) => (server.address() as AddressInfo).port);
	const routes = cases.map(({ name }) => ({ match: { prefix: `/${name}/` }, route: { cluster: name } }));
	for (const [name, local] of Object.entries(locals)) {
		await t.test(`the local cluster: ${name}`, async () => {
			const build = () => ({
				node: { id: "n", cluster: "self", locality: { zone: "a" } },
				admin: { address: loopback(0) },
				cluster_manager: { local_cluster_name: "self" },
				static_resources: {
					listeners: [httpListener("http", { route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] } })],
					clusters: [
						clusterOf("self", local, ports),
						...cases.map(({ name: cluster, zones, fields, weights }) => clusterOf(cluster, zones, ports, fields, weights)),
					],
				},
			});
			const proxies = await startPair(build, ["http"]);
			try {
				const [envoy, weft] = [await observe(proxies[0]), await observe(proxies[1])];
				for (const { name: cluster } of cases) {
					const [wanted = {}, got = {}] = [envoy.get(cluster), weft.get(cluster)];
					const what = `${cluster}: ${JSON.stringify({ envoy: wanted, weft: got })}`;
					for (const key of new Set([...Object.keys(wanted), ...Object.keys(got)])) {
						// Dice: five standard deviations of a difference at the worst share.
						assert.ok(Math.abs((wanted[key] ?? 0) - (got[key] ?? 0)) <= 55, `${key} of ${what}`);
						assert.ok((wanted[key] ?? 0) <= 40 || (got[key] ?? 0) > 0, `${key} of ${what}`);
						assert.ok((got[key] ?? 0) <= 40 || (wanted[key] ?? 0) > 0, `${key} of ${what}`);
					}
				}
			} finally {
				await Promise.all(proxies.map((proxy) => proxy.stop()));
			}
		});
	}
});
