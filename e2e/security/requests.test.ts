import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { assertClean, assertServes, exchange, type Fixture, get, startFixture, statusOf } from "./fixture.ts";
import { headerOf } from "./request-reader.ts";

// What a lenient HTTP parser lets through, each line by itself. Expected: the statuses that are right; the upstream sees
// a request only for those answered 200.
type Expected = number | "closed";

interface Row {
	readonly name: string;
	readonly bytes: string;
	readonly expected: readonly Expected[];
}

const smuggled = "GET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n";
const headers = (count: number) => Array.from({ length: count }, (_, i) => `x-${i}: 1`);
const lines = (...all: readonly string[]) => `${all.join("\r\n")}\r\n\r\n`;
const bad: readonly Expected[] = [400];

const hosts: readonly Row[] = [
	{ name: "two Host headers", bytes: lines("GET / HTTP/1.1", "host: a.test", "host: b.test"), expected: bad },
	{ name: "two equal Host headers", bytes: lines("GET / HTTP/1.1", "host: a.test", "host: a.test"), expected: bad },
	{ name: "two Host headers, the second one empty", bytes: lines("GET / HTTP/1.1", "host: a.test", "host:"), expected: bad },
	{ name: "no Host", bytes: lines("GET / HTTP/1.1"), expected: bad },
	{ name: "an empty Host", bytes: lines("GET / HTTP/1.1", "host:"), expected: bad },
	{ name: "a Host of white space", bytes: lines("GET / HTTP/1.1", "host:  \t "), expected: bad },
	{ name: "a Host with user information", bytes: lines("GET / HTTP/1.1", "host: a@b"), expected: bad },
	{ name: "a Host with a path", bytes: lines("GET / HTTP/1.1", "host: a/b"), expected: bad },
	{ name: "a Host with a space inside", bytes: lines("GET / HTTP/1.1", "host: a b"), expected: bad },
	{ name: "a Host list", bytes: lines("GET / HTTP/1.1", "host: a.test, b.test"), expected: bad },
	{ name: "a Host with bytes above ASCII", bytes: lines("GET / HTTP/1.1", "host: a\xe9.test"), expected: bad },
];

const targets: readonly Row[] = [
	{ name: "an absolute target with user information", bytes: lines("GET http://a@b.test/x HTTP/1.1", "host: b.test"), expected: [400, 404] },
	{ name: "an absolute target with an unlikely host", bytes: lines('GET http://a"<b/x HTTP/1.1', 'host: a"<b'), expected: bad },
	{ name: "an absolute target with an unlikely host and no Host", bytes: lines("GET http://a\\b,c/x HTTP/1.1"), expected: bad },
	{ name: "a fragment", bytes: lines("GET /a#x HTTP/1.1", "host: a.test"), expected: bad },
	{ name: "a fragment in an absolute target", bytes: lines("GET http://a.test/a#x HTTP/1.1", "host: a.test"), expected: bad },
	{ name: "a target without a slash", bytes: lines("GET a HTTP/1.1", "host: a.test"), expected: [400, 404] },
	{ name: "an asterisk with GET", bytes: lines("GET * HTTP/1.1", "host: a.test"), expected: [400, 404] },
	{ name: "an empty target", bytes: lines("GET  HTTP/1.1", "host: a.test"), expected: bad },
	{ name: "two spaces before the version", bytes: lines("GET /  HTTP/1.1", "host: a.test"), expected: bad },
	{ name: "a tab before the target", bytes: lines("GET\t/ HTTP/1.1", "host: a.test"), expected: bad },
	{ name: "a CONNECT that nobody allowed", bytes: lines("CONNECT b.test:443 HTTP/1.1", "host: b.test:443"), expected: [400, 403, 404, 405] },
	{ name: "a CONNECT whose target disagrees with Host", bytes: lines("CONNECT b.test:443 HTTP/1.1", "host: a.test:80"), expected: [400, 403, 404, 405] },
	{ name: "a method that is no token", bytes: lines("GE(T / HTTP/1.1", "host: a.test"), expected: bad },
	{ name: "%00 in a path that is normalised", bytes: lines("GET /a%00b HTTP/1.1", "host: a.test"), expected: bad },
];

const versions: readonly Row[] = [
	{ name: "HTTP/2.0 as version", bytes: lines("GET / HTTP/2.0", "host: a.test"), expected: [400, 426, 505] },
	{ name: "HTTP/0.9 as version", bytes: lines("GET / HTTP/0.9", "host: a.test"), expected: [400, 426, 505] },
	{ name: "HTTP/1.2 as version", bytes: lines("GET / HTTP/1.2", "host: a.test"), expected: [400, 426, 505] },
	{ name: "HTTP/0.9 without a version", bytes: "GET /\r\n\r\n", expected: bad },
	{ name: "a version in lower case", bytes: lines("GET / http/1.1", "host: a.test"), expected: bad },
	{ name: "a version with a space behind", bytes: lines("GET / HTTP/1.1 ", "host: a.test"), expected: bad },
	{ name: "HTTP/1.0", bytes: lines("GET / HTTP/1.0", "host: a.test"), expected: [426] },
	{ name: "what only begins like HTTP/2's preface", bytes: "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", expected: ["closed", 400] },
	{ name: "HTTP/2's preface behind a request", bytes: `${lines("GET / HTTP/1.1", "host: a.test", "x: \0")}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`, expected: bad },
];

