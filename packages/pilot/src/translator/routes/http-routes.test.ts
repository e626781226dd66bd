import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { registerMessages, toJson } from "@weft/xds";
import { allMessages } from "@weft/xds/registry";
import { contextOf, createTestMesh, routeTable, service } from "./test-mesh.ts";

registerMessages(allMessages);

const services = service("reviews", "{name: http, port: 9080}, {name: http-admin, port: 9081}") + service("ratings", "{name: http, port: 9080}");

interface RouteJson {
	readonly match?: unknown;
	readonly route?: Readonly<Record<string, unknown>>;
	readonly [field: string]: unknown;
}

/** Routes of `reviews` on port 9080 when a VirtualService has this `http`. */
function routesOf(http: string, more: { readonly metadata?: object; readonly rule?: string; readonly namespace?: string } = {}): readonly RouteJson[] {
	const virtualService = `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: default}\nspec: {hosts: [reviews], http: ${http}}\n`;
	const rule = more.rule ? `---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d, namespace: default}\nspec: ${more.rule}\n` : "";
	const context = contextOf(createTestMesh().apply(`${services}\n${virtualService}${rule}`), { ...more.metadata }, more.namespace);
	const table = toJson("envoy.config.route.v3.RouteConfiguration", routeTable(context, "9080"));
	const { virtualHosts } = table as unknown as { readonly virtualHosts: readonly { readonly name: string; readonly routes: readonly RouteJson[] }[] };
	return virtualHosts.find(({ name }) => name === "reviews.default.svc.cluster.local:9080")?.routes ?? [];
}

const reviews = "route: [{destination: {host: reviews}}]";

/** Every expected field must be there with that very value; the rest of the route is not looked at. */
function assertFields(actual: unknown, expected: Readonly<Record<string, unknown>>): void {
	assert.ok(typeof actual === "object" && actual !== null);
	const picked = Object.fromEntries(Object.keys(expected).map((key) => [key, Reflect.get(actual, key)]));
	assert.deepEqual(picked, expected);
}

describe("matches of an HTTP route", () => {
	const cases: readonly (readonly [string, string, unknown])[] = [
		["an exact path", "{uri: {exact: /a}}", { path: "/a", caseSensitive: true }],
		["a prefix, case ignored", "{uri: {prefix: /A}, ignoreUriCase: true}", { prefix: "/A", caseSensitive: false }],
		["a regular expression", '{uri: {regex: "/a+"}}', { safeRegex: { regex: "/a+" }, caseSensitive: true }],
		["a header by value", "{headers: {x: {exact: y}}}", { prefix: "/", caseSensitive: true, headers: [{ name: "x", stringMatch: { exact: "y" } }] }],
		["a header that is there", "{headers: {x: {}}}", { prefix: "/", caseSensitive: true, headers: [{ name: "x", presentMatch: true }] }],
		[
			"a header that is absent or has another value",
			"{withoutHeaders: {x: {exact: y}}}",
			{ prefix: "/", caseSensitive: true, headers: [{ name: "x", stringMatch: { exact: "y" }, invertMatch: true, treatMissingHeaderAsEmpty: true }] },
		],
		[
			"a header that is absent",
			'{withoutHeaders: {x: {regex: "*"}}}',
			{ prefix: "/", caseSensitive: true, headers: [{ name: "x", presentMatch: true, invertMatch: true }] },
		],
		["a method", "{method: {exact: GET}}", { prefix: "/", caseSensitive: true, headers: [{ name: ":method", stringMatch: { exact: "GET" } }] }],
		[
			"a query parameter",
			"{queryParams: {q: {prefix: a}}}",
			{ prefix: "/", caseSensitive: true, queryParameters: [{ name: "q", stringMatch: { prefix: "a" } }] },
		],
	];
	for (const [sentence, match, expected] of cases) {
		it(`take ${sentence}`, () => assert.deepEqual(routesOf(`[{match: [${match}], ${reviews}}, {${reviews}}]`)[0]?.match, expected));
	}

	it("of another port are left out", () => {
		assert.equal(routesOf(`[{match: [{port: 9081, uri: {prefix: /x}}], ${reviews}}, {${reviews}}]`).length, 1);
	});

	it("on labels of the source hold for the client that has them", () => {
		const http = `[{match: [{sourceLabels: {app: a}, uri: {prefix: /x}}], ${reviews}}, {${reviews}}]`;
		assert.equal(routesOf(http, { metadata: { LABELS: { app: "a" } } }).length, 2);
		assert.equal(routesOf(http, { metadata: { LABELS: { app: "b" } } }).length, 1);
	});

	it("on the source's namespace hold for clients there", () => {
		const http = `[{match: [{sourceNamespace: other, uri: {prefix: /x}}], ${reviews}}, {${reviews}}]`;
		assert.equal(routesOf(http, { namespace: "other" }).length, 2);
		assert.equal(routesOf(http).length, 1);
	});

	it("end with the first that takes everything", () => {
		assert.equal(routesOf(`[{${reviews}}, {match: [{uri: {prefix: /never}}], ${reviews}}]`).length, 1);
	});

	it("that leave no route at all give the service its default route", () => {
		const routes = routesOf(`[{match: [{sourceNamespace: other}], ${reviews}}]`);
		assert.deepEqual(
			routes.map(({ name }) => name),
			["default"],
		);
	});
});

