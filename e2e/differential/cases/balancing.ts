import { httpListener, keyedHost, loopback, staticCluster } from "../config.ts";
import { type Case, get, type Suite } from "../suite.ts";

const names = ["a", "b", "c", "d", "e"];
const forward = (name: string, cluster: string, more: object = {}) => ({ name, match: { prefix: `/${name}` }, route: { cluster, ...more } });
const byHeader = { hash_policy: [{ header: { header_name: "x-key" } }] };

const routes = [
	forward("ring", "ring", byHeader),
	forward("ring-weighted", "ring-weighted", byHeader),
	forward("murmur", "murmur", byHeader),
	forward("maglev", "maglev", byHeader),
	forward("maglev-hostname", "maglev-hostname", byHeader),
	forward("query", "ring", { hash_policy: [{ query_parameter: { name: "k" } }] }),
	forward("cookie", "ring", { hash_policy: [{ cookie: { name: "session" } }] }),
	forward("cookie-set", "ring", { hash_policy: [{ cookie: { name: "session", ttl: "60s", path: "/p" } }] }),
	forward("source", "ring", { hash_policy: [{ connection_properties: { source_ip: true } }] }),
	forward("several", "ring", { hash_policy: [{ header: { header_name: "x-key" }, terminal: true }, { header: { header_name: "x-other" } }] }),
	forward("both", "ring", { hash_policy: [{ header: { header_name: "x-key" } }, { header: { header_name: "x-other" } }] }),
	forward("rewritten", "ring", {
		hash_policy: [{ header: { header_name: "x-key", regex_rewrite: { pattern: { regex: "-.*" }, substitution: "" } } }],
	}),
	forward("priorities", "priorities"),
	forward("locality", "locality"),
	forward("panic", "panic", byHeader),
	{
		name: "weighted",
		match: { prefix: "/weighted" },
		route: {
			weighted_clusters: {
				header_name: "x-random",
				clusters: [
					{ name: "one-a", weight: 20 },
					{ name: "one-b", weight: 30 },
					{ name: "one-c", weight: 50 },
				],
			},
		},
	},
];

const keys = Array.from({ length: 24 }, (_, i) => `key-${i}`);
const each = (path: string): readonly Case[] => keys.map((key) => ({ name: `${path} ${key}`, send: get(`/${path}`, `x-key: ${key}`) }));

const cases: readonly Case[] = [
	...["ring", "ring-weighted", "murmur", "maglev", "maglev-hostname"].flatMap(each),
	...["1", "two", ""].map((value): Case => ({ name: `query parameter ${value}`, send: get(`/query?x=1&k=${value}`) })),
	...["s1", "s2"].map((value): Case => ({ name: `cookie ${value}`, send: get("/cookie", `cookie: other=1; session=${value}`) })),
	...["x,y", "1 ", "x"].map((value): Case => ({ name: `cookie "${value}"`, send: get("/cookie", `cookie: session=${value}; other=1`) })),
	{ name: "a cookie in a line of its own", send: get("/cookie", "cookie: a=1", "cookie: session=s1") },
	{ name: "cookie that is there", send: get("/cookie-set", "cookie: session=abc") },
	{ name: "source address", send: get("/source") },
	{ name: "terminal, first", send: get("/several", "x-key: 1", "x-other: 2") },
	{ name: "terminal, second", send: get("/several", "x-other: 2") },
	...["1", "2", "3"].map((value): Case => ({ name: `two headers ${value}`, send: get("/both", `x-key: ${value}`, "x-other: 2") })),
	{ name: "header twice", send: get("/ring", "x-key: b", "x-key: a") },
	{ name: "rewritten header", send: get("/rewritten", "x-key: 1-2-3") },
	{ name: "highest priority", send: get("/priorities") },
	{ name: "locality of all weight", send: get("/locality") },
	...keys.slice(0, 6).map((key): Case => ({ name: `panic ${key}`, send: get("/panic", `x-key: ${key}`) })),
	// What is no number is a draw of lots in either.
	...["0", "19", "20", "49", "50", "99", "100", "12345"].map(
		(value): Case => ({ name: `weighted by header ${value}`, send: get("/weighted", `x-random: ${value}`) }),
	),
];

export const balancing: Suite = {
	name: "balancing",
	upstreams: names,
	listeners: ["main"],
	resources: ({ upstream }, accessLog) => {
		const port = (name: string) => upstream[name] as number;
		const host = (name: string, more: object = {}) => keyedHost(name, port(name), {}, more);
		const cluster = (name: string, localities: readonly object[], more: object) => ({
			name,
			type: "STATIC",
			connect_timeout: "1s",
			load_assignment: { cluster_name: name, endpoints: localities },
			...more,
		});
		const all = [{ lb_endpoints: names.map((name) => host(name)) }];
		return {
			listeners: [httpListener("main", { access_log: accessLog, route_config: { name: "r", virtual_hosts: [{ name: "all", domains: ["*"], routes }] } })],
			clusters: [
				cluster("ring", all, { lb_policy: "RING_HASH" }),
				cluster("murmur", all, { lb_policy: "RING_HASH", ring_hash_lb_config: { hash_function: "MURMUR_HASH_2", minimum_ring_size: 64 } }),
				cluster("ring-weighted", [{ lb_endpoints: names.map((name, i) => host(name, { load_balancing_weight: i + 1 })) }], { lb_policy: "RING_HASH" }),
				cluster("maglev", all, { lb_policy: "MAGLEV" }),
				cluster("maglev-hostname", [{ lb_endpoints: names.map((name) => ({ endpoint: { address: loopback(port(name)), hostname: `${name}.test` } })) }], {
					type: "STRICT_DNS",
					lb_policy: "MAGLEV",
					maglev_lb_config: { table_size: 251 },
					common_lb_config: { consistent_hashing_lb_config: { use_hostname_for_hashing: true } },
				}),
				cluster("priorities", [{ priority: 1, lb_endpoints: [host("b")] }, { lb_endpoints: [host("a")] }], {}),
				cluster(
					"locality",
					[
						{ locality: { region: "x" }, load_balancing_weight: 1, lb_endpoints: [host("c")] },
						{ locality: { region: "y" }, lb_endpoints: [host("d")] },
					],
					{ common_lb_config: { locality_weighted_lb_config: {} } },
				),
				cluster("panic", [{ lb_endpoints: names.map((name) => host(name, { health_status: name === "a" ? "HEALTHY" : "UNHEALTHY" })) }], {
					lb_policy: "RING_HASH",
				}),
				...["a", "b", "c"].map((name) => staticCluster(`one-${name}`, port(name))),
			],
		};
	},
	cases,
};