const encodings: readonly Row[] = [
	["identity, chunked", [400, 501]],
	["chunked, identity", [400, 501]],
	["identity", [400, 501]],
	["xchunked", [400, 501]],
	["chunked, chunked", [400, 501]],
	["", [400, 501]],
	["gzip, chunked", [400, 501]],
	['"chunked"', [400, 501]],
	["chunked;q=1", [400, 501]],
].map(([value, expected]) => ({
	name: `Transfer-Encoding: ${value}`,
	bytes: `${lines("POST / HTTP/1.1", "host: a.test", `transfer-encoding: ${value}`)}0\r\n\r\n${smuggled}`,
	expected: expected as number[],
}));

const framings: readonly Row[] = [
	{
		name: "a length beside chunks",
		bytes: `${lines("POST / HTTP/1.1", "host: a.test", "content-length: 5", "transfer-encoding: chunked")}0\r\n\r\n${smuggled}`,
		expected: bad,
	},
	{
		name: "chunks beside a length",
		bytes: `${lines("POST / HTTP/1.1", "host: a.test", "transfer-encoding: chunked", "content-length: 5")}0\r\n\r\n${smuggled}`,
		expected: bad,
	},
	{
		name: "two Transfer-Encoding headers",
		bytes: `${lines("POST / HTTP/1.1", "host: a.test", "transfer-encoding: chunked", "transfer-encoding: identity")}0\r\n\r\n${smuggled}`,
		expected: [400, 501],
	},
	{
		name: "two different lengths",
		bytes: `${lines("POST / HTTP/1.1", "host: a.test", "content-length: 0", `content-length: ${smuggled.length}`)}${smuggled}`,
		expected: bad,
	},
	...["0, 0", "+0", "-1", "0x0", "1e1", "0 0", "", "9999999999999999999", "\xb2", "0;"].map(
		(value): Row => ({
			name: `Content-Length: ${JSON.stringify(value)}`,
			bytes: `${lines("POST / HTTP/1.1", "host: a.test", `content-length: ${value}`)}${smuggled}`,
			expected: bad,
		}),
	),
	{
		name: "Transfer-Encoding with HTTP/1.0",
		bytes: `${lines("POST / HTTP/1.0", "host: a.test", "transfer-encoding: chunked")}0\r\n\r\n${smuggled}`,
		expected: [400, 426],
	},
];

const forms: readonly Row[] = [
	{ name: "a space before the colon", bytes: lines("GET / HTTP/1.1", "host : a.test"), expected: bad },
	{ name: "a folded line", bytes: lines("GET / HTTP/1.1", "host: a.test", "x-a: 1", " folded"), expected: bad },
	{ name: "a first line that is folded", bytes: lines("GET / HTTP/1.1", " host: a.test", "host: a.test"), expected: bad },
	{ name: "line ends without CR", bytes: "GET / HTTP/1.1\nhost: a.test\n\n", expected: bad },
	{ name: "a bare CR between headers", bytes: "GET / HTTP/1.1\r\nhost: a.test\rx: y\r\n\r\n", expected: bad },
	{ name: "a header without a colon", bytes: lines("GET / HTTP/1.1", "host: a.test", "transfer-encoding chunked"), expected: bad },
	{ name: "a header without a name", bytes: lines("GET / HTTP/1.1", "host: a.test", ": x"), expected: bad },
	{ name: "NUL in a value", bytes: lines("GET / HTTP/1.1", "host: a.test", "x: a\0b"), expected: bad },
	{ name: "100 headers and the one too many", bytes: lines("GET / HTTP/1.1", "host: a.test", ...headers(100)), expected: [431] },
	{
		name: "a head of more than 60 KiB in many lines",
		bytes: lines("GET / HTTP/1.1", "host: a.test", ...Array.from({ length: 90 }, (_, i) => `x-${i}: ${"a".repeat(700)}`)),
		expected: [431],
	},
	{ name: "a head of more than 60 KiB in one line", bytes: lines("GET / HTTP/1.1", "host: a.test", `x: ${"a".repeat(62_000)}`), expected: [431] },
	{ name: "a target of more than 60 KiB", bytes: lines(`GET /${"a".repeat(62_000)} HTTP/1.1`, "host: a.test"), expected: [431, 414] },
	{ name: "a TLS hello on a plain port", bytes: "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n\r\n", expected: bad },
];

