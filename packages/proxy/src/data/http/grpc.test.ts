import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
	Client,
	credentials,
	type handleBidiStreamingCall,
	type handleClientStreamingCall,
	type handleServerStreamingCall,
	type handleUnaryCall,
	Metadata,
	Server,
	ServerCredentials,
	type ServiceError,
	status,
} from "@grpc/grpc-js";
import {
	chainOf,
	clusterOf,
	forwardTo,
	hostsOf,
	listenerOf,
	managerOf,
	routeOf,
	type Standalone,
	startStandalone,
	tableOf,
	updateOf,
} from "../worker/standalone.ts";

const same = (bytes: Buffer): Buffer => bytes;
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
	path: `/test.Echo/${name}`,
	requestStream,
	responseStream,
	requestSerialize: same,
	requestDeserialize: same,
	responseSerialize: same,
	responseDeserialize: same,
});

const unary: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
	const trailers = new Metadata();
	trailers.set("x-trailer", "t");
	if (call.request.toString() === "fail") callback({ code: status.FAILED_PRECONDITION, details: "not so: ü" }, null, trailers);
	else callback(null, Buffer.concat([Buffer.from(String(call.metadata.get("x-sent")[0])), call.request]), trailers);
};
const download: handleServerStreamingCall<Buffer, Buffer> = (call) => {
	for (let i = 0; i < 100; i++) call.write(Buffer.alloc(50_000, i));
	call.end();
};
const upload: handleClientStreamingCall<Buffer, Buffer> = (call, callback) => {
	let bytes = 0;
	call.on("data", (piece: Buffer) => (bytes += piece.length));
	call.on("end", () => callback(null, Buffer.from(String(bytes))));
};
const chat: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
	call.on("data", (piece: Buffer) => call.write(Buffer.from(`re: ${piece.toString()}`)));
	call.on("end", () => call.end());
};

/** @grpc/grpc-js at both ends. */
describe("gRPC", () => {
	let proxy: Standalone;
	let server: Server;
	let client: Client;
	before(async () => {
		proxy = await startStandalone();
		server = new Server();
		server.addService(
			{
				unary: method("Unary", false, false),
				download: method("Download", false, true),
				upload: method("Upload", true, false),
				chat: method("Chat", true, true),
			},
			{ unary, download, upload, chat },
		);
		const port = await new Promise<number>((resolve, reject) =>
			server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error === null ? resolve(bound) : reject(error))),
		);
		const routes = [routeOf("/test.Echo", forwardTo("grpc")), routeOf("/test.Empty", forwardTo("empty")), routeOf("/test.Gone", forwardTo("gone"))];
		await proxy.apply(
			updateOf({
				listeners: [listenerOf("l", [chainOf([managerOf(tableOf(routes))])])],
				clusters: ["grpc", "empty", "gone"].map((name) => clusterOf(name, { upstreamProtocol: "http2" })),
				hosts: [hostsOf("grpc", [port]), hostsOf("empty", []), hostsOf("gone", [1])],
			}),
		);
		client = new Client(`127.0.0.1:${proxy.port("l")}`, credentials.createInsecure());
	});
	after(async () => {
		client.close();
		server.forceShutdown();
		await proxy.close();
	});

	function call(
		path: string,
		request: string,
	): Promise<{ readonly answer: Buffer | undefined; readonly error: ServiceError | null; readonly trailers: Metadata }> {
		const metadata = new Metadata();
		metadata.set("x-sent", "m:");
		return new Promise((resolve) => {
			let outcome: { answer: Buffer | undefined; error: ServiceError | null } | undefined;
			const sent = client.makeUnaryRequest(path, same, same, Buffer.from(request), metadata, { deadline: Date.now() + 10_000 }, (error, answer) => {
				outcome = { answer, error };
			});
			sent.on("status", ({ metadata: trailers }) => setImmediate(() => resolve({ answer: outcome?.answer, error: outcome?.error ?? null, trailers })));
		});
	}

	it("unary calls, with metadata there and trailers back", async () => {
		const { answer, error, trailers } = await call("/test.Echo/Unary", "hello");
		assert.equal(error, null);
		assert.equal(answer?.toString(), "m:hello");
		assert.deepEqual(trailers.get("x-trailer"), ["t"]);
	});

	it("statuses and messages pass as they are", async () => {
		const { error, trailers } = await call("/test.Echo/Unary", "fail");
		assert.equal(error?.code, status.FAILED_PRECONDITION);
		assert.equal(error?.details, "not so: ü");
		assert.deepEqual(trailers.get("x-trailer"), ["t"]);
	});

	it("server streams, beyond every window", async () => {
		let bytes = 0;
		const stream = client.makeServerStreamRequest("/test.Echo/Download", same, same, Buffer.from(""));
		for await (const piece of stream) bytes += (piece as Buffer).length;
		assert.equal(bytes, 5_000_000);
	});

	it("client streams, beyond every window", async () => {
		const answer = await new Promise<Buffer | undefined>((resolve, reject) => {
			const stream = client.makeClientStreamRequest("/test.Echo/Upload", same, same, (error, reply?: Buffer) =>
				error === null ? resolve(reply) : reject(error),
			);
			for (let i = 0; i < 100; i++) stream.write(Buffer.alloc(50_000, i));
			stream.end();
		});
		assert.equal(answer?.toString(), "5000000");
	});

	it("both directions in turn", async () => {
		const stream = client.makeBidiStreamRequest("/test.Echo/Chat", same, same);
		for (const word of ["a", "b", "c"]) {
			stream.write(Buffer.from(word));
			assert.equal((await new Promise<Buffer>((resolve) => stream.once("data", resolve))).toString(), `re: ${word}`);
		}
		stream.end();
		await new Promise<void>((resolve) => stream.once("status", () => resolve()));
	});

	it("a call that the client cancels is cancelled at the server", async () => {
		const stream = client.makeBidiStreamRequest("/test.Echo/Chat", same, same);
		stream.write(Buffer.from("a"));
		await new Promise((resolve) => stream.once("data", resolve));
		const over = new Promise<number>((resolve) => stream.once("status", ({ code }) => resolve(code)));
		stream.on("error", () => {});
		stream.cancel();
		assert.equal(await over, status.CANCELLED);
		assert.equal((await call("/test.Echo/Unary", "after")).error, null);
	});

	for (const [path, code, details] of [
		["/test.Empty/Call", status.UNAVAILABLE, /^no healthy upstream$/],
		["/test.Gone/Call", status.UNAVAILABLE, /reset reason: remote connection failure/],
		["/no.Route/Call", status.UNIMPLEMENTED, /^$/],
	] as const) {
		it(`an answer of the proxy's own to ${path} is a gRPC status in trailers alone`, async () => {
			const { error } = await call(path, "");
			assert.equal(error?.code, code);
			assert.match(error?.details ?? "", details);
		});
	}
});
