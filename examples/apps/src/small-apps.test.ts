import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { startCurlLoop } from "./curl-loop.ts";
import type { AppContext } from "./environment.ts";
import { startGrpcEcho } from "./grpc-echo.ts";
import { startHelloworld } from "./helloworld.ts";
import { startHttpEcho } from "./http-echo.ts";
import { startHttpApp, text } from "./http-server.ts";
import { startRateLimit } from "./rate-limit.ts";
import { startTcpEcho } from "./tcp-echo.ts";
import { jsonOf, startTestApp } from "./test-app.ts";

test("helloworld names its version and instance", async (t) => {
	const app = await startTestApp(t, startHelloworld, { SERVICE_VERSION: "v2", POD_NAME: "helloworld-v2-a" });
	assert.equal((await app.send("/hello")).body.toString(), "Hello version: v2, instance: helloworld-v2-a\n");
});

test("http-echo shows headers in wire case and the body", async (t) => {
	const app = await startTestApp(t, startHttpEcho);
	const body = jsonOf(await app.send("/any/path?x=1", { method: "POST", headers: { "X-Odd-Case": "1" }, body: Buffer.from("hi") }));
	const { target, headers, body: echoed } = body as { target: string; headers: [string, string][]; body: string };
	assert.equal(target, "/any/path?x=1");
	assert.ok(headers.some(([name, value]) => name === "X-Odd-Case" && value === "1"));
	assert.equal(echoed, "hi");
});

async function grpcCall(port: number, path: string, message: Buffer): Promise<{ readonly status: unknown; readonly body: Buffer }> {
	const session = connectHttp2(`http://127.0.0.1:${port}`);
	const call = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" });
	const chunks: Buffer[] = [];
	let status: unknown;
	call.on("response", (headers) => (status ??= headers["grpc-status"]));
	call.on("trailers", (trailers) => (status ??= trailers["grpc-status"]));
	call.on("data", (chunk: Buffer) => chunks.push(chunk));
	call.end(message);
	await once(call, "close");
	session.close();
	return { status, body: Buffer.concat(chunks) };
}

test("grpc-echo answers with the message, is healthy, and does not know other methods", async (t) => {
	const app = await startTestApp(t, startGrpcEcho);
	const port = app.ports[0] ?? 0;
	const message = Buffer.from([0, 0, 0, 0, 3, 10, 1, 120]);
	assert.deepEqual(await grpcCall(port, "/echo.Echo/Say", message), { status: "0", body: message });
	assert.deepEqual(await grpcCall(port, "/grpc.health.v1.Health/Check", Buffer.alloc(5)), { status: "0", body: Buffer.from([0, 0, 0, 0, 2, 8, 1]) });
	assert.equal((await grpcCall(port, "/echo.Echo/Other", message)).status, "12");
	assert.equal((await grpcCall(port, "/echo.Echo/Say", Buffer.alloc((1 << 20) + 1))).status, "8");
});

test("tcp-echo prefixes every line on every port, split lines and the last one without a break included", async (t) => {
	const app = await startTestApp(t, startTcpEcho, { PORT_9001: "0" }, ["9000,9001", "one"]);
	assert.equal(app.ports.length, 2);
	for (const port of app.ports) {
		const socket = connect(port, "127.0.0.1");
		let received = "";
		socket.on("data", (bytes) => {
			received += bytes.toString();
		});
		socket.write("hel");
		socket.write("lo\nworld\nend");
		socket.end();
		await once(socket, "end");
		assert.equal(received, "one hello\none world\none end");
	}
});

test("tcp-echo closes a connection whose line never ends", async (t) => {
	const app = await startTestApp(t, startTcpEcho, {}, ["9000"]);
	const socket = connect(app.ports[0] ?? 0, "127.0.0.1");
	// A reset is how the close may look from here.
	socket.on("error", () => undefined);
	const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
	socket.write(Buffer.alloc(200_000, "a"));
	await closed;
	assert.ok(app.lines.some((line) => line.startsWith("line over")));
});

test("curl-loop counts answers by status", async (t) => {
	const third = Promise.withResolvers<void>();
	let calls = 0;
	const count = () => {
		if (++calls === 3) third.resolve();
		return text(calls === 1 ? 503 : 200, "");
	};
	const counting = (context: AppContext) => startHttpApp(context, { defaultPort: 0, routes: [{ method: "GET", path: "/called", handler: count }] });
	const target = await startTestApp(t, counting);
	const app = await startTestApp(t, startCurlLoop, { INTERVAL_MS: "1" }, [`${target.url}/called`]);
	await third.promise;
	const stats = jsonOf(await app.send("/stats")) as { sent: number; byOutcome: Record<string, number> };
	assert.ok(stats.sent >= 3);
	assert.equal(stats.byOutcome["503"], 1);
	assert.ok((stats.byOutcome["200"] ?? 0) >= 1);
});

test("rate-limit counts by the tree of its limits, in windows", async (t) => {
	let nowMs = 1_000_000;
	const tree = [
		{ key: "user", rate_limit: { unit: "minute", requests_per_unit: 1 } },
		{ key: "path", value: "/login", descriptors: [{ key: "user", value: "a", rate_limit: { unit: "hour", requests_per_unit: 2 } }] },
	];
	const context = {
		env: { PORT: "0", HOST: "127.0.0.1", RATE_LIMITS: JSON.stringify([{ domain: "d", descriptors: tree }]) },
		args: [],
		log: () => undefined,
	};
	const app = await startRateLimit(context, () => nowMs);
	t.after(() => app.close());
	const session = connectHttp2(`http://127.0.0.1:${app.ports[0]}`);
	t.after(() => session.close());
	const field = (number: number, value: string) => Buffer.concat([Buffer.of(number * 8 + 2, value.length), Buffer.from(value)]);
	const nested = (number: number, bytes: Buffer) => Buffer.concat([Buffer.of(number * 8 + 2, bytes.length), bytes]);
	/** The overall code of the answer: 1 is OK, 2 OVER_LIMIT. */
	const ask = (domain: string, ...entries: readonly (readonly [string, string])[]) =>
		new Promise<number>((resolve, reject) => {
			const descriptor = Buffer.concat(entries.map(([key, value]) => nested(1, Buffer.concat([field(1, key), field(2, value)]))));
			const message = Buffer.concat([field(1, domain), nested(2, descriptor)]);
			const head = Buffer.alloc(5);
			head.writeUInt32BE(message.length, 1);
			const stream = session.request({
				":method": "POST",
				":path": "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit",
				"content-type": "application/grpc",
			});
			stream.on("data", (bytes: Buffer) => resolve(bytes[6] ?? 0));
			stream.on("error", reject);
			stream.end(Buffer.concat([head, message]));
		});
	assert.deepEqual([await ask("d", ["user", "x"]), await ask("d", ["user", "x"]), await ask("d", ["user", "y"])], [1, 2, 1]);
	nowMs += 60_000;
	assert.equal(await ask("d", ["user", "x"]), 1);
	const login = () => ask("d", ["path", "/login"], ["user", "a"]);
	assert.deepEqual([await login(), await login(), await login()], [1, 1, 2]);
	assert.deepEqual([await ask("d", ["path", "/login"]), await ask("other", ["user", "x"]), await ask("d", ["path", "/login"], ["user", "b"])], [1, 1, 1]);
	assert.throws(
		() => startRateLimit({ ...context, env: { RATE_LIMITS: '[{"domain": "d", "descriptors": [{"key": "k", "rate_limit": {"unit": "week"}}]}]' } }),
		/unit: second/,
	);
});
