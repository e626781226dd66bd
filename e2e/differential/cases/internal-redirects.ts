import type { Responder } from "../../security/upstream.ts";
import { extension, httpListener, staticCluster } from "../config.ts";
import { type Case, get, reply, request, type Suite } from "../suite.ts";

const predicate = (kind: string, message: string, fields: object = {}) => extension(kind, `extensions.internal_redirect.${kind}.v3.${message}`, fields);
const safe = predicate("safe_cross_scheme", "SafeCrossSchemeConfig");
const previous = predicate("previous_routes", "PreviousRoutesConfig");
const listed = predicate("allow_listed_routes", "AllowListedRoutesConfig", { allowed_route_names: ["to"] });

/** Name of a route, and its path → its policy. */
const policies: Readonly<Record<string, object>> = {
	once: {},
	never: { max_internal_redirects: 0 },
	often: { max_internal_redirects: 3 },
	codes: { redirect_response_codes: [301, 303, 307, 200] },
	cross: { allow_cross_scheme_redirect: true },
	safe: { allow_cross_scheme_redirect: true, predicates: [safe] },
	listed: { predicates: [listed] },
	previous: { max_internal_redirects: 5, predicates: [previous] },
	copied: { response_headers_to_copy: ["x-token", "x-absent"] },
};

const virtualHosts = [
	{
		name: "all",
		domains: ["*"],
		include_request_attempt_count: true,
		routes: [
			...Object.entries(policies).map(([name, policy]) => ({
				name,
				match: { prefix: `/${name}` },
				route: { cluster: "a", internal_redirect_policy: policy },
				request_headers_to_add: [{ header: { key: "x-route", value: name } }],
			})),
			{
				name: "moved",
				match: { prefix: "/moved/" },
				route: { cluster: "a", prefix_rewrite: "/base/", internal_redirect_policy: {}, host_rewrite_literal: "h.test" },
			},
			{
				name: "retried",
				match: { prefix: "/retried" },
				route: {
					cluster: "a",
					internal_redirect_policy: {},
					retry_policy: { retry_on: "retriable-status-codes", retriable_status_codes: [302], num_retries: 1 },
				},
			},
			{ name: "plain", match: { prefix: "/plain" }, route: { cluster: "a" } },
			{ name: "to", match: { prefix: "/to" }, route: { cluster: "a" }, response_headers_to_add: [{ header: { key: "x-answered", value: "to" } }] },
			{ name: "direct", match: { path: "/direct" }, direct_response: { status: 200, body: { inline_string: "direct" } } },
			{ name: "elsewhere", match: { path: "/elsewhere" }, redirect: { path_redirect: "/to" } },
			{ name: "nowhere", match: { path: "/nowhere" }, route: { cluster: "unknown" } },
		],
	},
	{ name: "b", domains: ["b.test", "b.test:81"], routes: [{ name: "b", match: { prefix: "/" }, route: { cluster: "b" } }] },
	{ name: "tls", domains: ["tls.test"], require_tls: "ALL", routes: [{ name: "tls", match: { prefix: "/" }, route: { cluster: "b" } }] },
];

/** `/path?302,http://host/next` is answered by a redirect to there; `headers` come with it. */
const redirects =
	(...headers: readonly string[]): Responder =>
	({ method, target }) => {
		const [, status, location = ""] = /^[^?]*\?(\d+),(.*)$/.exec(target) ?? [];
		if (status === undefined) return { bytes: reply(200, [], method === "HEAD" ? "" : `saw ${method} ${target}`) };
		return { bytes: reply(Number(status), [`location: ${location.replace("%23", "#")}`, ...headers]) };
	};

const here = "http://test.example";

function one(name: string, from: string, ...headers: readonly string[]): Case {
	return { name, send: get(from, ...headers), reply: redirects("x-token: from upstream") };
}

