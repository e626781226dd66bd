import assert from "node:assert/strict";
import { test } from "node:test";
import { createHeaders, createRequestView } from "../headers/headers-view.ts";
import { createConnectionInfo, createStreamInfo, mergeMetadata } from "../log/stream-info.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { compileCel } from "./cel.ts";

const connection = createConnectionInfo({ id: 7, localAddress: "10.0.0.2:9080", remoteAddress: "10.0.0.9:5000" });
const info = Object.assign(createStreamInfo(connection), {
	startAt: 100,
	endAt: 6_200,
	responseCode: 503,
	bytesSent: 12,
	request: createRequestView({ path: "/shop?q=1", authority: "shop:80", headers: { "user-agent": "curl/8", "x-tenant": "acme" } }),
	response: createHeaders({ "grpc-status": "14" }),
});
mergeMetadata(info, "envoy.filters.http.rbac", { shadow: "denied" });

test("expressions of the Common Expression Language", () => {
	const cases: readonly (readonly [expression: string, holds: boolean])[] = [
		["response.code >= 400 || request.duration > duration('5s')", true],
		["response.code < 400", false],
		["response.code < 400 || request.duration > duration('6s')", true],
		["request.duration > duration('1m')", false],
		["request.duration == duration('6s100ms')", true],
		["request.headers['X-Tenant'] == 'acme' && request.method == \"GET\"", true],
		["request.headers['x-nobody'] == 'acme'", false],
		["has(request.headers['x-nobody'])", false],
		["!has(request.headers['x-nobody']) && has(request.useragent)", true],
		["'x-tenant' in request.headers", true],
		["response.code in [502, 503, 504]", true],
		["request.path.startsWith('/shop') && request.url_path == '/shop' && request.query.contains('q')", true],
		["request.useragent.matches('^curl/[0-9]+$')", true],
		["request.useragent.matches('wget')", false],
		["size(request.host) == 7 && request.host.endsWith(':80')", true],
		["response.grpc_status == 14", true],
		["metadata.filter_metadata['envoy.filters.http.rbac'].shadow == 'denied'", true],
		["connection.id == 7 && source.port == 5000 && !connection.mtls", true],
		["response.code == 503 ? request.method == 'GET' : false", true],
		["(1 + 2) * 3 - 4 / 2 == 7 && 7 % 4 == 3 && -1 < 0", true],
		// What cannot be computed does not hold, unless the other side decides.
		["upstream.address == 'x'", false],
		["upstream.address == 'x' || response.code == 503", true],
		["response.code == 503 || upstream.address == 'x'", true],
		["!(upstream.address == 'x')", false],
		["response.code > 'text'", false],
		["1 / 0 == 1", false],
		["response.code", false],
		["1 + 1.0 == 2.0", false],
		["9223372036854775807 + 1 > 0", false],
		// Envoy joins no texts, and a condition must not hold here alone.
		["'a' + 'b' == 'ab'", false],
		["{'a': 1}.a == 1 && {'a': 1}['a'] == 1u", true],
		["timestamp('2020-03-05T07:08:09Z').getHours('Europe/Berlin') == 8", true],
		["size(b'\\xff') == 1 && '\\u0041\\x42' == 'AB'", true],
		["type(response.code) == int && type(metadata) == map", true],
		[String.raw`'it\'s' == "it's" && r'\d' == '\\d'`, true],
	];
	for (const [expression, holds] of cases) {
		const context = createCompileContext();
		const predicate = compileCel(expression, context);
		assert.deepEqual(context.errors, [], expression);
		assert.equal(predicate(info), holds, expression);
	}
});

test("expressions that are wrong say where", () => {
	for (const [expression, wanted] of [
		["response.code >=", /unexpected the end at character 17/],
		["response.code === 5", /unexpected = at character|unexpected "= 5"/],
		["nobody.code == 5", /there is no attribute nobody/],
		["request.path.shout()", /function shout with 1 arguments is not implemented/],
		["request.path.matches('(')", /missing|\(/],
		["(".repeat(100), /nested deeper/],
		["1".repeat(5_000), /characters at most/],
		["request.headers.exists(name, name == 'a')", /exists: comprehension support is disabled, as it is in Envoy/],
		["request.nobody == 1", /there is no attribute request.nobody/],
		["request.path.matches(request.method)", /matches wants its pattern as a literal/],
		["99999999999999999999 == 1", /does not fit into 64 bits/],
		["timestamp('2020-03-05T07:08:09Z').getHours('Atlantis') == 8", /Atlantis/],
	] as const) {
		const context = createCompileContext();
		assert.equal(compileCel(expression, context)(info), false, expression);
		assert.match(context.errors.join(), wanted, expression);
	}
});
