import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type handleBidiStreamingCall, type handleServerStreamingCall, type handleUnaryCall, Metadata, Server, ServerCredentials, status } from "@grpc/grpc-js";
import { createTestAuthority } from "../data/tls/test-identity.ts";
import { GrpcChannel, GrpcError } from "./channel.ts";
import type { GrpcEnvironment } from "./environment.ts";
import { compileServerVerifier, trustOnly } from "./server-verifier.ts";
import type { GrpcTarget } from "./target.ts";
import { createTestEnvironment, plainTarget, Recorder } from "./test-client.ts";
import { nodeTls } from "../data/tls/node-tls.ts";

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

const largeBytes = 5_000_000;
/** How the server's calls end that do not end by themselves. */
const cancelled: PromiseWithResolvers<void>[] = [];

const unary: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
	const text = call.request.toString();
	if (text === "fail") return callback({ code: status.FAILED_PRECONDITION, details: "not so: ü 100%" }, null, new Metadata());
	if (text === "wait") {
		const { promise, resolve, reject } = Promise.withResolvers<void>();
		cancelled.push({ promise, resolve, reject });
		call.on("cancelled", resolve);
		return undefined;
	}
	if (text === "large") return callback(null, Buffer.alloc(largeBytes, 7));
	if (text === "deadline") return callback(null, Buffer.from(String(Number(call.getDeadline()) - Date.now())));
	return callback(null, Buffer.from(`${String(call.metadata.get("x-sent")[0])} ${text} ${call.getHost()}`));
};
const download: handleServerStreamingCall<Buffer, Buffer> = (call) => {
	const count = call.request.readUInt32BE(0);
	const message = Buffer.alloc(64 * 1024, 1);
	let sent = 0;
	const more = () => {
		while (sent < count) {
			sent++;
			if (!call.write(message)) return void call.once("drain", more);
		}
		call.end();
	};
	sentOf = () => sent;
	more();
};
let sentOf = () => 0;
const chat: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
	call.on("data", (piece: Buffer) => call.write(Buffer.concat([Buffer.from("re: "), piece])));
	call.on("end", () => call.end());
};

