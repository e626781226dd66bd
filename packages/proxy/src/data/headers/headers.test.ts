import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { createConnectionInfo, createStreamInfo, type TlsInfo } from "../log/stream-info.ts";
import { defaultHeadLimits, parseRequestHead } from "../codec/head-parser.ts";
import { RequestHead } from "../codec/request-head.ts";
import { appendForwardedFor, edgeNames, internalOnlyNames, removeHopByHop, resolveOrigin } from "./edge.ts";
import { compileHeaderMutations } from "./header-mutations.ts";
import { createHeaders, createRequestView } from "./headers-view.ts";
import { createRequestIds } from "./request-id.ts";
import { formatXfcc, forwardXfcc, parseXfcc } from "./xfcc.ts";

const environment = { hostname: "h", env: {}, nowMs: () => 0 };
const info = createStreamInfo(createConnectionInfo({ remoteAddress: "10.0.0.9:5000" }));

test("header actions: append, add if absent, overwrite, overwrite if exists, remove", () => {
	for (const [action, initial, wanted] of [
		["append", { x: "1" }, "1,2"],
		["append", {}, "2"],
		["addIfAbsent", { x: "1" }, "1"],
		["addIfAbsent", {}, "2"],
		["overwrite", { x: "1" }, "2"],
		["overwrite", {}, "2"],
		["overwriteIfExists", { x: "1" }, "2"],
		["overwriteIfExists", {}, undefined],
	] as const) {
		const errors: string[] = [];
		const mutate = compileHeaderMutations([{ add: [{ name: "X", value: "2", action, keepEmpty: false }], remove: ["gone"] }], environment, errors);
		const head = createHeaders({ ...initial, gone: "x" });
		mutate?.(head, info);
		assert.deepEqual([head.get("x"), head.has("gone"), errors], [wanted, false, []], `${action} ${JSON.stringify(initial)}`);
	}
});

test("header values are formats; an empty one is not sent unless asked for, and line ends do not get through", () => {
	const errors: string[] = [];
	const add = (name: string, value: string, keepEmpty = false) => ({ name, value, action: "overwrite", keepEmpty }) as const;
	const mutations = [
		add("a", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%!"),
		add("b", "%REQ(no)%"),
		add("c", "%REQ(no)%", true),
		add("d", "%REQ(evil)%"),
		add(":authority", "%REQ(to)%"),
	];
	const mutate = compileHeaderMutations([{ add: mutations, remove: [] }], environment, errors);
	const head = createRequestView({ headers: { evil: "x\r\ny: z", to: "other" } });
	mutate?.(head, { ...info, request: head });
	assert.deepEqual(errors, []);
	assert.deepEqual([head.get("a"), head.has("b"), head.get("c"), head.get("d"), head.authority], ["10.0.0.9!", false, "", "xy: z", "other"]);
	compileHeaderMutations([{ add: [add("e", "%WHAT%")], remove: [] }], environment, errors);
	assert.match(errors.join(), /header "e": %WHAT%/);
});

test("request ids are version 4 UUIDs", () => {
	const next = createRequestIds((bytes) => bytes.fill(255));
	assert.equal(next(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
	const random = createRequestIds((bytes) => crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>));
	const ids = Array.from({ length: 1000 }, random);
	assert.equal(new Set(ids).size, 1000);
	assert.ok(ids.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)));
});

const tls: TlsInfo = {
	version: "TLSv1.3",
	cipher: "",
	sessionId: "",
	peerUriSans: ["spiffe://td/ns/a/sa/b"],
	peerDnsSans: ["b.example"],
	peerIpSans: [],
	peerEmailSans: [],
	peerSubject: 'CN="b",O=x',
	peerIssuer: "",
	peerSerial: "",
	peerFingerprint256: "ab12",
	peerFingerprint1: "",
	peerCertificatePem: "",
	peerValidFromMs: Number.NaN,
	peerValidToMs: Number.NaN,
	localUriSans: ["spiffe://td/ns/a/sa/me"],
	localDnsSans: [],
	localIpSans: [],
	localEmailSans: [],
	localSubject: "",
};
const details = { subject: true, cert: false, chain: false, dns: true, uri: true };

test("XFCC says who called, as Envoy writes it, and reads back", () => {
	const own = formatXfcc(tls, details);
	assert.equal(own, 'By=spiffe://td/ns/a/sa/me;Hash=ab12;Subject="CN=\\"b\\",O=x";URI=spiffe://td/ns/a/sa/b;DNS=b.example');
	const [first, second] = parseXfcc(`Hash=00;URI=spiffe://first,${own}`);
	assert.deepEqual([first?.uri, second?.subject, second?.by], [["spiffe://first"], 'CN="b",O=x', ["spiffe://td/ns/a/sa/me"]]);
	assert.equal(formatXfcc(undefined, details), "");
});

