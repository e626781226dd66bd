import assert from "node:assert/strict";
import { once } from "node:events";
import { after, afterEach, before, describe, test } from "node:test";
import { assertClean, assertServes, exchange, type Fixture, get, isResponse, startFixture } from "./fixture.ts";
import { RawClient } from "./raw-client.ts";

// An upstream that is broken or taken over: it may spoil its own answers, never those of others, and never the process.
const malformed: Readonly<Record<string, string>> = {
	"no HTTP at all": "\x00\x01\x02 garbage\r\n\r\n",
	"an SMTP greeting": "220 mail.test ESMTP\r\n",
	"no status line": "\r\ncontent-length: 0\r\n\r\n",
	"HTTP/0.9": "<html>hello</html>",
	"HTTP/2.0 as version": "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
	"a status of two digits": "HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
	"a status of four digits": "HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n",
	"status 000": "HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n",
	"a negative status": "HTTP/1.1 -20 OK\r\ncontent-length: 0\r\n\r\n",
	"a length beside chunks": "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
	"two lengths": "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
	"a length list": "HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\n\r\na",
	"a negative length": "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
	"a length beyond all numbers": "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
	"an encoding that nobody knows": "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc",
	"chunked twice": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
	"a folded header": "HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 0\r\n\r\n",
	"a space before a colon": "HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n",
	"a header without a colon": "HTTP/1.1 200 OK\r\nnonsense\r\ncontent-length: 0\r\n\r\n",
	"NUL in a header": "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n",
	"a bare CR in a header": "HTTP/1.1 200 OK\r\nx: a\rset-cookie: evil=1\r\ncontent-length: 0\r\n\r\n",
	"bare line feeds": "HTTP/1.1 200 OK\ncontent-length: 0\n\n",
	"a header of 1 MiB": `HTTP/1.1 200 OK\r\nx: ${"a".repeat(1024 * 1024)}\r\ncontent-length: 0\r\n\r\n`,
	"20000 headers": `HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(20_000)}content-length: 0\r\n\r\n`,
	"a reason without end": `HTTP/1.1 200 ${"a".repeat(200_000)}`,
	"an end before the head's": "HTTP/1.1 200 OK\r\ncontent-len",
	nothing: "",
	"a 101 that nobody asked for": "HTTP/1.1 101 Switching Protocols\r\n\r\nbytes",
};

/** Bodies that are broken off: the head may have gone out, so the client must see that the end is missing. */
const truncated: Readonly<Record<string, string>> = {
	"shorter than its length": "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
	"chunks without the last one": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
	"a chunk that is cut": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nhello",
	"a last chunk without its last line end": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
	"a chunk size that is none": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
	"a chunk longer than it says": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
	"a chunk size beyond all numbers": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffffff\r\nhello\r\n",
	"an extension of 1 MiB": `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;${"a".repeat(1024 * 1024)}\r\nhello\r\n0\r\n\r\n`,
	"trailers of 1 MiB": `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n${`x: ${"a".repeat(1000)}\r\n`.repeat(1000)}\r\n`,
	"a length among the trailers": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\ncontent-length: 3\r\n\r\n",
};

