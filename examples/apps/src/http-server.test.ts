import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import type { AppContext } from "./environment.ts";
import { startHttpApp, text } from "./http-server.ts";
import { matchRoute } from "./route-table.ts";
import { startTestApp } from "./test-app.ts";

const hello = (context: AppContext) =>
	startHttpApp(context, { defaultPort: 0, routes: [{ method: "GET", path: "/hello", handler: () => text(200, "hello") }] });

async function exchange(port: number, bytes: string): Promise<string> {
	const socket = connect(port, "127.0.0.1");
	let answer = "";
	socket.on("data", (chunk) => {
		answer += chunk.toString("latin1");
	});
	socket.write(bytes);
	await once(socket, "end");
	socket.destroy();
	return answer;
}

test("a target in absolute form is routed by its path", async (t) => {
	const app = await startTestApp(t, hello);
	const answer = await exchange(app.ports[0] ?? 0, "GET http://any.example/hello?x=1 HTTP/1.1\r\nhost: any.example\r\nconnection: close\r\n\r\n");
	assert.match(answer, /^HTTP\/1\.1 200 [\s\S]*hello$/);
});

test("bytes that are not HTTP are answered 400 and the connection ends", async (t) => {
	const app = await startTestApp(t, hello);
	assert.match(await exchange(app.ports[0] ?? 0, "\x16\x03\x01 nonsense\r\n\r\n"), /^HTTP\/1\.1 400 /);
});

test("stopping lets a request in flight finish", async () => {
	const entered = Promise.withResolvers<void>();
	const release = Promise.withResolvers<void>();
	const slow = async () => {
		entered.resolve();
		await release.promise;
		return text(200, "finished");
	};
	const context = { env: { HOST: "127.0.0.1", PORT: "0" }, args: [], log: () => undefined };
	const app = await startHttpApp(context, { defaultPort: 0, routes: [{ method: "GET", path: "/slow", handler: slow }] });
	const answer = fetch(`http://127.0.0.1:${app.ports[0]}/slow`, { headers: { connection: "close" } });
	await entered.promise;
	const closed = app.close();
	release.resolve();
	assert.equal(await (await answer).text(), "finished");
	await closed;
});

test("PORT that is no port is refused with its name", async () => {
	const context = { env: { PORT: "http" }, args: [], log: () => undefined };
	await assert.rejects(async () => hello(context), /PORT: expected a whole number from 0 to 65535, got "http"/);
});

const handler = () => text(200, "");
const routeCases = [
	["GET", "/a/:id", "GET", "/a/1", "hit"],
	["GET", "/a/:id", "HEAD", "/a/1", "hit"],
	["GET", "/a/:id", "POST", "/a/1", "wrong-method"],
	["GET", "/a/:id", "GET", "/a/", "miss"],
	["GET", "/a/:id", "GET", "/a/%zz", "miss"],
	["GET", "/a/:id", "GET", "/a/1/b", "miss"],
	["*", "/any/*", "PATCH", "/any/x/y", "hit"],
	["*", "/*", "GET", "/", "hit"],
] as const;

for (const [method, path, asked, target, kind] of routeCases) {
	test(`${asked} ${target} is a ${kind} on ${method} ${path}`, () => {
		assert.equal(matchRoute([{ method, path, handler }], asked, target).kind, kind);
	});
}