test("XFCC is forwarded, appended to or replaced by mode, and never believed without mutual TLS", () => {
	for (const [mode, mutual, wanted] of [
		["sanitize", true, undefined],
		["forwardOnly", true, "old"],
		["forwardOnly", false, undefined],
		["appendForward", true, "old,own"],
		["appendForward", false, undefined],
		["sanitizeSet", true, "own"],
		["sanitizeSet", false, undefined],
		["alwaysForwardOnly", false, "old"],
	] as const) {
		assert.equal(forwardXfcc(mode, "old", mutual ? "own" : "", mutual), wanted, `${mode} ${mutual}`);
	}
});

test("parsing XFCC never fails", () => {
	fc.assert(
		fc.property(fc.string(), (text) => {
			for (const element of parseXfcc(text)) assert.equal(typeof element.hash, "string");
		}),
	);
});

const loopback = { bytes: [127, 0, 0, 0], prefixBits: 8 };

test("nobody is internal unless a range says so", () => {
	assert.equal(resolveOrigin(createHeaders(), "127.0.0.1:1", true, 0).isInternal, false);
	assert.equal(resolveOrigin(createHeaders(), "127.0.0.1:1", true, 0, [loopback]).isInternal, true);
});

test("the client's address is the trusted entry of x-forwarded-for", () => {
	const origin = (forwarded: string | undefined, useRemote: boolean, hops: number, peer = "10.0.0.9:5000") =>
		resolveOrigin(createHeaders(forwarded === undefined ? {} : { "x-forwarded-for": forwarded }), peer, useRemote, hops, [loopback]);
	assert.equal(origin("1.1.1.1, 2.2.2.2", true, 0).clientAddress, "10.0.0.9");
	assert.equal(origin("1.1.1.1, 2.2.2.2", true, 1).clientAddress, "2.2.2.2");
	assert.equal(origin("1.1.1.1, 2.2.2.2", false, 0).clientAddress, "2.2.2.2");
	assert.equal(origin("1.1.1.1, 2.2.2.2", false, 1).clientAddress, "1.1.1.1");
	assert.equal(origin("nonsense", false, 0).clientAddress, "10.0.0.9");
	assert.deepEqual(origin(undefined, true, 0, "127.0.0.1:1"), { clientAddress: "127.0.0.1", isInternal: true, isEdge: false });
	assert.deepEqual(origin(undefined, true, 0), { clientAddress: "10.0.0.9", isInternal: false, isEdge: true });
	assert.equal(origin("127.0.0.1", true, 0, "127.0.0.1:1").isInternal, false);
});

test("callers from outside cannot steer retries, nor say what only the edge may say", () => {
	const bytes = Buffer.from("GET / HTTP/1.1\r\nhost: a\r\nX-Envoy-Max-Retries: 9\r\nx-envoy-original-path: /x\r\nx-other: 1\r\n\r\n");
	const after = (names: ReadonlySet<string>) => {
		const head = new RequestHead();
		assert.ok(parseRequestHead(head, Buffer.from(bytes), 0, bytes.length, defaultHeadLimits) > 0);
		head.removeEnvoyLines(names);
		const left: string[] = [];
		head.forEach((name) => left.push(name));
		return left;
	};
	assert.deepEqual(after(new Set()), ["x-envoy-max-retries", "x-envoy-original-path", "x-other"]);
	assert.deepEqual(after(internalOnlyNames), ["x-envoy-original-path", "x-other"]);
	assert.deepEqual(after(edgeNames), ["x-other"]);
});

test("hop-by-hop headers end here, but a caller cannot have the important ones dropped", () => {
	const head = createHeaders({
		connection: "close, x-hop, cookie, authorization",
		"x-hop": "1",
		cookie: "a",
		authorization: "b",
		te: "gzip",
		"keep-alive": "5",
		"transfer-encoding": "chunked",
	});
	removeHopByHop(head);
	assert.deepEqual(
		head.entries().map(([name]) => name),
		["cookie", "authorization"],
	);
	const upgrade = createHeaders({ connection: "keep-alive, Upgrade", upgrade: "websocket", te: "trailers" });
	removeHopByHop(upgrade);
	assert.deepEqual(
		upgrade.entries().map(([name]) => name),
		["te"],
	);
});

test("a nominated header goes, however short its name; of a list without end only as many as there can be headers are looked at", () => {
	const short = createHeaders({ connection: "x-a", "x-a": "1", "x-b": "2" });
	removeHopByHop(short);
	assert.deepEqual(
		short.entries().map(([name]) => name),
		["x-b"],
	);
	const long = createHeaders({ connection: `${"x-n,".repeat(100)}x-a`, "x-a": "1" });
	removeHopByHop(long);
	assert.deepEqual(
		long.entries().map(([name]) => name),
		["x-a"],
	);
});

test("x-forwarded-for grows by the peer", () => {
	const head = createHeaders({ "x-forwarded-for": "1.1.1.1" });
	appendForwardedFor(head, "[2001:db8::1]:5000", "10.0.0.1:80");
	appendForwardedFor(head, "127.0.0.1:5000", "10.0.0.1:80");
	assert.equal(head.get("x-forwarded-for"), "1.1.1.1,2001:db8::1,10.0.0.1");
});
