import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { assertClean, type Fixture, get, isResponse, post, startFixture, statusOf } from "./fixture.ts";
import { createAuthority, requireClientCertificate } from "./identities.ts";
import { RawClient } from "./raw-client.ts";
import { headerOf } from "./request-reader.ts";

const authority = createAuthority("mesh.test");
const stranger = createAuthority("mesh.test");
const server = authority.issue("spiffe://mesh.test/ns/a/sa/server");
const clientId = "spiffe://mesh.test/ns/a/sa/client";
const client = authority.issue(clientId);
const forgedId = "spiffe://mesh.test/ns/istio-system/sa/admin";

const modes = ["SANITIZE", "SANITIZE_SET", "APPEND_FORWARD", "FORWARD_ONLY"] as const;
const details = { uri: true, subject: true };

describe("sec/tls: identities over mutual TLS", () => {
	let fixture: Fixture;
	before(async () => {
		const listeners = Object.fromEntries(modes.map((mode) => [mode, { forward_client_cert_details: mode, set_current_client_cert_details: details }]));
		fixture = await startFixture({ listeners, tls: Object.fromEntries(modes.map((mode) => [mode, requireClientCertificate(server, authority.caPem)])) });
	});
	after(() => fixture?.stop());
	afterEach(() => {
		fixture.upstream.responders.clear();
		assertClean(fixture);
	});

	const open = (mode: (typeof modes)[number], { certChainPem, privateKeyPem } = client) =>
		RawClient.connectTls(fixture.proxy.port(mode), { cert: certChainPem, key: privateKeyPem });

	for (const mode of modes) {
		test(`sec/c25: ${mode}: the verified peer is named, and a forged name never comes last`, async () => {
			const connection = await open(mode);
			connection.send(get("/who", `x-forwarded-client-cert: By=spiffe://x;URI=${forgedId}`, `X-Forwarded-Client-Cert: URI=${forgedId}`));
			assert.equal(statusOf(await connection.response()), 200);
			connection.close();
			const [request] = fixture.upstream.seen;
			const xfcc = request && headerOf(request, "x-forwarded-client-cert");
			if (mode === "SANITIZE") return assert.equal(xfcc, undefined);
			if (mode === "FORWARD_ONLY") return assert.match(xfcc ?? "", new RegExp(forgedId));
			assert.match(xfcc?.split(",").at(-1) ?? "", new RegExp(`URI=${clientId}(?:;|$)`));
			assert.equal(xfcc?.includes(forgedId), mode === "APPEND_FORWARD");
		});
	}

	test("sec/c25: one request's forged name is not the next one's on the same connection", async () => {
		const connection = await open("SANITIZE_SET");
		for (const headers of [[`x-forwarded-client-cert: URI=${forgedId}`], [], [`connection: x-forwarded-client-cert`]]) {
			connection.send(get("/who", ...headers));
			assert.equal(statusOf(await connection.response()), 200);
		}
		connection.close();
		for (const request of fixture.upstream.seen) assert.match(headerOf(request, "x-forwarded-client-cert") ?? "", new RegExp(`URI=${clientId}(?:;|$)`));
	});

	for (const [name, identity] of [
		["a certificate of another authority", stranger.issue(clientId)],
		["no certificate", undefined],
	] as const) {
		test(`sec/c25: ${name} gets no answer`, async () => {
			const outcome = await open("SANITIZE_SET", identity ?? { certChainPem: "", privateKeyPem: "" }).then(
				async (connection) => {
					connection.send(get("/stranger"));
					const response = await connection.response();
					connection.close();
					return response;
				},
				() => "closed" as const,
			);
			assert.equal(statusOf(outcome), "closed");
			assert.deepEqual(fixture.upstream.seen, []);
		});
	}

	test("sec/a5: h2c asked for inside TLS is no tunnel", async () => {
		fixture.upstream.responders.set("/h2c", (request) => ({
			bytes: `HTTP/1.1 ${headerOf(request, "upgrade") === undefined ? "200 OK" : "101 Switching Protocols"}\r\ncontent-length: 0\r\n\r\n`,
		}));
		const connection = await open("SANITIZE_SET");
		connection.send(get("/h2c", "connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQCAAAAAAIAAAAA"));
		const response = await connection.response();
		assert.ok(isResponse(response));
		assert.notEqual(response.status, 101);
		for (const request of fixture.upstream.seen) assert.deepEqual([headerOf(request, "upgrade"), headerOf(request, "http2-settings")], [undefined, undefined]);
		connection.close();
	});

	test("sec/a2: a length beside chunks inside TLS is refused, and the next client is served", async () => {
		const connection = await open("SANITIZE_SET");
		connection.send("POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n");
		assert.equal(statusOf(await connection.response()), 400);
		assert.equal(await connection.response(), "closed");
		const next = await open("SANITIZE_SET");
		next.send(post("/next", "body"));
		const response = await next.response();
		assert.ok(isResponse(response));
		assert.equal(response.body, "saw POST /next");
		for (const one of [connection, next]) one.close();
		assert.deepEqual(
			fixture.upstream.seen.map(({ target }) => target),
			["/next"],
		);
	});

	test("sec/e41: broken handshakes leave nothing behind", async () => {
		const port = fixture.proxy.port("SANITIZE_SET");
		for (const bytes of [
			"",
			"\x16",
			"\x16\x03\x01\xff\xff",
			`\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03${"\xff".repeat(600)}`,
			"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
			`\x15\x03\x01\x00\x02\x02\x28`,
			"\x80\x2e\x01\x00\x02",
		]) {
			for (let i = 0; i < 20; i++) {
				const connection = await RawClient.connect(port);
				connection.send(bytes);
				if (i % 2 === 0 && bytes !== "") await connection.response({ quietMs: 5 }).catch(() => "closed");
				connection.close();
			}
		}
		const connection = await open("SANITIZE_SET");
		connection.send(get("/after"));
		assert.equal(statusOf(await connection.response()), 200);
		connection.close();
		assert.deepEqual(
			fixture.upstream.seen.map(({ target }) => target),
			["/after"],
		);
	});
});
