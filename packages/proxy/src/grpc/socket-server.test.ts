import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ChannelCredentials, Client, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { createLogger } from "@weft/runtime";
import { type GrpcMethods, type GrpcSocketServer, serveGrpcSocket } from "./socket-server.ts";
import { grpcCode, grpcStatus } from "./status.ts";

const raw = (bytes: Buffer) => bytes;
const logger = createLogger({ level: "none" });
const lines: string[] = [];

const methods: GrpcMethods = {
	"/test.Echo/Echo": (call) => ({
		onMessage: (message) => call.send(Buffer.from(`${call.header("x-name") ?? "nobody"}: ${message.toString()}`)),
		onEnd: () => call.end(),
		onClose: () => void lines.push("closed"),
	}),
	"/test.Echo/Refuse": (call) => {
		call.end(grpcStatus(grpcCode.permissionDenied, "näh, 100 %"));
		return { onMessage: () => lines.push("message"), onEnd: () => undefined, onClose: () => undefined };
	},
	"/test.Echo/Break": () => ({
		onMessage() {
			throw new Error("a bug with a secret in it");
		},
		onEnd: () => undefined,
		onClose: () => undefined,
	}),
};

let directory: string;
let path: string;
let server: GrpcSocketServer;
let client: Client;

before(async () => {
	directory = mkdtempSync(join(tmpdir(), "weft-grpc-"));
	path = join(directory, "s");
	server = await serveGrpcSocket({ path, access: "all", methods, logger });
	client = new Client(`unix:${path}`, ChannelCredentials.createInsecure(), { "grpc.max_send_message_length": -1 });
});
after(async () => {
	client.close();
	await server.close();
	assert.equal(statSync(path, { throwIfNoEntry: false }), undefined);
	rmSync(directory, { recursive: true });
});

interface Outcome {
	readonly messages: readonly string[];
	readonly code: number;
	readonly details: string;
}

function call(method: string, messages: readonly (string | Buffer)[], fields: Readonly<Record<string, string>> = {}): Promise<Outcome> {
	const metadata = new Metadata();
	for (const [name, value] of Object.entries(fields)) metadata.set(name, value);
	const stream = client.makeBidiStreamRequest(method, raw, raw, metadata);
	const got: string[] = [];
	stream.on("data", (bytes: Buffer) => got.push(bytes.toString()));
	return new Promise((resolve) => {
		stream.on("error", ({ code, details }: ServiceError) => resolve({ messages: got, code, details }));
		stream.on("end", () => resolve({ messages: got, code: 0, details: "" }));
		for (const message of messages) stream.write(Buffer.from(message));
		stream.end();
	});
}

describe("gRPC on a Unix socket", () => {
	test("messages go both ways, with the metadata", async () => {
		const found = await call("/test.Echo/Echo", ["a", "", "x".repeat(20_000)], { "x-name": "web" });
		assert.deepEqual(found, { messages: ["web: a", "web: ", `web: ${"x".repeat(20_000)}`], code: 0, details: "" });
	});

	test("a refusal carries its words, whatever they are, and nothing of the call is read on", async () => {
		lines.length = 0;
		assert.deepEqual(await call("/test.Echo/Refuse", ["a"]), { messages: [], code: status.PERMISSION_DENIED, details: "näh, 100 %" });
		assert.deepEqual(lines, []);
	});

	test("methods that nobody serves are UNIMPLEMENTED, and names that objects have are no methods", async () => {
		for (const name of ["/test.Echo/Other", "/constructor", "/__proto__"]) assert.equal((await call(name, ["a"])).code, status.UNIMPLEMENTED, name);
	});

	test("a bug answers INTERNAL without telling of itself", async () => {
		assert.deepEqual(await call("/test.Echo/Break", ["a"]), { messages: [], code: status.INTERNAL, details: "internal error" });
	});

	test("a message that is too large is refused by its length", async () => {
		assert.equal((await call("/test.Echo/Echo", [Buffer.alloc(70_000)])).code, status.RESOURCE_EXHAUSTED);
	});

	test("who may connect is said by the mode, and a path that is taken is refused", async () => {
		assert.equal(statSync(path).mode & 0o666, 0o666);
		const own = await serveGrpcSocket({ path: join(directory, "own"), access: "own", methods, logger });
		assert.equal(statSync(join(directory, "own")).mode & 0o077, 0);
		await assert.rejects(serveGrpcSocket({ path: join(directory, "own"), access: "own", methods, logger }), /cannot listen on .*EADDRINUSE/);
		await own.close();
		await assert.rejects(serveGrpcSocket({ path: join(directory, "x".repeat(120)), access: "own", methods, logger }), /too long for a Unix socket/);
	});

	test("what is no gRPC is told so, and noise on the socket harms nobody", async () => {
		const session = connectHttp2("http://localhost", { createConnection: () => connect({ path }) });
		const stream = session.request({ ":method": "GET", ":path": "/" });
		const got = await new Promise((resolve) => stream.on("response", (headers) => resolve(headers[":status"])));
		assert.equal(got, 415);
		session.destroy();
		const noise = connect({ path });
		noise.on("error", () => undefined);
		const closed = new Promise((resolve) => noise.on("close", resolve));
		noise.end("GET / HTTP/1.1\r\n\r\n");
		noise.resume();
		await closed;
		assert.equal((await call("/test.Echo/Echo", ["still there"])).code, 0);
	});

	test("a client that goes away closes its call", async () => {
		lines.length = 0;
		const stream = client.makeBidiStreamRequest("/test.Echo/Echo", raw, raw, new Metadata());
		stream.on("error", () => undefined);
		stream.write(Buffer.from("a"));
		await new Promise((resolve) => stream.once("data", resolve));
		stream.cancel();
		while (!lines.includes("closed")) await new Promise((resolve) => setTimeout(resolve, 5));
	});
});
