import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:http2";
import { after, before, test } from "node:test";
import { Client, credentials, Metadata, type ServiceError, type StatusObject } from "@grpc/grpc-js";
import { startTestMesh, type TestMesh } from "@weft/testkit";
import { peerAuthentication, service, workload } from "./mesh-yaml.ts";
import { boundAddress, podOf } from "./pods.ts";
import { converse } from "./sockets.ts";

// Applications that speak HTTP/2 only, on ports named for it and on unnamed ones, where only mutual TLS is taken.
let mesh: TestMesh;

before(async () => {
	mesh = await startTestMesh({
		yaml:
			workload({ name: "echo", app: "grpc-app.ts", ports: [50051], replicas: 2 }) +
			service("echo", [{ name: "grpc", port: 50051 }]) +
			service("echo-unnamed", [{ port: 50051 }], { app: "echo" }) +
			service("echo-tcp", [{ name: "tcp", port: 50051 }], { app: "echo" }) +
			workload({ name: "web", app: "h2-app.ts", ports: [8080] }) +
			service("web", [{ name: "http2", port: 8080 }]) +
			service("web-unnamed", [{ port: 8080 }], { app: "web" }) +
			service("web-declared", [{ name: "front", port: 8080, appProtocol: "http2" }], { app: "web" }) +
			peerAuthentication("STRICT"),
	});
});

after(() => mesh?.stop());

const same = (bytes: Buffer) => bytes;

interface Unary {
	readonly answer: string;
	readonly trailers: Metadata;
}

function unary(client: Client, text: string): Promise<Unary> {
	return new Promise((resolve, reject) => {
		let answer = "";
		const call = client.makeUnaryRequest(
			"/echo.Echo/Unary",
			same,
			same,
			Buffer.from(text),
			{ deadline: Date.now() + 10_000 },
			(error: ServiceError | null, bytes?: Buffer) => {
				if (error) reject(error);
				else answer = bytes?.toString() ?? "";
			},
		);
		call.on("status", (status: StatusObject) => status.code === 0 && setImmediate(() => resolve({ answer, trailers: status.metadata })));
	});
}

/** Sends the texts one by one, each once the one before it came back, then ends its side; the echoed texts and the trailers. */
async function chat(client: Client, texts: readonly string[]): Promise<{ readonly echoed: readonly string[]; readonly status: StatusObject }> {
	const stream = client.makeBidiStreamRequest("/echo.Echo/Chat", same, same, { deadline: Date.now() + 10_000 });
	const echoed: string[] = [];
	const status = once(stream, "status");
	stream.on("data", (bytes: Buffer) => {
		echoed.push(bytes.toString());
		const next = texts[echoed.length];
		if (next === undefined) stream.end();
		else stream.write(Buffer.from(next));
	});
	stream.write(Buffer.from(texts[0] ?? ""));
	return { echoed, status: ((await status) as [StatusObject])[0] };
}

for (const name of ["echo", "echo-unnamed", "echo-tcp"]) {
	test(`gRPC through the mesh, service ${name}: 200 unary calls and 20 streams with trailers, none fails`, async () => {
		// Sixteen connections, because one that is passed as TCP stays with its replica, and all must not land on the same by chance.
		const clients = Array.from(
			{ length: 16 },
			() => new Client(mesh.addressOf(`${name}:50051`), credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 }),
		);
		const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => unary(clients[i % clients.length] as Client, `call ${i}`)));
		assert.deepEqual(
			answers.map((a) => a.answer),
			Array.from({ length: 200 }, (_, i) => `call ${i}`),
		);
		assert.equal(new Set(answers.map((a) => a.trailers.get("x-pod")[0])).size, 2, "both replicas answer");
		const texts = Array.from({ length: 10 }, (_, i) => `message ${i}`);
		const chats = await Promise.all(Array.from({ length: 20 }, (_, i) => chat(clients[i % clients.length] as Client, texts)));
		for (const { echoed, status } of chats) {
			assert.deepEqual([echoed, status.code, status.metadata.get("x-count")], [texts, 0, ["10"]]);
		}
		for (const client of clients) client.close();
	});
}

test("a gRPC error reaches the caller with its code, details and trailers", async () => {
	const client = new Client(mesh.addressOf("echo:50051"), credentials.createInsecure());
	await assert.rejects(unary(client, "refuse"), (error: ServiceError) => {
		assert.deepEqual([error.code, error.details], [9, "refused on request"]);
		assert.match(String(error.metadata.get("x-pod")[0]), /^echo-v1-/);
		return true;
	});
	client.close();
});

test("a gRPC message of 1 MB goes there and comes back", async () => {
	const client = new Client(mesh.addressOf("echo:50051"), credentials.createInsecure(), { "grpc.max_receive_message_length": 2 << 20 });
	const text = "x".repeat(1 << 20);
	assert.equal((await unary(client, text)).answer, text);
	client.close();
});

async function get(address: string, count: number): Promise<readonly { readonly status: number; readonly path: string }[]> {
	const session = connect(`http://${address}`);
	try {
		return await Promise.all(
			Array.from({ length: count }, async (_, i) => {
				const stream = session.request({ ":path": `/${i}`, ":method": "POST" });
				stream.end("body");
				let body = "";
				let status = 0;
				stream.on("response", (headers) => (status = headers[":status"] ?? 0));
				stream.on("data", (chunk: Buffer) => (body += chunk.toString()));
				await once(stream, "end");
				return { status, path: (JSON.parse(body) as { path: string }).path };
			}),
		);
	} finally {
		session.close();
	}
}

for (const name of ["web", "web-unnamed", "web-declared"]) {
	test(`HTTP/2 with prior knowledge, service ${name}: 200 requests on two connections, none fails`, async () => {
		const address = mesh.addressOf(`${name}:8080`);
		const answers = (await Promise.all([get(address, 100), get(address, 100)])).flat();
		assert.equal(answers.length, 200);
		assert.deepEqual(
			answers.map((a) => a.status),
			Array.from({ length: 200 }, () => 200),
		);
		assert.deepEqual(
			answers.slice(0, 100).map((a) => a.path),
			Array.from({ length: 100 }, (_, i) => `/${i}`),
		);
	});
}

test("the same HTTP/2 in plain text, past the caller's sidecar, is closed", async () => {
	const { bytes } = await converse(await boundAddress(podOf(mesh, "web-v1")), { send: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0" });
	assert.equal(bytes.length, 0);
});
