import { httpListener, staticCluster } from "../config.ts";
import { type Case, get, reply, request, type Suite } from "../suite.ts";

const path = (match: object) => ({ name: ":path", string_match: match });

const routes = [
	{ name: "direct", match: { path: "/direct" }, direct_response: { status: 200, body: { inline_string: "direct" } } },
	{ name: "unknown", match: { prefix: "/unknown" }, route: { cluster: "unknown" } },
	{ name: "closed", match: { prefix: "/closed" }, route: { cluster: "closed", retry_policy: { retry_on: "connect-failure" } } },
	{ name: "retried", match: { prefix: "/retried" }, route: { cluster: "a", retry_policy: { retry_on: "5xx", num_retries: 2 } } },
	{ name: "timed", match: { prefix: "/timed" }, route: { cluster: "a", timeout: "0.1s" } },
	{ name: "rewritten", match: { prefix: "/rewritten" }, route: { cluster: "a", prefix_rewrite: "/users" } },
	{
		name: "redirected",
		match: { prefix: "/redirected" },
		route: { cluster: "a", internal_redirect_policy: {} },
	},
	{ name: "rest", match: { prefix: "/" }, route: { cluster: "a" } },
];

const virtualHosts = [
	{
		name: "counted",
		domains: ["*"],
		virtual_clusters: [
			{ name: "writes", headers: [path({ prefix: "/users" }), { name: ":method", string_match: { exact: "POST" } }] },
			{ name: "users", headers: [path({ prefix: "/users" })] },
			{ name: "gold", headers: [{ name: "x-kind", string_match: { exact: "gold" } }] },
		],
		routes,
	},
	{ name: "plain", domains: ["plain.test"], routes },
];

const one = (name: string, target: string, ...lines: readonly string[]): Case => ({ name, send: get(target, ...lines) });

const cases: readonly Case[] = [
	one("the first that matches", "/users/1"),
	{ name: "all headers must match", send: request("POST", "/users", [], "new") },
	one("by a header", "/items", "x-kind: gold"),
	one("no one's", "/items"),
	one("where there are none", "/users", "host: plain.test"),
	one("a direct response", "/direct"),
	one("a cluster that is not there", "/unknown", "x-kind: gold"),
	one("nobody listens", "/closed", "x-kind: gold"),
	one("the path counts as it was before it is rewritten", "/rewritten"),
	{ ...one("a failure", "/users"), reply: reply(503) },
	{ ...one("retries that fail", "/retried", "x-kind: gold"), reply: reply(500) },
	{
		...one("a retry that helps", "/retried", "x-kind: gold"),
		reply: ({ headers }) => ({
			bytes: headers.some(([name, value]) => name.toLowerCase() === "x-envoy-attempt-count" && value === "2") ? reply(200) : reply(500),
		}),
	},
	{ ...one("a request that takes too long", "/timed", "x-kind: gold"), reply: () => undefined },
	{
		...one("a redirect that is followed", "/redirected", "x-kind: gold"),
		reply: ({ target }) => ({ bytes: target === "/redirected" ? reply(302, ["location: http://test.example/users"]) : reply(200) }),
	},
];

export const virtualClusters: Suite = {
	name: "virtual clusters",
	upstreams: ["a"],
	listeners: ["main"],
	log: { virtual: "%VIRTUAL_CLUSTER_NAME%" },
	resources: ({ upstream, closed }, accessLog) => ({
		listeners: [
			httpListener("main", {
				access_log: accessLog,
				route_config: {
					name: "r",
					validate_clusters: false,
					virtual_hosts: virtualHosts.map((host) => ({ ...host, include_request_attempt_count: true })),
				},
			}),
		],
		clusters: [staticCluster("a", upstream["a"] as number), staticCluster("closed", closed)],
	}),
	cases,
};
