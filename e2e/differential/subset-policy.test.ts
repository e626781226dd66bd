import assert from "node:assert/strict";
import { createServer, get, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { httpListener, loopback, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

const type = "type.googleapis.com/envoy.extensions.load_balancing_policies";
const roundRobin = {
	policies: [{ typed_extension_config: { name: "envoy.load_balancing_policies.round_robin", typed_config: { "@type": `${type}.round_robin.v3.RoundRobin` } } }],
};

/** The `envoy.lb` metadata of each host, in the order of the servers. */
const hosts: readonly object[] = [
	{ stage: "prod", version: "1" },
	{ stage: "prod", version: "2" },
	{ stage: ["dev", "test"], version: 1 },
	{},
	{ stage: "dev", type: "big" },
	{ stage: "canary", version: "1", type: "big" },
];

const selectors = [{ keys: ["stage"] }, { keys: ["stage", "version"] }];
const policies: Readonly<Record<string, object>> = {
	none: { subset_selectors: selectors },
	any: { subset_selectors: selectors, fallback_policy: "ANY_ENDPOINT" },
	default: { subset_selectors: selectors, fallback_policy: "DEFAULT_SUBSET", default_subset: { stage: "prod" } },
	"default-absent": { subset_selectors: selectors, fallback_policy: "DEFAULT_SUBSET", default_subset: { stage: "no" }, panic_mode_any: true },
	keys: {
		subset_selectors: [{ keys: ["stage"] }, { keys: ["stage", "version"], fallback_policy: "KEYS_SUBSET", fallback_keys_subset: ["stage"] }],
		fallback_policy: "ANY_ENDPOINT",
	},
	own: {
		subset_selectors: [
			{ keys: ["stage"], fallback_policy: "ANY_ENDPOINT" },
			{ keys: ["stage", "version"], fallback_policy: "NO_FALLBACK" },
		],
	},
	single: { subset_selectors: [{ keys: ["stage"], single_host_per_subset: true }] },
	lists: { subset_selectors: selectors, list_as_any: true },
	redundant: { subset_selectors: [{ keys: ["type"] }, ...selectors], allow_redundant_keys: true },
	fallbacks: { subset_selectors: selectors, metadata_fallback_policy: "FALLBACK_LIST" },
	weights: { subset_selectors: selectors, locality_weight_aware: true, scale_locality_weight: true },
};

const wishes: Readonly<Record<string, object | undefined>> = {
	nothing: undefined,
	prod: { stage: "prod" },
	dev: { stage: "dev" },
	list: { stage: ["dev", "test"] },
	both: { stage: "prod", version: "2" },
	number: { stage: "prod", version: 2 },
	absent: { stage: "absent" },
	"absent-version": { stage: "prod", version: "9" },
	more: { stage: "prod", version: "1", more: "x" },
	"more-types": { stage: "canary", version: "1", type: "big" },
	type: { type: "big", more: "x" },
	"one-of": { stage: "prod", fallback_list: [{ version: "9" }, { version: "2" }] },
};

async function observe(proxy: Proxy): Promise<Readonly<Record<string, string>>> {
	const seen: Record<string, string> = {};
	for (const policy of Object.keys(policies)) {
		for (const wish of Object.keys(wishes)) {
			const answers = await Promise.all(Array.from({ length: 12 }, () => ask(proxy.port("http"), `/${policy}/${wish}/`)));
			seen[`${policy} ${wish}`] = [...new Set(answers)].sort().join(" ");
		}
		for (const [stat, value] of await proxy.counters(new RegExp(`^cluster\\.${policy}\\.lb_subsets_(selected|fallback)`))) seen[stat] = String(value);
	}
	return seen;
}

function ask(port: number, path: string): Promise<string> {
	return new Promise((resolve, reject) => {
		get({ host: "127.0.0.1", port, path }, (response) => {
			let body = "";
			response
				.on("data", (piece: Buffer) => (body += piece.toString()))
				.on("end", () => resolve(response.statusCode === 200 ? body : String(response.statusCode)));
		}).on("error", reject);
	});
}

test("the load balancing policy `subset` is Envoy's", { skip: skipReason }, async (t) => {
	const servers: Server[] = [];
	for (let i = 1; i <= hosts.length; i++) {
		const server = createServer((_, response) => response.end(String(i)));
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		servers.push(server);
	}
	t.after(() => servers.forEach((server) => server.close().closeAllConnections()));
	const ports = servers.map((server) => (server.address() as AddressInfo).port);
	const lbEndpoints = hosts.map((metadata, i) => ({
		endpoint: { address: loopback(ports[i] as number) },
		metadata: { filter_metadata: { "envoy.lb": metadata } },
	}));
	const clusterOf = (name: string, subsets: object) => ({
		...staticCluster(name, []),
		load_assignment: { cluster_name: name, endpoints: [{ locality: { zone: "a" }, load_balancing_weight: 1, lb_endpoints: lbEndpoints }] },
		load_balancing_policy: {
			policies: [
				{
					typed_extension_config: {
						name: "envoy.load_balancing_policies.subset",
						typed_config: { "@type": `${type}.subset.v3.Subset`, ...subsets, subset_lb_policy: roundRobin },
					},
				},
			],
		},
	});
	const routes = Object.keys(policies).flatMap((cluster) =>
		Object.entries(wishes).map(([wish, metadata]) => ({
			match: { prefix: `/${cluster}/${wish}/` },
			route: { cluster, ...(metadata && { metadata_match: { filter_metadata: { "envoy.lb": metadata } } }) },
		})),
	);
	const proxies = await startPair(
		() => ({
			admin: { address: loopback(0) },
			static_resources: {
				listeners: [httpListener("http", { route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] } })],
				clusters: Object.entries(policies).map(([name, subsets]) => clusterOf(name, subsets)),
			},
		}),
		["http"],
	);
	t.after(() => Promise.all(proxies.map((proxy) => proxy.stop())));
	const [envoy, weft] = [await observe(proxies[0]), await observe(proxies[1])];
	assert.deepEqual(weft, envoy);
});
