import assert from "node:assert/strict";
import { before, test } from "node:test";
import * as fc from "fast-check";
import type { HeaderMatch, PathMatch } from "../../config/matchers.ts";
import type { RouteTable } from "../../config/routes.ts";
import { RuntimeValues } from "../../config/runtime-values.ts";
import { createHeaders, createRequestView } from "../headers/headers-view.ts";
import { type Hash64, loadHash64 } from "../lb/hash.ts";
import { createConnectionInfo, createStreamInfo, type StreamInfo } from "../log/stream-info.ts";
import { chooseCluster, compileRouteTable, matchTable } from "./route-table.ts";
import { noHeaderOperations, route, routeAction, routeTable, virtualHost } from "./test-config.ts";

let hash64: Hash64;
const runtime = new RuntimeValues();
const info = createStreamInfo(createConnectionInfo({ remoteAddress: "10.0.0.1:1", localAddress: "10.0.0.2:2" }));
const environment = { hostname: "h", env: {}, nowMs: () => 0 };
before(async () => {
	hash64 = await loadHash64();
});

function compile(table: RouteTable) {
	const { value, errors } = compileRouteTable(table, { environment, hash64, runtime });
	assert.deepEqual(errors, []);
	return value;
}

function nameOf(table: RouteTable, request: Parameters<typeof createRequestView>[0], random = () => 0) {
	return matchTable(compile(table), createRequestView(request), random, info)?.config.name;
}

const named = (name: string, path: PathMatch) => route({ name, path });
const prefix = (value: string, caseSensitive = true): PathMatch => ({ kind: "prefix", value, caseSensitive });
const exact = (value: string, caseSensitive = true): PathMatch => ({ kind: "exact", value, caseSensitive });

test("a virtual host is chosen by exact domain, then longest suffix, then longest prefix, then *", () => {
	const domains = ["a.foo.com", "*.foo.com", "*-bar.foo.com", "*.com", "api.*", "api.x.*", "*"];
	const table = routeTable(domains.map((domain) => virtualHost({ name: domain, domains: [domain], routes: [route({ name: domain })] })));
	for (const [authority, wanted] of [
		["a.foo.com", "a.foo.com"],
		["A.FOO.com", "a.foo.com"],
		["b.foo.com", "*.foo.com"],
		["x-bar.foo.com", "*-bar.foo.com"],
		["-bar.foo.com", "*.foo.com"],
		["foo.com", "*.com"],
		["api.x.org", "api.x.*"],
		["api.y.org", "api.*"],
		["other.org", "*"],
		["a.foo.com:80", "*"],
	] as const) {
		assert.equal(nameOf(table, { authority }), wanted, authority);
	}
	assert.equal(nameOf({ ...table, ignorePortInHostMatching: true }, { authority: "a.foo.com:80" }), "a.foo.com");
});

test("a domain that occurs twice is reported", () => {
	const { errors } = compileRouteTable(routeTable([virtualHost({ domains: ["a"] }), virtualHost({ name: "w", domains: ["A"] })]), {
		environment,
		hash64,
		runtime,
	});
	assert.match(errors.join(), /already taken/);
});

test("virtual hosts may have the same name", () => {
	const host = (domain: string) => virtualHost({ name: "v", domains: [domain], routes: [route({ name: domain })] });
	const table = routeTable([host("a"), host("b")]);
	assert.deepEqual([nameOf(table, { authority: "a" }), nameOf(table, { authority: "b" })], ["a", "b"]);
});