describe("sec/responses: a hostile upstream", () => {
	let fixture: Fixture;
	let port = 0;
	before(async () => {
		fixture = await startFixture({ listeners: { front: {} }, route: { timeout: "2s" } });
		port = fixture.proxy.port("front");
	});
	after(() => fixture?.stop());
	afterEach(() => {
		fixture.upstream.responders.clear();
		assertClean(fixture);
	});

	for (const [name, bytes] of Object.entries(malformed)) {
		test(`sec/response: ${name} becomes a 5xx`, async () => {
			fixture.upstream.responders.set("/bad", () => ({ bytes, close: true }));
			const client = await RawClient.connect(port);
			client.send(get("/bad"));
			const response = await client.response();
			assert.ok(isResponse(response), `an answer, not ${String(response)}`);
			assert.ok(response.status >= 502 && response.status <= 504, `status ${response.status}`);
			// The client did nothing wrong: its connection goes on.
			await assertServes(port, client);
			client.close();
		});
	}

	for (const [name, bytes] of Object.entries(truncated)) {
		test(`sec/response: ${name} never looks whole`, async () => {
			fixture.upstream.responders.set("/cut", () => ({ bytes, close: true }));
			const client = await RawClient.connect(port);
			client.send(`${get("/cut")}${get("/behind")}`);
			const response = await client.response();
			assert.ok(!isResponse(response) || response.status >= 500, `not ${JSON.stringify(response)}`);
			if (response === "closed") assert.equal(client.unread.includes("/behind"), false, "nothing follows a broken answer");
			client.close();
			await assertServes(port);
		});
	}

	test("sec/response: a body until the end of the connection is whole, and the connection is not used again", async () => {
		fixture.upstream.responders.set("/close", () => ({ bytes: "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison", close: true }));
		const response = await exchange(port, get("/close"));
		assert.ok(isResponse(response));
		assert.equal(response.body, "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison");
		await assertServes(port);
	});

	test("sec/response: a flood of 1xx ends, and takes no memory", async () => {
		const before = fixture.proxy.workingSetBytes();
		const flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(2000) + "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(2000);
		fixture.upstream.responders.set("/flood", (_, socket) => {
			const pump = () => {
				while (!socket.destroyed && socket.write(flood));
			};
			socket.on("drain", pump);
			pump();
			return undefined;
		});
		const client = await RawClient.connect(port);
		client.send(get("/flood"));
		await assertServes(port);
		const response = await client.response({ quietMs: 6000 });
		assert.ok(!isResponse(response) || response.status >= 500);
		client.close();
		await assertServes(port);
		assert.ok(fixture.proxy.privateBytes() - before < 20 * 1024 * 1024, "memory");
	});

	test("sec/response: what 1xx answers say of framing does not reach the client", async () => {
		fixture.upstream.responders.set("/hints", () => ({
			bytes:
				"HTTP/1.1 103 Early Hints\r\ncontent-length: 30\r\nconnection: x-secret\r\nx-secret: 1\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
		}));
		const response = await exchange(port, get("/hints"));
		assert.ok(isResponse(response));
		assert.equal(response.body, "ok");
		for (const head of response.interim) assert.doesNotMatch(head, /content-length|connection|x-secret/i);
	});

	test("sec/response: 204 and 304 bring no framing that a client could wait for", async () => {
		fixture.upstream.responders.set("/204", () => ({ bytes: "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n" }));
		const client = await RawClient.connect(port);
		client.send(get("/204"));
		const response = await client.response();
		assert.ok(isResponse(response));
		if (response.status === 204) assert.equal(response.headers.get("transfer-encoding"), undefined);
		await assertServes(port, client);
		client.close();
	});

	test("sec/response: hop-by-hop headers of the upstream stay there", async () => {
		fixture.upstream.responders.set("/hop", () => ({
			bytes:
				"HTTP/1.1 200 OK\r\nconnection: keep-alive, x-hop\r\nkeep-alive: timeout=5\r\nproxy-connection: close\r\nx-hop: 1\r\nupgrade: h2c\r\ncontent-length: 0\r\n\r\n",
		}));
		const response = await exchange(port, get("/hop"));
		assert.ok(isResponse(response));
		for (const name of ["keep-alive", "proxy-connection", "upgrade"]) assert.equal(response.headers.get(name), undefined, name);
	});

	test("sec/response: an upstream that stops reading a large body holds back its client, not memory", async () => {
		const { upstream, proxy } = fixture;
		upstream.earlyResponders.set("/stuck", (_, socket) => {
			socket.pause();
			return undefined;
		});
		const before = proxy.workingSetBytes();
		const client = await RawClient.connect(port);
		client.send(`POST /stuck HTTP/1.1\r\nhost: a.test\r\ncontent-length: ${1 << 30}\r\n\r\n`);
		const block = Buffer.alloc(1 << 20, 97);
		for (let i = 0; i < 48; i++) client.send(block);
		await Promise.race([once(client.socket, "drain"), new Promise((resolve) => setTimeout(resolve, 500))]);
		assert.ok(client.socket.writableLength > 0, "the client was held back");
		assert.ok(proxy.privateBytes() - before < 20 * 1024 * 1024, "memory");
		client.close();
		for (const socket of upstream.sockets) socket.destroy();
		upstream.earlyResponders.clear();
		await assertServes(port);
	});
});
