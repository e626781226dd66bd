import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertClean, assertServes, exchange, type Fixture, get, isResponse, startFixture, statusOf } from "./fixture.ts";
import { RawClient } from "./raw-client.ts";

const mebibyte = 1024 * 1024;
const growthBytesMax = 20 * mebibyte;
const slowSockets = 2000;
/** Generous beside timeouts of 1.5 s: a busy machine is no failure. */
const cutMsMax = 15_000;

/** Each listener has one timeout that can cut. */
const timeouts = {
	heads: { request_headers_timeout: "1.5s" },
	bodies: { request_timeout: "1.5s" },
	idle: { common_http_protocol_options: { idle_timeout: "1.5s" } },
	streams: { stream_idle_timeout: "1.5s" },
};

async function openMany(port: number, count: number, bytes: string): Promise<readonly RawClient[]> {
	const clients: RawClient[] = [];
	const batch = 100;
	for (let i = 0; i < count; i += batch) {
		const opened = await Promise.all(Array.from({ length: Math.min(batch, count - i) }, () => RawClient.connect(port)));
		for (const client of opened) client.send(bytes);
		clients.push(...opened);
	}
	return clients;
}

describe("sec/exhaustion: what one client costs is bounded", () => {
	let fixture: Fixture;
	before(async () => {
		const copies = Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`x-copy-${i}`, "%REQ(X-BIG)%"]));
		fixture = await startFixture({
			listeners: {
				front: {},
				normalized: { normalize_path: true, merge_slashes: true, use_remote_address: true },
				patient: { request_headers_timeout: "60s" },
				...timeouts,
			},
			route: { timeout: "5s" },
			addedHeaders: copies,
		});
		// Warm: what the process allocates once is not what a client costs.
		await Promise.all((await openMany(fixture.proxy.port("front"), 200, get("/warm"))).map(async (client) => (await client.response(), client.close())));
	});
	after(() => fixture?.stop());
	afterEach(() => {
		fixture.upstream.responders.clear();
		assertClean(fixture);
	});

	/** Open connections as the proxy counts them, once there are `count`, or after a while. */
	async function activeConnections(listener: string, count: number): Promise<number> {
		let active = Number.NaN;
		for (let i = 0; i < 100; i++) {
			const text = await (await fixture.proxy.admin(`/stats?filter=http.${listener}.downstream_cx_active`)).text();
			active = Number(/downstream_cx_active: (-?\d+)/.exec(text)?.[1]);
			if (active === count) break;
			await sleep(100);
		}
		return active;
	}

	test("sec/e41: connections that end in protocol errors leave nothing behind", async () => {
		const port = fixture.proxy.port("front");
		const errors = [
			"\x00\r\n\r\n",
			"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
			"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
			"GET /#a HTTP/1.1\r\nhost: a\r\n\r\n",
			"GET / HTTP/1.1\r\nx",
			"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
			"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc",
		];
		const round = async (count: number) => {
			for (let i = 0; i < count; i += 100) {
				const clients = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(port)));
				for (const [n, client] of clients.entries()) client.send(errors[n % errors.length] as string);
				await Promise.all(clients.map((client) => client.response({ quietMs: 30 })));
				for (const client of clients) client.close();
			}
		};
		await round(1000);
		const before = fixture.proxy.workingSetBytes();
		await round(3000);
		assert.equal(await activeConnections("front", 0), 0);
		const growth = fixture.proxy.privateBytes() - before;
		assert.ok(growth < growthBytesMax / 2, `${growth} bytes for 3000 connections`);
		await assertServes(port);
	});

	const slowStarts: Readonly<Record<string, string>> = {
		heads: `GET /slow HTTP/1.1\r\nhost: a.test\r\nx-slow: ${"a".repeat(100)}`,
		bodies: "POST /slow HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1000\r\n\r\nabc",
	};
	for (const [kind, bytes] of Object.entries(slowStarts)) {
		test(`sec/e42: ${slowSockets} slow ${kind} take little memory, and others are served`, async () => {
			const { proxy } = fixture;
			const before = proxy.workingSetBytes();
			const clients = await openMany(proxy.port("patient"), slowSockets, bytes);
			for (let round = 0; round < 3; round++) {
				for (const client of clients) client.send("b");
				await assertServes(proxy.port("front"));
			}
			assert.equal(await activeConnections("patient", slowSockets), slowSockets);
			const growth = proxy.privateBytes() - before;
			assert.ok(growth <= growthBytesMax, `${(growth / mebibyte).toFixed(1)} MiB for ${slowSockets} connections`);
			for (const client of clients) client.close();
			assert.equal(await activeConnections("patient", 0), 0);
		});
	}

	/** Opens connections, drips into each now and then, and sees all of them ended by the proxy. */
	async function assertAllCut(listener: keyof typeof timeouts, begin: string, drip: string, isServedFirst = false): Promise<void> {
		const port = fixture.proxy.port(listener);
		const clients = await openMany(port, 40, isServedFirst ? get("/first") : "");
		if (isServedFirst) for (const client of clients) assert.equal(statusOf(await client.response()), 200);
		for (const client of clients) client.send(begin);
		const end = performance.now() + cutMsMax;
		while (clients.some(({ isClosed }) => !isClosed) && performance.now() < end) {
			for (const client of clients) if (drip !== "" && !client.isClosed) client.send(drip);
			await sleep(200);
		}
		const open = clients.filter(({ isClosed }) => !isClosed).length;
		for (const client of clients) client.close();
		assert.equal(open, 0, `${open} of ${clients.length} are still open`);
		await assertServes(port);
	}

	const head = "POST /slow HTTP/1.1\r\nhost: a.test\r\n";
	describe("sec/e42: the slow are cut", { concurrency: true }, () => {
		test("a head that drips, by request_headers_timeout", () => assertAllCut("heads", "GET / HTTP/1.1\r\nx: ", "a"));
		test("the head of a later request that drips, by request_headers_timeout", () => assertAllCut("heads", "GET / HTTP/1.1\r\nx: ", "a", true));
		test("the head of a later request that stops, by stream_idle_timeout", () => assertAllCut("streams", "GET / HTTP/1.1\r\nx: ", "", true));
		test("a head that stops, by stream_idle_timeout", () => assertAllCut("streams", "GET / HTTP/1.1\r\nx: ", ""));
		test("a body that stops, by stream_idle_timeout", () => assertAllCut("streams", `${head}content-length: 100\r\n\r\na`, ""));
		test("a body that drips, by request_timeout", () => assertAllCut("bodies", `${head}content-length: 100000\r\n\r\n`, "a"));
		test("chunks that drip, by request_timeout", () => assertAllCut("bodies", `${head}transfer-encoding: chunked\r\n\r\n`, "1\r\na\r\n"));
		test("empty lines before a request, by idle_timeout", () => assertAllCut("idle", "\r\n", "\r\n"));
		test("a connection that has been served and is idle, by idle_timeout", () => assertAllCut("idle", "", "", true));
		test("a connection that never says anything, by idle_timeout", () => assertAllCut("idle", "", ""));
	});

	test("sec/e42: an endless chunk extension is refused", async () => {
		const client = await RawClient.connect(fixture.proxy.port("front"));
		client.send("POST /ext HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n1;");
		for (let i = 0; i < 8 && !client.isClosed; i++) client.send("a".repeat(8192));
		const response = await client.response();
		assert.ok(response === "closed" || statusOf(response) === 400, String(statusOf(response)));
		client.close();
	});

	test("sec/e42: extensions and trailers add up over a body", async () => {
		const { proxy } = fixture;
		const head = "POST /ext HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n";
		for (const bytes of [`${`1;${"x".repeat(1000)}\r\na\r\n`.repeat(1000)}0\r\n\r\n`, `0\r\n${`x: ${"y".repeat(1000)}\r\n`.repeat(1000)}\r\n`]) {
			const response = await exchange(proxy.port("front"), `${head}${bytes}`);
			assert.ok(response === "closed" || (isResponse(response) && response.status >= 400), String(statusOf(response)));
		}
	});

	test("sec/e42: clients that pipeline and never read are held back", async () => {
		const { proxy, upstream } = fixture;
		const before = proxy.workingSetBytes();
		const clients = await openMany(proxy.port("front"), 10, "");
		const requests = get("/pipelined", `x-pad: ${"p".repeat(500)}`).repeat(200);
		for (const client of clients) client.socket.pause();
		for (let i = 0; i < 40; i++) {
			for (const client of clients) client.send(requests);
			upstream.clear();
			await sleep(10);
		}
		await sleep(300);
		const growth = proxy.privateBytes() - before;
		assert.ok(growth <= growthBytesMax, `${(growth / mebibyte).toFixed(1)} MiB`);
		await assertServes(proxy.port("front"));
		for (const client of clients) client.close();
		assert.equal(await activeConnections("front", 0), 0);
	});

	test("sec/e42: clients that ask for much and read nothing are bounded", async () => {
		const { proxy, upstream } = fixture;
		const body = "b".repeat(4 * mebibyte);
		upstream.responders.set("/large", () => ({ bytes: `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}` }));
		const before = proxy.workingSetBytes();
		const clients = await Promise.all(Array.from({ length: 60 }, () => RawClient.connect(proxy.port("front"))));
		for (const client of clients) {
			client.socket.pause();
			client.send(get("/large"));
		}
		await sleep(1000);
		const growth = proxy.privateBytes() - before;
		// Envoy keeps up to 1 MiB a connection (per_connection_buffer_limit_bytes).
		assert.ok(growth <= clients.length * mebibyte * 0.5, `${(growth / mebibyte).toFixed(1)} MiB`);
		await assertServes(proxy.port("front"));
		for (const client of clients) client.close();
	});

	test("sec/e44: ten thousand tiny headers and one huge header are refused, in no time", async () => {
		const port = fixture.proxy.port("front");
		const before = performance.now();
		for (let i = 0; i < 20; i++) {
			for (const headers of ["a:\r\n".repeat(10_000), `a: ${"b".repeat(mebibyte)}\r\n`, `${"c".repeat(mebibyte)}: d\r\n`]) {
				assert.equal(statusOf(await exchange(port, `GET / HTTP/1.1\r\nhost: a\r\n${headers}\r\n`)), 431);
			}
		}
		assert.ok(performance.now() - before < 10_000);
		await assertServes(port);
	});

	test("sec/e44: heads that are made to be costly are not", async () => {
		const port = fixture.proxy.port("normalized");
		const size = 55_000;
		const heads = {
			nominations: get("/costly", `connection: ${"a,".repeat(size / 2)}a`),
			"different nominations": get("/costly", `connection: ${Array.from({ length: 9000 }, (_, i) => `t${i}`).join(",")}`),
			"forwarded addresses": get("/costly", `x-forwarded-for: ${"1.1.1.1,".repeat(size / 8)}1.1.1.1`),
			escapes: get(`/${"%41".repeat(size / 3)}`),
			slashes: get(`/${"/".repeat(size)}`),
			"steps up": get(`/${"a/../".repeat(size / 5)}`),
			"bytes to escape": get(`/${"|".repeat(size)}`),
		};
		for (const [name, bytes] of Object.entries(heads)) {
			const before = performance.now();
			for (let i = 0; i < 20; i++) {
				const outcome = await exchange(port, bytes);
				assert.ok(isResponse(outcome) && [200, 400, 431].includes(outcome.status), name);
			}
			assert.ok(performance.now() - before < 5000, name);
		}
		await assertServes(port);
	});

	test("sec/e44: a head that comes in thousands of pieces costs no more than its bytes", async () => {
		const port = fixture.proxy.port("front");
		const clients = await openMany(port, 20, "GET /pieces HTTP/1.1\r\nhost: a.test\r\n");
		const before = performance.now();
		for (let i = 0; i < 2000; i++) {
			for (const client of clients) client.send(i % 25 === 0 ? `x-${i}: ` : i % 25 === 24 ? "\r\n" : "aaaaaaaaaaaaaaaaaaaa");
			if (i % 20 === 0) await sleep(0);
		}
		for (const client of clients) client.send("\r\n");
		for (const client of clients) assert.equal(statusOf(await client.response()), 200);
		assert.ok(performance.now() - before < 15_000);
		for (const client of clients) client.close();
	});

	test("sec/e44: a large header that the configuration copies many times breaks no other request", async () => {
		const port = fixture.proxy.port("front");
		for (const length of [20_000, 30_000, 55_000]) {
			const response = await exchange(port, get("/copies", `x-big: ${"b".repeat(length)}`));
			assert.ok(isResponse(response), `an answer, not ${String(response)}`);
			if (response.status === 200)
				assert.equal(
					fixture.upstream.seen
						.findLast(({ target }) => target === "/copies")
						?.headers.filter(([name, value]) => name.startsWith("x-copy-") && value.length === length).length,
					6,
				);
			for (let i = 0; i < 3; i++) await assertServes(port);
		}
	});

	test("sec/e43: out of file descriptors, it comes back once there are some", async () => {
		const small = await startFixture({ listeners: { front: {} }, descriptorsMax: 160 });
		try {
			const port = small.proxy.port("front");
			const clients = await Promise.allSettled(Array.from({ length: 400 }, () => RawClient.connect(port)));
			for (const client of clients) if (client.status === "fulfilled") client.value.send(get("/full"));
			await sleep(500);
			for (const client of clients) if (client.status === "fulfilled") client.value.close();
			let status: unknown;
			for (let i = 0; i < 50 && status !== 200; i++) {
				status = statusOf(await exchange(port, get("/back"), { quietMs: 500 }).catch(() => "closed" as const));
				if (status !== 200) await sleep(100);
			}
			assert.equal(status, 200);
			assert.equal((await small.proxy.admin("/ready")).status, 200);
			assertClean(small);
		} finally {
			await small.stop();
		}
	});
});