test("the first route that fits wins, whatever kind of path it has", () => {
	const routes = [
		named("exact", exact("/a/b")),
		named("sep", { kind: "pathSeparatedPrefix", value: "/api", caseSensitive: true }),
		named("regex", { kind: "regex", value: "/r/[0-9]+" }),
		named("long", prefix("/a/")),
		named("ci", prefix("/CI", false)),
		named("query", prefix("/q?x=")),
		named("late exact", exact("/a/late")),
		named("rest", prefix("/")),
	];
	const table = routeTable([virtualHost({ routes })]);
	for (const [path, wanted] of [
		["/a/b", "exact"],
		["/a/b?x=1", "exact"],
		["/a/b/", "long"],
		["/a/late", "long"],
		["/api", "sep"],
		["/api/v", "sep"],
		["/api?x", "sep"],
		["/apiary", "rest"],
		["/r/12", "regex"],
		["/r/12?y", "regex"],
		["/r/12x", "rest"],
		["/ci/x", "ci"],
		["/q?x=1", "query"],
		["/q?y=1", "rest"],
	] as const) {
		assert.equal(nameOf(table, { path }), wanted, path);
	}
});

test("the index finds what a linear search over the routes finds", () => {
	const segment = fc.constantFrom("a", "b", "ab", "");
	const path = fc.array(segment, { maxLength: 4 }).map((parts) => `/${parts.join("/")}`);
	const match = fc.oneof(
		fc.record({ kind: fc.constantFrom("prefix", "exact", "pathSeparatedPrefix"), value: path, caseSensitive: fc.boolean() }),
		path.map((value) => ({ kind: "regex" as const, value: `${value}.*` })),
	) as fc.Arbitrary<PathMatch>;
	const fits = (m: PathMatch, p: string): boolean => {
		if (m.kind === "connect") return false;
		if (m.kind === "regex") return p.startsWith(m.value.slice(0, -2));
		return m.kind === "exact" ? p === m.value : p.startsWith(m.value) && (m.kind === "prefix" || p.length === m.value.length || p[m.value.length] === "/");
	};
	fc.assert(
		fc.property(fc.array(match, { maxLength: 12 }), path, (matches, p) => {
			const table = routeTable([virtualHost({ routes: matches.map((m, i) => named(String(i), m)) })]);
			const wanted = matches.findIndex((m) => fits(m, p));
			assert.equal(nameOf(table, { path: p }), wanted < 0 ? undefined : String(wanted));
		}),
		{ numRuns: 300 },
	);
});

const header = (name: string, match: HeaderMatch["match"], parts: Partial<HeaderMatch> = {}): HeaderMatch => ({
	name,
	match,
	invert: false,
	treatMissingAsEmpty: false,
	...parts,
});

test("header matchers follow Envoy's rules for missing and inverted headers", () => {
	const jason = { kind: "exact", value: "jason", ignoreCase: false } as const;
	const cases: readonly (readonly [HeaderMatch, Record<string, string>, boolean])[] = [
		[header("end-user", jason), { "end-user": "jason" }, true],
		[header("end-user", jason), {}, false],
		[header("end-user", jason, { invert: true }), { "end-user": "x" }, true],
		[header("end-user", jason, { invert: true }), {}, false],
		[header("end-user", jason, { invert: true, treatMissingAsEmpty: true }), {}, true],
		[header("x", { kind: "present" }), {}, false],
		[header("x", { kind: "present" }, { invert: true }), {}, true],
		[header("n", { kind: "range", start: 1, end: 10 }), { n: "9" }, true],
		[header("n", { kind: "range", start: 1, end: 10 }), { n: "10" }, false],
		[header("cookie", { kind: "regex", value: "^(.*?;)?(user=jason)(;.*)?$" }), { cookie: "a=b;user=jason;c" }, true],
		[header("cookie", { kind: "regex", value: "user=jason" }), { cookie: "a=b;user=jason" }, false],
		[header(":method", { kind: "exact", value: "GET", ignoreCase: false }), {}, true],
		[header("x", { kind: "contains", value: "B", ignoreCase: true }), { x: "abc" }, true],
	];
	for (const [match, headers, wanted] of cases) {
		const table = routeTable([virtualHost({ routes: [route({ name: "r", headers: [match] })] })]);
		assert.equal(nameOf(table, { headers }) === "r", wanted, JSON.stringify([match, headers]));
	}
});

