import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertClean, assertServes, exchange, type Fixture, get, post, startFixture, statusOf } from "./fixture.ts";
import { RawClient } from "./raw-client.ts";
import type { SeenRequest } from "./request-reader.ts";
import { echo } from "./upstream.ts";

// Requests that are sent more than once: again after a failure, and as a copy to another cluster.
const unavailable = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
const smuggled = "GET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n";
const retriesMax = 2;

describe("sec/replay: what is sent again is sent whole", () => {
	let fixture: Fixture;
	let port = 0;
	before(async () => {
		const retry_policy = { retry_on: "5xx,reset", num_retries: retriesMax, retry_back_off: { base_interval: "0.001s", max_interval: "0.002s" } };
		fixture = await startFixture({ listeners: { front: {} }, route: { retry_policy, timeout: "5s" } });
		port = fixture.proxy.port("front");
	});
	after(() => fixture?.stop());
	afterEach(() => {
		fixture.upstream.responders.clear();
		fixture.upstream.earlyResponders.clear();
		assertClean(fixture);
	});

	/** Refuses before the body is there, then lets it come. */
	const refuseFirst = (times: number) => {
		let asked = 0;
		return () => (asked++ < times ? { bytes: unavailable, close: true } : undefined);
	};

	for (const framing of ["content-length", "chunked"] as const) {
		test(`a body (${framing}) that is refused before it is complete arrives whole in the attempt that counts`, async () => {
			fixture.upstream.earlyResponders.set("/again", refuseFirst(retriesMax));
			const client = await RawClient.connect(port);
			client.send(
				`POST /again HTTP/1.1\r\nhost: a.test\r\n${framing === "chunked" ? "transfer-encoding: chunked" : `content-length: ${smuggled.length}`}\r\n\r\n`,
			);
			await sleep(50);
			client.send(framing === "chunked" ? `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n` : smuggled);
			const status = statusOf(await client.response());
			client.close();
			const whole = fixture.upstream.seen.filter(({ target }) => target === "/again");
			if (status === 200) assert.equal(whole.at(-1)?.body, smuggled);
			for (const { body } of whole) assert.equal(body, smuggled);
			assert.equal(
				fixture.upstream.seen.some(({ target }) => target === "/smuggled"),
				false,
			);
			await assertServes(port);
		});
	}

	for (const [name, bytes] of [
		["garbage", "\x00\r\n\r\n"],
		["an end without an answer", ""],
		["503 with bytes behind it", `${unavailable}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison`],
	] as const) {
		test(`${name}: asked again no more than ${retriesMax} times, each answer its own`, async () => {
			let asked = 0;
			fixture.upstream.responders.set("/bad", () => {
				asked++;
				return { bytes, close: true };
			});
			const status = statusOf(await exchange(port, post("/bad", "body")));
			assert.ok(typeof status === "number" && status >= 500, String(status));
			assert.ok(asked <= retriesMax + 1, `${asked} times`);
			for (let i = 0; i < 5; i++) await assertServes(port);
		});
	}
});

describe("sec/replay: copies for another cluster", () => {
	let fixture: Fixture;
	let port = 0;
	before(async () => {
		fixture = await startFixture({
			listeners: { front: {} },
			route: { request_mirror_policies: [{ cluster: "elsewhere", disable_shadow_host_suffix_append: true }] },
		});
		port = fixture.proxy.port("front");
	});
	after(() => fixture?.stop());
	afterEach(() => {
		fixture.upstream.responders.clear();
		assertClean(fixture);
	});

	async function seen(target: string, count: number): Promise<readonly SeenRequest[]> {
		for (let i = 0; i < 40 && fixture.upstream.seen.filter((request) => request.target === target).length < count; i++) await sleep(25);
		return fixture.upstream.seen.filter((request) => request.target === target);
	}

	test("the copy has the request's body and framing of its own", async () => {
		const chunks = `POST /copy HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`;
		assert.equal(statusOf(await exchange(port, chunks)), 200);
		assert.deepEqual(
			(await seen("/copy", 2)).map(({ body }) => body),
			[smuggled, smuggled],
		);
	});

	test("of a request that breaks off or turns out malformed there is no copy", async () => {
		const client = await RawClient.connect(port);
		client.send("POST /cut HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100\r\n\r\nhalf");
		await sleep(50);
		client.close();
		assert.equal(statusOf(await exchange(port, "POST /cut HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nxyz\r\n")), 400);
		await assertServes(port);
		await sleep(100);
		assert.deepEqual(await seen("/cut", 1), []);
	});

	test("what the copy's upstream answers is nobody's answer", async () => {
		let asked = 0;
		for (const bytes of [
			"garbage\r\n\r\n",
			"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoisonHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
			"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
		]) {
			fixture.upstream.responders.set("/shadow", (request) => (asked++ % 2 === 0 ? echo(request) : { bytes }));
			for (let i = 0; i < 10; i++) {
				const client = await RawClient.connect(port);
				client.send(get("/shadow"));
				const status = statusOf(await client.response());
				// Whichever of the two comes first has the good answer: the client gets that one or an error, never both.
				assert.ok(status === 200 || (typeof status === "number" && status >= 500), String(status));
				await assertServes(port);
				client.close();
			}
		}
	});
});
