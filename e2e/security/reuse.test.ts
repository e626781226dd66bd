import assert from "node:assert/strict";
import { once } from "node:events";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertClean, assertServes, exchange, type Fixture, get, isResponse, post, startFixture, statusOf } from "./fixture.ts";
import { RawClient } from "./raw-client.ts";
import { headerOf } from "./request-reader.ts";
import { echo } from "./upstream.ts";

// Connections that are used again: what one exchange leaves behind must never become part of the next.
const smuggled = "GET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n";
const lines = (...all: readonly string[]) => `${all.join("\r\n")}\r\n\r\n`;
const upgrade = lines("GET /upgrade HTTP/1.1", "host: a.test", "connection: upgrade", "upgrade: websocket");
const answer = (status: string, body: string, ...headers: readonly string[]) =>
	`HTTP/1.1 ${status}\r\n${headers.map((line) => `${line}\r\n`).join("")}content-length: ${body.length}\r\n\r\n${body}`;

describe("sec/reuse: nothing is left on a connection for the next request", () => {
	let fixture: Fixture;
	let port = 0;
	before(async () => {
		fixture = await startFixture({
			listeners: { front: { upgrade_configs: [{ upgrade_type: "websocket" }] }, tunnels: { upgrade_configs: [{ upgrade_type: "CONNECT" }] } },
		});
		port = fixture.proxy.port("front");
	});
	after(() => fixture?.stop());
	afterEach(() => {
		const { upstream } = fixture;
		upstream.responders.clear();
		upstream.earlyResponders.clear();
		const isSmuggled = upstream.seen.some(({ target }) => target === "/smuggled");
		assertClean(fixture);
		assert.equal(isSmuggled, false, "a smuggled request was seen");
	});

	describe("sec/a3: answers that come before the body", () => {
		const early = (path: string, bytes: string) => fixture.upstream.earlyResponders.set(path, () => ({ bytes }));

		for (const framing of ["content-length", "chunked"] as const) {
			test(`the rest of a body (${framing}) does not become a request`, async () => {
				early("/early", answer("200 OK", "early"));
				const client = await RawClient.connect(port);
				const head = framing === "chunked" ? "transfer-encoding: chunked" : `content-length: ${smuggled.length}`;
				client.send(`POST /early HTTP/1.1\r\nhost: a.test\r\n${head}\r\n\r\n`);
				const first = await client.response();
				assert.ok(isResponse(first));
				assert.deepEqual([first.status, first.body, first.headers.get("connection")], [200, "early", "close"]);
				client.send(framing === "chunked" ? `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n` : smuggled);
				assert.equal(await client.response(), "closed");
				await assertServes(port);
				client.close();
			});
		}

		for (const expect of ["100-continue", "100-Continue", "100-continue, 100-continue", "x", "200-ok", " 100-continue ", ""]) {
			test(`Expect: ${JSON.stringify(expect)} leaves no body behind`, async () => {
				early("/early", answer("417 Expectation Failed", ""));
				const client = await RawClient.connect(port);
				client.send(`POST /early HTTP/1.1\r\nhost: a.test\r\nexpect: ${expect}\r\ncontent-length: ${smuggled.length}\r\n\r\n`);
				const first = await client.response();
				assert.ok(isResponse(first) && first.status >= 400, "the refusal came through");
				client.send(smuggled);
				assert.equal(await client.response(), "closed");
				await assertServes(port);
				client.close();
			});
		}

		test("Expect with GET and no body", async () => {
			const client = await RawClient.connect(port);
			client.send(get("/a", "expect: 100-continue"));
			assert.equal(statusOf(await client.response()), 200);
			await assertServes(port, client);
			client.close();
		});

		test("a body without its end leaves the upstream connection unused", async () => {
			const client = await RawClient.connect(port);
			client.send("POST /cut HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100\r\n\r\nGET /smuggled HTTP/1.1\r\n");
			await sleep(50);
			client.close();
			for (let i = 0; i < 5; i++) await assertServes(port);
			assert.equal(
				fixture.upstream.seen.some(({ target }) => target === "/cut"),
				false,
			);
		});
	});

	describe("sec/a4: upgrades and CONNECT", () => {
		for (const status of ["200 OK", "204 No Content", "400 Bad Request", "426 Upgrade Required"]) {
			test(`what was sent behind a refused upgrade (${status}) is not forwarded`, async () => {
				const { upstream } = fixture;
				const closed: Promise<unknown>[] = [];
				upstream.responders.set("/upgrade", (_, socket) => {
					closed.push(once(socket, "close"));
					return { bytes: status.startsWith("204") ? "HTTP/1.1 204 No Content\r\n\r\n" : answer(status, "no") };
				});
				for (let round = 0; round < 50; round++) {
					const client = await RawClient.connect(port);
					client.send(`${upgrade}${smuggled}`);
					const response = await client.response();
					assert.equal(statusOf(response), Number(status.slice(0, 3)));
					assert.equal(await client.response(), "closed");
					await assertServes(port);
					client.close();
				}
				await Promise.all(closed);
				assert.equal(upstream.receivedText.includes("/smuggled"), false, "no early byte was forwarded");
			});
		}

		test("bytes wait for 101 and then pass both ways", async () => {
			const { upstream } = fixture;
			let before = "";
			upstream.responders.set("/upgrade", (_, socket) => {
				setTimeout(() => {
					before = upstream.receivedText;
					socket.removeAllListeners("data");
					socket.on("data", (chunk: Buffer) => socket.write(`heard ${chunk.toString()}`));
					socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
				}, 100);
				return undefined;
			});
			const client = await RawClient.connect(port);
			client.send(`${upgrade}early`);
			const response = await client.response();
			assert.ok(isResponse(response));
			assert.deepEqual([response.status, response.headers.get("upgrade")?.toLowerCase()], [101, "websocket"]);
			assert.equal(await client.text(11), "heard early");
			assert.equal(before.includes("early"), false, "nothing was forwarded before the upstream agreed");
			client.close();
			await assertServes(port);
		});

		test("a 101 that nobody asked for is no tunnel", async () => {
			fixture.upstream.responders.set("/unasked", () => ({
				bytes: "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
			}));
			const client = await RawClient.connect(port);
			client.send(get("/unasked"));
			const response = await client.response();
			assert.ok(!isResponse(response) || response.status >= 500, "no 101 reached the client");
			client.close();
			await assertServes(port);
		});

		test("a CONNECT that is allowed: its target is judged, and nothing is forwarded before 2xx", async () => {
			const { upstream, proxy } = fixture;
			let before = "";
			upstream.responders.set("b.test:443", (_, socket) => {
				setTimeout(() => {
					before = upstream.receivedText;
					socket.removeAllListeners("data");
					socket.on("data", (chunk: Buffer) => socket.write(`heard ${chunk.toString()}`));
					socket.write("HTTP/1.1 200 OK\r\n\r\n");
				}, 100);
				return undefined;
			});
			const client = await RawClient.connect(proxy.port("tunnels"));
			client.send(`${lines("CONNECT b.test:443 HTTP/1.1", "host: b.test:443")}early`);
			assert.match(await client.text(15), /^HTTP\/1\.1 200 OK/);
			await sleep(50);
			assert.match(await client.text(client.unread.length), /\r\n\r\nheard early$/);
			assert.equal(before.includes("early"), false, "nothing was forwarded before the upstream agreed");
			client.close();
		});

		test("a CONNECT whose target disagrees with Host is refused, or judged by its target", async () => {
			fixture.upstream.responders.set("b.test:443", () => ({ bytes: answer("403 Forbidden", "no") }));
			const response = await exchange(fixture.proxy.port("tunnels"), lines("CONNECT b.test:443 HTTP/1.1", "host: a.test:80"));
			assert.ok(isResponse(response) && [400, 403].includes(response.status));
			for (const request of fixture.upstream.seen) assert.equal(headerOf(request, "host"), "b.test:443");
		});

		test("what was sent behind a refused CONNECT is not forwarded", async () => {
			fixture.upstream.responders.set("b.test:443", () => ({ bytes: answer("403 Forbidden", "no") }));
			for (let round = 0; round < 20; round++) {
				const client = await RawClient.connect(fixture.proxy.port("tunnels"));
				client.send(`${lines("CONNECT b.test:443 HTTP/1.1", "host: b.test:443")}${smuggled}`);
				assert.equal(statusOf(await client.response()), 403);
				assert.equal(await client.response(), "closed");
				client.close();
			}
			assert.equal(fixture.upstream.receivedText.includes("/smuggled"), false);
			await assertServes(port);
		});

		for (const framing of ["content-length: 5\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]) {
			test(`a CONNECT with content is refused (${framing.slice(0, framing.indexOf(":"))})`, async () => {
				const response = await exchange(fixture.proxy.port("tunnels"), `CONNECT b.test:443 HTTP/1.1\r\nhost: b.test:443\r\n${framing}`);
				assert.equal(statusOf(response), 400);
				assert.deepEqual(fixture.upstream.seen, []);
			});

			test(`an upgrade with content is an ordinary request (${framing.slice(0, framing.indexOf(":"))})`, async () => {
				const response = await exchange(port, `POST /content HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n${framing}`);
				assert.equal(statusOf(response), 200);
				const [request] = fixture.upstream.seen;
				assert.deepEqual([request?.body, request && headerOf(request, "upgrade")], ["hello", undefined]);
			});
		}

		test("a tunnel's opening names no length", async () => {
			fixture.upstream.responders.set("/upgrade", () => ({
				bytes: "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 100\r\ntransfer-encoding: identity\r\n\r\n",
			}));
			const response = await exchange(port, upgrade);
			assert.ok(isResponse(response));
			if (response.status === 101)
				assert.deepEqual([response.headers.get("content-length"), response.headers.get("transfer-encoding")], [undefined, undefined]);
		});

		test("a CONNECT that is not allowed opens nothing", async () => {
			const client = await RawClient.connect(port);
			client.send(`${lines("CONNECT a.test:80 HTTP/1.1", "host: a.test:80")}early`);
			const response = await client.response();
			assert.ok(isResponse(response) && response.status >= 400);
			assert.deepEqual([fixture.upstream.seen.length, fixture.upstream.receivedText], [0, ""]);
			client.close();
		});

		test("victims among upgrades get their own answers", async () => {
			fixture.upstream.responders.set("/upgrade", () => ({ bytes: answer("200 OK", "no") }));
			const attack = async () => {
				for (let i = 0; i < 100; i++) await exchange(port, `${upgrade}${smuggled}`);
			};
			const victim = async () => {
				const client = await RawClient.connect(port);
				for (let i = 0; i < 250; i++) await assertServes(port, client);
				client.close();
			};
			await Promise.all([attack(), victim(), attack(), victim(), victim(), victim()]);
		});
	});

	describe("sec/a5: h2c", () => {
		const forms = [
			["connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQCAAAAAAIAAAAA"],
			["connection: upgrade", "upgrade: h2c"],
			["connection: upgrade", "upgrade: H2C"],
			["connection: upgrade", "upgrade: websocket, h2c"],
			["connection: upgrade", "upgrade: h2c, websocket"],
			["connection: upgrade", "upgrade: h2c", "upgrade: websocket"],
			["connection: http2-settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQCAAAAAAIAAAAA"],
			["upgrade: h2c"],
		];
		for (const form of forms) {
			test(form.join(" | "), async () => {
				const { upstream } = fixture;
				upstream.responders.set("/h2c", (request) =>
					headerOf(request, "upgrade") === undefined
						? echo(request)
						: { bytes: "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n" },
				);
				const client = await RawClient.connect(port);
				client.send(get("/h2c", ...form));
				const response = await client.response();
				assert.ok(isResponse(response));
				assert.notEqual(response.status, 101);
				for (const request of upstream.seen) {
					assert.equal(headerOf(request, "upgrade")?.toLowerCase().includes("h2c") ?? false, false, "no offer of h2c reached the upstream");
					assert.equal(headerOf(request, "http2-settings"), undefined);
				}
				client.close();
				await assertServes(port);
			});
		}
	});

	describe("sec/a7: answers that nobody asked for", () => {
		const poison = answer("200 OK", "poison");

		test("behind an answer, in the same bytes", async () => {
			fixture.upstream.responders.set("/ask", (request) => ({ bytes: `${String(echo(request).bytes)}${poison}` }));
			for (let round = 0; round < 300; round++) {
				const response = await exchange(port, get("/ask"));
				assert.ok(isResponse(response) && response.body === "saw GET /ask");
				await assertServes(port);
			}
		});

		test("on an idle connection: it is closed, and the next client gets its own", async () => {
			const { upstream } = fixture;
			for (let round = 0; round < 300; round++) {
				await assertServes(port);
				const sockets = [...upstream.sockets];
				const closed = sockets.map((socket) => once(socket, "close"));
				for (const socket of sockets) socket.write(round % 3 === 0 ? poison : round % 3 === 1 ? "x" : "HTTP/1.1 408 Request Timeout\r\n\r\n");
				await Promise.all(closed);
			}
			await assertServes(port);
		});

		test("behind an answer to HEAD, to 204 and to 304: as a body they may not have", async () => {
			const { upstream } = fixture;
			upstream.responders.set("/head", () => ({ bytes: `HTTP/1.1 200 OK\r\ncontent-length: ${poison.length}\r\n\r\n${poison}` }));
			upstream.responders.set("/204", () => ({ bytes: `HTTP/1.1 204 No Content\r\ncontent-length: ${poison.length}\r\n\r\n${poison}` }));
			upstream.responders.set("/304", () => ({ bytes: `HTTP/1.1 304 Not Modified\r\ncontent-length: ${poison.length}\r\n\r\n${poison}` }));
			for (let round = 0; round < 50; round++) {
				assert.equal(statusOf(await exchange(port, "HEAD /head HTTP/1.1\r\nhost: a\r\n\r\n", { isHead: true })), 200);
				await assertServes(port);
				for (const path of ["/204", "/304"]) {
					const client = await RawClient.connect(port);
					client.send(get(path));
					const status = statusOf(await client.response());
					// Refusing it is right as well.
					assert.ok(status === Number(path.slice(1)) || (typeof status === "number" && status >= 500), `${String(status)} for ${path}`);
					if (!client.isClosed) await assertServes(port, client);
					client.close();
				}
			}
		});
	});

	describe("sec/a8: Connection names headers", () => {
		const nominate = async (name: string, value: string) => {
			const response = await exchange(port, post("/nominated", "body", `connection: ${name}`, `${name}: ${value}`));
			const request = fixture.upstream.seen.at(-1);
			return { status: statusOf(response), seen: request === undefined ? undefined : headerOf(request, name), request };
		};

		for (const name of ["host", "content-length", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-judged", ":path", ":authority"]) {
			test(`${name} is not lost`, async () => {
				const client = await RawClient.connect(port);
				client.send(post("/nominated", "body", `connection: ${name}, keep-alive`));
				const status = statusOf(await client.response());
				client.close();
				// Envoy refuses some of these outright.
				if (status !== 200) return assert.equal(status, 400);
				const request = fixture.upstream.seen.at(-1);
				assert.ok(request);
				assert.equal(request.body, "body");
				if (!name.startsWith(":") && name !== "x-forwarded-for") assert.notEqual(headerOf(request, name), undefined);
			});
		}

		test("x-forwarded-client-cert is not trusted", async () => {
			const { seen } = await nominate("x-forwarded-client-cert", "URI=spiffe://evil");
			assert.equal(seen, undefined);
		});

		test("what is nominated stays on this hop", async () => {
			const { status, seen, request } = await nominate("x-user", "secret");
			assert.deepEqual([status, seen], [200, undefined]);
			assert.equal(request && headerOf(request, "connection"), undefined);
		});

		test("credentials that are nominated arrive whole or not at all, and nothing says that they were for this hop", async () => {
			for (const name of ["authorization", "cookie"]) {
				const { status, seen, request } = await nominate(name, "secret");
				assert.equal(status, 200);
				assert.ok(seen === undefined || seen === "secret", name);
				assert.equal(request && headerOf(request, "connection"), undefined);
			}
		});

		test("transfer-encoding nominated: the framing stays", async () => {
			const body = `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`;
			const status = statusOf(
				await exchange(port, `POST /nominated HTTP/1.1\r\nhost: a.test\r\nconnection: transfer-encoding\r\ntransfer-encoding: chunked\r\n\r\n${body}`),
			);
			if (status === 200) assert.equal(fixture.upstream.seen.at(-1)?.body, smuggled);
			await assertServes(port);
		});
	});
});