function createServer(): Server {
	const server = new Server({ "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 });
	const methods = { unary: method("Unary", false, false), download: method("Download", false, true), chat: method("Chat", true, true) };
	server.addService(methods, { unary, download, chat });
	return server;
}

function bind(server: Server, address: string, credentials: ServerCredentials): Promise<number> {
	return new Promise((resolve, reject) => server.bindAsync(address, credentials, (error, port) => (error === null ? resolve(port) : reject(error))));
}

const call = { path: "/test.Echo/Unary", metadata: { "x-sent": "m" }, timeoutMs: 10_000 } as const;
const ask = (channel: GrpcChannel, text: string, parts: object = {}) => channel.unary({ ...call, ...parts }, Buffer.from(text));
const failsWith = (code: number, message: RegExp) => (error: unknown) => {
	assert.ok(error instanceof GrpcError, String(error));
	assert.equal(error.code, code, error.message);
	assert.match(error.message, message);
	return true;
};

for (const transport of ["auto", "net"] as const) {
	describe(`a channel to a server of grpc-js, transport ${transport}`, () => {
		let environment: GrpcEnvironment;
		let server: Server;
		let port: number;
		let channel: GrpcChannel;
		before(async () => {
			environment = await createTestEnvironment({ transport });
			server = createServer();
			port = await bind(server, "127.0.0.1:0", ServerCredentials.createInsecure());
			channel = new GrpcChannel(plainTarget(port), environment);
		});
		after(() => {
			channel.close();
			server.forceShutdown();
			environment.wheel.close();
		});

		it("calls with metadata and the target's authority", async () => {
			assert.equal((await ask(channel, "hello")).toString(), "m hello service.test");
		});

		it("gives the server's status and message", async () => {
			await assert.rejects(ask(channel, "fail"), failsWith(9, /^FAILED_PRECONDITION: not so: ü 100%$/));
			await assert.rejects(channel.unary({ path: "/test.Echo/None" }, Buffer.alloc(0)), failsWith(12, /UNIMPLEMENTED: .*None/));
		});

		it("tells its deadline, keeps it, and frees the server", async () => {
			const left = Number((await ask(channel, "deadline", { timeoutMs: 60_000 })).toString());
			assert.ok(left > 30_000 && left <= 60_000, String(left));
			await assert.rejects(ask(channel, "wait", { timeoutMs: 100 }), failsWith(4, /DEADLINE_EXCEEDED: no answer within 100 ms/));
			await cancelled.pop()?.promise;
		});

		it("ends a call that its caller gives up", async () => {
			const abort = new AbortController();
			const answer = channel.unary(call, Buffer.from("wait"), abort.signal);
			while (cancelled.length === 0) await new Promise(setImmediate);
			abort.abort(new Error("enough"));
			await assert.rejects(answer, /^Error: enough$/);
			await cancelled.pop()?.promise;
		});

		it("takes messages up to its limit and none beyond", async () => {
			const answer = await ask(channel, "large", { messageBytesMax: largeBytes });
			assert.ok(answer.length === largeBytes && answer.every((byte) => byte === 7));
			await assert.rejects(ask(channel, "large", { messageBytesMax: largeBytes - 1 }), failsWith(8, /a message of 5000000 bytes, at most 4999999/));
			// The connection goes on.
			assert.equal((await ask(channel, "hello")).toString(), "m hello service.test");
		});

		it("streams both ways, with the messages that were sent before there was a connection, and half-closes", async () => {
			const fresh = new GrpcChannel(plainTarget(port), environment);
			const heard = new Recorder();
			const chatting = fresh.open({ path: "/test.Echo/Chat" }, heard);
			chatting.send(Buffer.from("one"));
			chatting.send(Buffer.alloc(0));
			assert.equal((await heard.next()).toString(), "re: one");
			assert.equal((await heard.next()).toString(), "re: ");
			const large = Buffer.alloc(3_000_000, 9);
			assert.equal(chatting.send(large), false, "three megabytes do not fit the window");
			assert.deepEqual((await heard.next()).subarray(4), large);
			assert.ok(heard.drains > 0);
			chatting.endSending();
			assert.deepEqual(await heard.ended, { code: 0, message: "OK", isUnprocessed: false });
			fresh.close();
		});

		it("holds the server up while the reader is slow, and loses nothing", async () => {
			const heard = new Recorder();
			const count = 200;
			const request = Buffer.alloc(4);
			request.writeUInt32BE(count);
			const reading = channel.open({ path: "/test.Echo/Download" }, heard);
			reading.send(request);
			reading.endSending();
			await heard.next();
			reading.pause();
			const before = heard.messages.length;
			let last = -1;
			while (last !== sentOf()) {
				last = sentOf();
				await new Promise((resolve) => setTimeout(resolve, 150));
			}
			assert.equal(heard.messages.length, before);
			assert.ok(last < count / 2, `the server sent ${last} of ${count} messages to a reader that does not read`);
			// Others are served meanwhile.
			assert.equal((await ask(channel, "hello")).toString(), "m hello service.test");
			reading.resume();
			assert.equal((await heard.ended).code, 0);
			assert.equal(heard.messages.length, count - 1);
		});

		it("says why there is no connection", async () => {
			const nowhere = new GrpcChannel(plainTarget(1), environment);
			await assert.rejects(ask(nowhere, "hello"), failsWith(14, /UNAVAILABLE: .*ECONNREFUSED/));
			const named: GrpcTarget = { ...plainTarget(1), endpoints: [{ kind: "ip", address: "nobody.invalid", port: 1 }] };
			await assert.rejects(
				ask(new GrpcChannel(named, { ...environment, lookup: () => Promise.reject(new Error("no such name")) }), "x"),
				failsWith(14, /no such name/),
			);
		});

		it("tries the next endpoint, and every address of a name", async () => {
			const endpoints = [
				{ kind: "pipe", path: "/nonexistent" },
				{ kind: "ip", address: "name.test", port },
			] as const;
			const lookup = async () => [
				{ address: "127.255.255.254", family: 4 },
				{ address: "127.0.0.1", family: 4 },
			];
			const other = new GrpcChannel({ ...plainTarget(1), endpoints }, { ...environment, lookup });
			assert.equal((await ask(other, "hello")).toString(), "m hello service.test");
			other.close();
		});

		it("takes no calls once it is closed, and ends those that are under way", async () => {
			const closing = new GrpcChannel(plainTarget(port), environment);
			const answer = ask(closing, "hello");
			closing.close();
			await assert.rejects(answer, failsWith(14, /the channel is closed/));
			await assert.rejects(ask(closing, "hello"), failsWith(14, /the channel is closed/));
		});
	});
}

describe("a channel over a Unix socket", () => {
	it("calls", async () => {
		const environment = await createTestEnvironment();
		const path = join(tmpdir(), `weft-grpc-${process.pid}.sock`);
		const server = createServer();
		await bind(server, `unix:${path}`, ServerCredentials.createInsecure());
		const channel = new GrpcChannel({ endpoints: [{ kind: "pipe", path }], authority: "localhost", connectTimeoutMs: 1000, tls: undefined }, environment);
		try {
			assert.equal((await ask(channel, "hello")).toString(), "m hello localhost");
		} finally {
			channel.close();
			server.forceShutdown();
			await rm(path, { force: true });
		}
	});
});

describe("a channel over mutual TLS", () => {
	const mesh = createTestAuthority();
	const serverUri = "spiffe://test/ns/istio-system/sa/istiod";
	const identity = mesh.issue(serverUri);
	let environment: GrpcEnvironment;
	let server: Server;
	let port: number;
	before(async () => {
		environment = await createTestEnvironment();
		server = createServer();
		const pair = { cert_chain: Buffer.from(identity.certChainPem), private_key: Buffer.from(identity.privateKeyPem) };
		port = await bind(server, "127.0.0.1:0", ServerCredentials.createSsl(Buffer.from(mesh.caPem), [pair], true));
	});
	after(() => server.forceShutdown());

	const own = mesh.issue("spiffe://test/ns/default/sa/web");
	const target = (caPem: string, uri: string, client: typeof own | undefined): GrpcTarget => ({
		...plainTarget(port),
		tls: () => ({
			context: nodeTls().createSecureContext({ ca: caPem, ...(client === undefined ? {} : { cert: client.certChainPem, key: client.privateKeyPem }) }),
			serverName: "service.test",
			verify: compileServerVerifier({ ...trustOnly(caPem), sans: [{ type: "uri", match: { kind: "exact", value: uri, ignoreCase: false } }] }, ""),
		}),
	});

	it("calls a server that is who it should be", async () => {
		const channel = new GrpcChannel(target(mesh.caPem, serverUri, own), environment);
		assert.equal((await ask(channel, "hello")).toString(), "m hello service.test");
		channel.close();
	});

	const refusals = {
		"a server of another name": [() => target(mesh.caPem, "spiffe://test/ns/other/sa/istiod", own), /the server's certificate is for URI:spiffe/],
		"a server of another root": [() => target(createTestAuthority().caPem, serverUri, own), /the server's certificate is not trusted/],
		"a server that wants a certificate": [() => target(mesh.caPem, serverUri, undefined), /UNAVAILABLE/],
		"a certificate that is not there": [
			(): GrpcTarget => ({
				...plainTarget(port),
				tls: () => {
					throw new Error("the secret default has not come");
				},
			}),
			/the secret default has not come/,
		],
	} as const;
	for (const [name, [make, message]] of Object.entries(refusals)) {
		it(`is not made: ${name}`, async () => {
			await assert.rejects(ask(new GrpcChannel(make(), environment), "hello"), failsWith(14, message));
		});
	}

	it("shows the newest certificate on each new connection", async () => {
		let asked = 0;
		const tls = target(mesh.caPem, serverUri, own).tls;
		const counted = (): GrpcTarget => ({ ...plainTarget(port), tls: () => (asked++, (tls as NonNullable<typeof tls>)()) });
		for (let i = 1; i <= 2; i++) {
			const channel = new GrpcChannel(counted(), environment);
			await ask(channel, "hello");
			await ask(channel, "hello");
			assert.equal(asked, i);
			channel.close();
		}
	});
});