test("query parameters match by their first value", () => {
	const table = routeTable([virtualHost({ routes: [route({ name: "r", query: [{ name: "v", match: { kind: "exact", value: "1", ignoreCase: false } }] })] })]);
	assert.equal(nameOf(table, { path: "/?a=2&v=1" }), "r");
	assert.equal(nameOf(table, { path: "/?v=2&v=1" }), undefined);
	assert.equal(nameOf(table, { path: "/?vv=1" }), undefined);
	assert.equal(nameOf(table, { path: "/" }), undefined);
});

test("an invalid regular expression is reported and matches nothing", () => {
	const { value, errors } = compileRouteTable(routeTable([virtualHost({ routes: [named("r", { kind: "regex", value: "(" })] })]), {
		environment,
		hash64,
		runtime,
	});
	assert.match(errors.join(), /invalid regular expression/);
	assert.equal(
		matchTable(value, createRequestView({}), () => 0, info),
		undefined,
	);
});

test("weighted clusters share the requests by weight, and add their own headers first", () => {
	const add = (value: string) => ({ ...noHeaderOperations, requestAdd: [{ name: "x", value, action: "append" as const, keepEmpty: false }] });
	const clusters = [
		{ name: "v1", weight: 90, headers: add("w%UPSTREAM_CLUSTER%"), hostRewrite: undefined, filters: {} },
		{ name: "v2", weight: 10, headers: noHeaderOperations, hostRewrite: "other", filters: {} },
	];
	const action = routeAction({ cluster: { kind: "weighted", clusters, totalWeight: 100, header: "", usesHashPolicy: false } });
	const vhost = virtualHost({ routes: [route({ action, headerOperations: add("r") })], headers: add("v") });
	const order = (mostSpecificHeaderMutationsWins: boolean) => {
		const matched = matchTable(compile(routeTable([vhost], { headers: add("t"), mostSpecificHeaderMutationsWins })), createRequestView({}), () => 0, info);
		assert.ok(matched?.action.kind === "route");
		const forward = matched.action;
		assert.equal(chooseCluster(forward, createRequestView({}), () => 0.95, info).cluster, "v2");
		const choice = chooseCluster(forward, createRequestView({}), () => 0.899, info);
		assert.equal(choice.cluster, "v1");
		const head = createHeaders();
		choice.mutateRequest?.(head, { ...createStreamInfo(createConnectionInfo()), upstreamCluster: "v1" });
		return head.get("x");
	};
	assert.equal(order(false), "wv1,r,v,t");
	assert.equal(order(true), "wv1,t,v,r");
});

test("paths and hosts are rewritten", () => {
	const rewritten = (path: PathMatch, parts: Parameters<typeof routeAction>[0], requested: string) => {
		const matched = matchTable(
			compile(routeTable([virtualHost({ routes: [route({ path, action: routeAction(parts) })] })])),
			createRequestView({ path: requested }),
			() => 0,
			info,
		);
		assert.ok(matched?.action.kind === "route");
		return matched.action.rewritePath?.(requested, info) ?? matched.action.rewriteHost?.(createRequestView({ path: requested }), info);
	};
	assert.equal(rewritten(prefix("/old"), { prefixRewrite: "/new" }, "/old/x?y=1"), "/new/x?y=1");
	assert.equal(rewritten(exact("/old"), { prefixRewrite: "/new" }, "/old?y=1"), "/new?y=1");
	assert.equal(rewritten(prefix("/"), { regexRewrite: { pattern: "^/svc/([^/]+)(/.*)$", substitution: "\\2/at/\\1$" } }, "/svc/a/b?q"), "/b/at/a$?q");
	assert.equal(rewritten(prefix("/"), { hostRewrite: { kind: "pathRegex", pattern: "^/(\\w+)/.*$", substitution: "\\1.example" } }, "/a/b"), "a.example");
});

