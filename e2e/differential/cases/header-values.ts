import { extension, httpListener, staticCluster } from "../config.ts";
import { type Case, get, reply, request, type Suite } from "../suite.ts";

/** Some of those that Envoy keeps on one line, and some that it does not. */
const appended = [
	...["accept", "authorization", "cache-control", "content-type", "cookie", "etag", "expires", "location", "origin", "set-cookie", "user-agent", "vary"],
	...["via", "x-custom", "x-envoy-original-path", "x-forwarded-host", "x-forwarded-port", "x-request-id"],
];
const one = (name: string, value: string) => ({ header: { key: name, value } });
const forward = (path: string, more: object = {}, ofRoute: object = {}) => ({ name: path, match: { path }, route: { cluster: "a", ...more }, ...ofRoute });
const template = (path: string) => ({
	path_match_policy: extension("template", "extensions.path.match.uri_template.v3.UriTemplateMatchConfig", { path_template: path }),
});

const ofAnswer = "%RESPONSE_CODE% %ACCESS_LOG_TYPE% %REQUEST_HEADERS_BYTES%";

const routes = [
	...appended.map((name) => forward(`/append/${name}`, {}, { request_headers_to_add: [one(name, "new")], response_headers_to_add: [one(name, "new")] })),
	forward("/host-header", { host_rewrite_header: "x-host", append_x_forwarded_host: true }),
	forward("/query", {}, { request_headers_to_add: [one("x-query", "<%QUERY_PARAM(q)%>"), one("x-part", "%QUERY_PARAM(q):2%")] }),
	forward("/environment", {}, { request_headers_to_add: [one("x-variable", "<%ENVIRONMENT(NO_SUCH_VARIABLE)%>")] }),
	{ name: "of an answer", match: { path: "/of-answer" }, redirect: { path_redirect: "/x" }, response_headers_to_add: [one("x-of", ofAnswer)] },
	{ name: "of a body", match: { path: "/of-body" }, direct_response: { status: 201 }, response_headers_to_add: [one("x-of", ofAnswer)] },
	forward(
		"/of-both",
		{ timeout: "3s" },
		{ request_headers_to_add: [one("x-of", "%RESPONSE_CODE% %ACCESS_LOG_TYPE%")], response_headers_to_add: [one("x-of", ofAnswer)] },
	),
	{ name: "grpc", match: { prefix: "/grpc", grpc: {} }, direct_response: { status: 200 } },
	{ name: "template", match: template("/t/{a}/{b=**}"), direct_response: { status: 200 } },
];

const cases: readonly Case[] = [
	...appended.flatMap((name): readonly Case[] => [
		{ name: `append to ${name}`, send: get(`/append/${name}`, `${name}: old`), reply: reply(200, [`${name}: old`]) },
		// What is made up differs.
		...(name === "x-request-id" ? [] : [{ name: `append ${name} where there is none`, send: get(`/append/${name}`), reply: reply(200) }]),
	]),
	{ name: "a host from a header", send: get("/host-header", "x-host: a.example", "x-forwarded-host: old.example") },
	{ name: "a host from two headers", send: get("/host-header", "x-host: a.example", "x-host: b.example") },
	{ name: "a host from no header", send: get("/host-header") },
	...["q=a%20b", "q=a+b", "q=%2b", "q=%zz%", "q=", "q", "%71=1", "q=1&q=2", "x=1"].map(
		(query): Case => ({ name: `parameter of ${query}`, send: get(`/query?${query}`) }),
	),
	...["/of-answer", "/of-body", "/of-both"].map((path): Case => ({ name: `what is known at ${path}`, send: get(path, "x-id: a") })),
	{ name: "a variable that is not set", send: get("/environment") },
	...["application/grpc", "application/grpc+proto", "application/grpc;x", "application/grpcx"].map(
		(type): Case => ({ name: `gRPC: ${type}`, send: request("POST", "/grpc/x", [`content-type: ${type}`], "abc") }),
	),
	...["/t/!$&'()*+,;=:@~/x", "/t/a*b/x/*", "/t/a|b/x"].map((path): Case => ({ name: `template: ${path}`, send: get(path) })),
];

export const headerValues: Suite = {
	name: "header values",
	upstreams: ["a"],
	listeners: ["main"],
	resources: ({ upstream }, access_log) => ({
		listeners: [
			httpListener("main", {
				access_log,
				delayed_close_timeout: "0.01s",
				preserve_external_request_id: true,
				route_config: { name: "r", virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
			}),
		],
		clusters: [staticCluster("a", upstream["a"] as number)],
	}),
	cases,
};