const cases: readonly Case[] = [
	one("to a route of the same host", `/once?302,${here}/to`),
	one("to another host's", "/once?302,http://b.test/x?y=1"),
	one("to another host's, with a port", "/once?302,http://b.test:81/x"),
	one("to a host alone", "/once?302,http://b.test"),
	one("with a fragment", `/once?302,${here}/to?y%23z`),
	one("to dots in the path", `/once?302,${here}/x/../to`),
	one("to no route", `/once?302,${here}/missing`),
	one("to a direct response", `/once?302,${here}/direct`),
	one("to a redirect", `/once?302,${here}/elsewhere`),
	one("to a cluster that is not there", `/once?302,${here}/nowhere`),
	one("to a host that wants TLS", "/once?302,http://tls.test/x"),
	one("to a path alone", "/once?302,/to"),
	one("to nonsense", "/once?302,http:///"),
	one("to another scheme", "/cross?302,ftp://test.example/to"),
	{ ...one("without a location", "/once"), reply: reply(302) },
	{
		...one("with a body", "/once"),
		reply: ({ target }) => ({ bytes: target === "/once" ? reply(302, [`location: ${here}/to`], "moved") : reply(200, [], "found") }),
	},
	one("of a status that is not followed", `/once?301,${here}/to`),
	one("by a route that follows none", `/plain?302,${here}/to`),
	one("none may be followed", `/never?302,${here}/to`),
	one("twice where once is allowed", `/once?302,${here}/once?302,${here}/to`),
	one("twice where often is allowed", `/often?302,${here}/often?302,${here}/to`),
	one("as often as is allowed, and again", `/often?302,${here}/often?302,${here}/often?302,${here}/often?302,${here}/to`),
	one("from a route to one that follows less", `/often?302,${here}/once?302,${here}/to`),
	one("to a route that rewrites", `/once?302,${here}/moved/x`),
	one("from a route that rewrites", `/moved/x?302,${here}/to`),
	one("after a retry", `/retried?302,${here}/to`),
	one("301", `/codes?301,${here}/to`),
	one("302 where it is not named", `/codes?302,${here}/to`),
	one("303", `/codes?303,${here}/to`),
	{ ...one("303 after POST", ""), send: request("POST", `/codes?303,${here}/to`, ["content-type: text/plain"], "the content") },
	{ ...one("303 after HEAD", ""), send: request("HEAD", `/codes?303,${here}/to`) },
	{ ...one("307 after POST", ""), send: request("POST", `/codes?307,${here}/to`, ["content-type: text/plain"], "the content") },
	{
		...one("307 after POST in chunks", ""),
		send: `POST /codes?307,${here}/to HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`,
	},
	{
		...one("303 after POST in chunks", ""),
		send: `POST /codes?303,${here}/to HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`,
	},
	{ ...one("after a body that is too large to be kept", ""), listener: "small", send: [request("POST", `/codes?307,${here}/to`, [], "x".repeat(40_000))] },
	{ ...one("a second request on the connection", ""), send: [get(`/once?302,${here}/to`), get("/to/second")] },
	{ ...one("two requests at once", ""), send: get(`/once?302,${here}/to`) + get("/to/second"), responses: 2 },
	{ ...one("two requests at once, the first to a direct response", ""), send: get(`/once?302,${here}/direct`) + get("/to/second"), responses: 2 },
	one("from http to https", "/once?302,https://test.example/to"),
	one("from http to https where that is allowed", "/cross?302,https://test.example/to"),
	one("from http to https where that is not safe", "/safe?302,https://test.example/to"),
	one("from https to http", `/once?302,${here}/to`, "x-forwarded-proto: https"),
	one("from https to http where that is allowed", `/cross?302,${here}/to`, "x-forwarded-proto: https"),
	one("from https to http where that is safe", `/safe?302,${here}/to`, "x-forwarded-proto: https"),
	one("to a route that is listed", `/listed?302,${here}/to`),
	one("to a route that is not listed", `/listed?302,${here}/plain`),
	one("to a route that was followed to", `/previous?302,${here}/previous?302,${here}/previous?302,${here}/to`),
	one("to a route that was not followed to", `/previous?302,${here}/previous?302,${here}/to`),
	one("headers are copied", `/copied?302,${here}/to`, "x-token: from client", "x-absent: from client"),
	one("headers are not copied where it is not followed", `/copied?302,${here}/missing`, "x-token: from client", "x-absent: from client"),
	one("everything that a client may say", `/once?302,${here}/to`, "x-forwarded-for: 1.2.3.4", "x-request-id: mine", "x-envoy-original-url: theirs"),
	{ ...one("at the edge", `/once?302,${here}/to`, "x-forwarded-for: 1.2.3.4"), listener: "edge" },
];

export const internalRedirects: Suite = {
	name: "internal redirects",
	upstreams: ["a", "b"],
	listeners: ["main", "edge", "small"],
	log: { location: "%RESP(location)%", original: "%REQ(x-envoy-original-url)%", token: "%REQ(x-token)%" },
	resources: ({ upstream }, accessLog) => {
		const manager = { access_log: accessLog, normalize_path: true, route_config: { name: "r", validate_clusters: false, virtual_hosts: virtualHosts } };
		return {
			listeners: [
				httpListener("main", manager),
				httpListener("edge", { ...manager, use_remote_address: true, always_set_request_id_in_response: true }),
				httpListener("small", manager, { per_connection_buffer_limit_bytes: 4096 }),
			],
			clusters: ["a", "b"].map((name) => staticCluster(name, upstream[name] as number)),
		};
	},
	cases,
};