test("redirects build their location from what they are given and the request", () => {
	const location = (parts: object, head: Parameters<typeof createRequestView>[0]) => {
		const action = {
			kind: "redirect",
			status: 301,
			scheme: undefined,
			host: undefined,
			port: undefined,
			path: undefined,
			stripQuery: false,
			...parts,
		} as const;
		const matched = matchTable(compile(routeTable([virtualHost({ routes: [route({ path: prefix("/p"), action })] })])), createRequestView(head), () => 0, info);
		assert.ok(matched?.action.kind === "redirect");
		return matched.action.location(createRequestView(head), info);
	};
	assert.equal(location({ scheme: "https" }, { authority: "a:80", path: "/p?x" }), "https://a/p?x");
	assert.equal(location({ host: "b", stripQuery: true }, { path: "/p/1?x" }), "http://b/p/1");
	assert.equal(location({ port: 8080 }, { authority: "a:80", path: "/p" }), "http://a:8080/p");
	assert.equal(location({ port: 443, scheme: "https" }, { authority: "a:8080", path: "/p" }), "https://a:443/p");
	assert.equal(location({ path: { kind: "full", value: "/new" } }, { path: "/p/1?x=1" }), "http://example.com/new?x=1");
	assert.equal(location({ path: { kind: "prefix", value: "/q" } }, { path: "/p/1?x=1" }), "http://example.com/q/1?x=1");
});

test("a tree says which routes are tried, and a route that it leads to must fit, too", () => {
	const routes = [named("a", prefix("/a")), named("b", prefix("/b")), named("both", exact("/a/b"))];
	const input = { kind: "header", name: "x-key" } as const;
	const action = (...positions: readonly number[]) => ({ kind: "action", action: positions }) as const;
	const entries = [
		["one", action(0)],
		["two", action(1, 0)],
		["three", action(2)],
	] as const;
	const table = routeTable([virtualHost({ routes, matcher: { kind: "exact", input, entries, onNoMatch: undefined } })]);
	const nameFor = (key: string | undefined, path: string) => {
		const request = createRequestView({ path, ...(key !== undefined && { headers: { "x-key": key } }) });
		return matchTable(compile(table), request, () => 0, { ...info, request })?.config.name;
	};
	assert.equal(nameFor("one", "/a/b"), "a");
	assert.equal(nameFor("one", "/b"), undefined);
	assert.equal(nameFor("two", "/b"), "b");
	assert.equal(nameFor("two", "/a"), "a");
	assert.equal(nameFor("three", "/a/b"), "both");
	assert.equal(nameFor("other", "/a"), undefined);
	assert.equal(nameFor(undefined, "/a"), undefined);
});

test("cookies and the filter state of request and connection choose routes", () => {
	const match = (value: string) => ({ kind: "exact", value, ignoreCase: false }) as const;
	const routes = [
		route({ name: "cookie", cookies: [{ name: "c", match: match("1"), invert: false }] }),
		route({ name: "request", filterState: [{ key: "k", match: match("mine") }] }),
		route({ name: "connection", filterState: [{ key: "k", match: match("its") }] }),
	];
	const compiled = compile(routeTable([virtualHost({ routes })]));
	const state = (text: string) => new Map([["k", { text, kind: "text" } as const]]);
	const nameOfRequest = (headers: Record<string, string>, parts: Partial<StreamInfo>) =>
		matchTable(compiled, createRequestView({ headers }), () => 0, { ...info, ...parts })?.config.name;
	const connection = createConnectionInfo({ filterState: state("its") });
	assert.equal(nameOfRequest({ cookie: "a=2; c=1" }, {}), "cookie");
	assert.equal(nameOfRequest({ cookie: "c=2" }, {}), undefined);
	assert.equal(nameOfRequest({}, { filterState: state("mine") }), "request");
	assert.equal(nameOfRequest({}, { connection }), "connection");
	assert.equal(nameOfRequest({}, { connection, filterState: state("mine") }), "request");
});