const hidden: readonly Row[] = [
	{
		name: "2001 headers that hide a length",
		bytes: `${lines("POST / HTTP/1.1", "host: a.test", ...headers(2001), `content-length: ${smuggled.length}`)}${smuggled}`,
		expected: [400, 431],
	},
];

const groups: Readonly<Record<string, readonly Row[]>> = {
	host: hosts,
	target: targets,
	version: versions,
	"transfer-encoding": encodings,
	framing: framings,
	form: forms,
	a1: hidden,
};

describe("sec/requests: what is malformed or ambiguous never reaches the upstream", () => {
	let fixture: Fixture;
	before(async () => {
		fixture = await startFixture({
			listeners: { front: { normalize_path: true, merge_slashes: true }, old: { http_protocol_options: { accept_http_10: true } } },
		});
	});
	after(() => fixture?.stop());
	afterEach(() => {
		assertClean(fixture);
	});

	for (const [group, rows] of Object.entries(groups)) {
		for (const { name, bytes, expected } of rows) {
			test(`sec/${group}: ${name}`, async () => {
				const port = fixture.proxy.port("front");
				const status = statusOf(await exchange(port, bytes));
				assert.ok(expected.includes(status as Expected), `${String(status)} is one of ${expected.join(", ")}`);
				assert.deepEqual(fixture.upstream.seen, []);
				await assertServes(port);
			});
		}
	}

	// RFC 9112 §3.2.2: the target's host counts, and goes upstream in Host's place.
	test("sec/target: an absolute target decides, whatever Host says", async () => {
		assert.equal(statusOf(await exchange(fixture.proxy.port("front"), lines("GET http://b.test/x HTTP/1.1", "host: a.test"))), 200);
		assert.deepEqual(
			fixture.upstream.seen.map((request) => headerOf(request, "host")),
			["b.test"],
		);
	});

	test("sec/version: Transfer-Encoding with an HTTP/1.0 that is accepted", async () => {
		const bytes = `${lines("POST / HTTP/1.0", "host: a.test", "connection: keep-alive", "transfer-encoding: chunked")}0\r\n\r\n${smuggled}`;
		assert.equal(statusOf(await exchange(fixture.proxy.port("old"), bytes)), 400);
		assert.deepEqual(fixture.upstream.seen, []);
	});

	test("sec/version: an HTTP/1.0 that is accepted goes on as HTTP/1.1", async () => {
		assert.equal(statusOf(await exchange(fixture.proxy.port("old"), lines("GET / HTTP/1.0", "host: a.test"))), 200);
		assert.equal(fixture.upstream.seen.length, 1);
	});

	test("sec/target: an absolute target reaches the upstream in origin form with its own host", async () => {
		assert.equal(statusOf(await exchange(fixture.proxy.port("front"), lines("GET http://a.test/x?y HTTP/1.1", "host: a.test"))), 200);
		const [request] = fixture.upstream.seen;
		assert.deepEqual([request?.target, request && headerOf(request, "host")], ["/x?y", "a.test"]);
	});

	test("sec/form: names that objects have by themselves are headers like any other", async () => {
		const names = ["__proto__", "constructor", "toString", "hasOwnProperty"];
		assert.equal(statusOf(await exchange(fixture.proxy.port("front"), get("/", ...names.map((name) => `${name}: polluted`)))), 200);
		const [request] = fixture.upstream.seen;
		for (const name of names) assert.equal(request && headerOf(request, name.toLowerCase()), "polluted", name);
		await assertServes(fixture.proxy.port("front"));
		assert.equal(
			fixture.upstream.seen.at(-1)?.headers.some(([, value]) => value === "polluted"),
			false,
		);
	});

	for (const path of [
		"/a/../b",
		"/a/..;/b",
		"/a/..;x=1/b",
		"/a/%2e%2e/b",
		"/a/%2e%2e;/b",
		"/a/.%2E;x/b",
		"/a/.;/../b",
		"/a/..\\b",
		"/..;/..;/b",
		"//..//b",
		"/a/%2e%2e%2f..;/b",
	]) {
		test(`sec/b14: no way up is left in ${path}`, async () => {
			assert.equal(statusOf(await exchange(fixture.proxy.port("front"), get(path))), 200);
			// The judged path is the forwarded one, see assertClean; and nothing downstream of us may climb from it.
			assert.doesNotMatch(fixture.upstream.seen[0]?.target ?? "", /\/(?:\.|%2e){1,2}(?:;[^/]*)?(?:\/|$)/i);
		});
	}

	test("sec/form: exactly 100 headers and nearly 60 KiB pass", async () => {
		const value = "a".repeat(560);
		assert.equal(statusOf(await exchange(fixture.proxy.port("front"), get("/", ...Array.from({ length: 99 }, (_, i) => `x-${i}: ${value}`)))), 200);
		assert.equal(fixture.upstream.seen[0]?.headers.filter(([name]) => /^x-\d+$/.test(name)).length, 99);
	});
});