describe("actions of an HTTP route", () => {
	const cases: readonly (readonly [string, string, Readonly<Record<string, unknown>>])[] = [
		["one destination by its cluster", reviews, { cluster: "outbound|9080||reviews.default.svc.cluster.local" }],
		[
			"a subset and a port",
			"route: [{destination: {host: ratings, subset: v1, port: {number: 9080}}}]",
			{ cluster: "outbound|9080|v1|ratings.default.svc.cluster.local" },
		],
		[
			"weights, without destinations of weight 0",
			"route: [{destination: {host: reviews, subset: a}, weight: 90}, {destination: {host: reviews, subset: b}, weight: 10}, {destination: {host: ratings}, weight: 0}]",
			{
				weightedClusters: {
					clusters: [
						{ name: "outbound|9080|a|reviews.default.svc.cluster.local", weight: 90 },
						{ name: "outbound|9080|b|reviews.default.svc.cluster.local", weight: 10 },
					],
				},
			},
		],
		["a timeout, for gRPC too", `${reviews}, timeout: 1.5s`, { timeout: "1.500s", maxGrpcTimeout: "1.500s" }],
		["a prefix rewrite with a new host", `${reviews}, rewrite: {uri: /n, authority: h}`, { prefixRewrite: "/n", hostRewriteLiteral: "h" }],
		["no retries where attempts is 0", `${reviews}, retries: {attempts: 0}`, { retryPolicy: undefined }],
		[
			"a mirror with its share",
			`${reviews}, mirror: {host: ratings}, mirrorPercentage: {value: 12.5}`,
			{
				requestMirrorPolicies: [
					{
						cluster: "outbound|9080||ratings.default.svc.cluster.local",
						runtimeFraction: { defaultValue: { numerator: 125_000, denominator: "MILLION" } },
						traceSampled: false,
						disableShadowHostSuffixAppend: true,
					},
				],
			},
		],
	];
	for (const [sentence, http, expected] of cases) it(`carry ${sentence}`, () => assertFields(routesOf(`[{${http}}]`)[0]?.route, expected));

	it("split retryOn into conditions and status codes", () => {
		const policy = routesOf(`[{${reviews}, retries: {attempts: 3, perTryTimeout: 2s, retryOn: "5xx,409"}}]`)[0]?.route?.["retryPolicy"];
		assertFields(policy, { numRetries: 3, perTryTimeout: "2s", retryOn: "5xx,retriable-status-codes", retriableStatusCodes: [409] });
	});

	it("leave previous hosts alone where a hash decides", () => {
		const rule = "{host: reviews, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}}";
		const route = routesOf(`[{${reviews}}]`, { rule })[0]?.route;
		assertFields(route, { hashPolicy: [{ header: { headerName: "x-user" } }] });
		assertFields(route?.["retryPolicy"], { retryHostPredicate: undefined });
	});

	it("hash by the subset's own policy before the rule's", () => {
		const rule =
			"{host: reviews, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: a}}}, subsets: [{name: s, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}}]}";
		const route = routesOf("[{route: [{destination: {host: reviews, subset: s}}]}]", { rule })[0]?.route;
		assertFields(route, { hashPolicy: [{ connectionProperties: { sourceIp: true } }] });
	});

	it("redirect, answer directly, inject faults and allow origins", () => {
		const http = [
			"{match: [{uri: {prefix: /r}}], redirect: {uri: /n, authority: h, redirectCode: 308}}",
			"{match: [{uri: {prefix: /d}}], directResponse: {status: 418, body: {string: tea}}}",
			`{${reviews}, fault: {abort: {httpStatus: 503, percentage: {value: 10.5}}}, corsPolicy: {allowOrigins: [{exact: "https://a"}], maxAge: 1h}}`,
		];
		const [redirect, direct, fault] = routesOf(`[${http.join()}]`);
		assert.deepEqual(redirect?.["redirect"], { hostRedirect: "h", pathRedirect: "/n", responseCode: "PERMANENT_REDIRECT" });
		assert.deepEqual(direct?.["directResponse"], { status: 418, body: { inlineString: "tea" } });
		const config = fault?.["typedPerFilterConfig"] as Readonly<Record<string, unknown>>;
		assertFields(config["envoy.filters.http.fault"], { abort: { httpStatus: 503, percentage: { numerator: 105_000, denominator: "MILLION" } } });
		assertFields(config["envoy.filters.http.cors"], { allowOriginStringMatch: [{ exact: "https://a" }], maxAge: "3600" });
	});

	it("set, add and remove headers; the host header is a host rewrite", () => {
		const [route] = routesOf(`[{${reviews}, headers: {request: {set: {Host: h, a: "1"}, add: {b: "2"}, remove: [c]}}}]`);
		assertFields(route, {
			requestHeadersToAdd: [{ header: { key: "a", value: "1" }, appendAction: "OVERWRITE_IF_EXISTS_OR_ADD" }, { header: { key: "b", value: "2" } }],
			requestHeadersToRemove: ["c"],
		});
		assertFields(route?.route, { hostRewriteLiteral: "h" });
	});

	it("name the VirtualService they come from", () => {
		assertFields(routesOf(`[{${reviews}}]`)[0], {
			metadata: { filterMetadata: { istio: { config: "/apis/networking.istio.io/v1/namespaces/default/virtual-service/v" } } },
			decorator: { operation: "reviews.default.svc.cluster.local:9080/*" },
		});
	});
});
