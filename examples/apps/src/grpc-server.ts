import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { type AppContext, listenAddress, type RunningApp } from "./environment.ts";

const messageBytesMax = 1 << 20;
const ok = "0";
const invalidArgument = "3";
const unimplemented = "12";
const resourceExhausted = "8";

/** HealthCheckResponse { status: SERVING }: https://github.com/grpc/grpc/blob/master/doc/health-checking.md */
const serving = Buffer.from([0x08, 0x01]);

/** Methods with one message each way, by path; what one throws is INVALID_ARGUMENT. */
export type UnaryMethods = Readonly<Record<string, (message: Buffer) => Buffer>>;

/** A gRPC server over plain-text HTTP/2, healthy as a kubelet's gRPC probe asks (`/grpc.health.v1.Health/Check`). */
export async function startGrpcServer(context: AppContext, portDefault: number, methods: UnaryMethods): Promise<RunningApp> {
	const { host, port } = listenAddress(context.env, portDefault);
	const server = createServer();
	// node:http2 gives the stream of a server, and its types a stream of either side.
	server.on("stream", (stream, headers) => answer(stream as ServerHttp2Stream, headers, methods));
	server.on("sessionError", (error) => context.log(error.message));
	await new Promise<void>((resolve, reject) => {
		server.once("error", reject);
		server.listen(port, host, resolve);
	});
	const bound = (server.address() as AddressInfo).port;
	context.log(`listening on ${host}:${bound}`);
	const sessions = new Set<{ close(): void }>();
	server.on("session", (session) => {
		sessions.add(session);
		session.once("close", () => sessions.delete(session));
	});
	return {
		ports: [bound],
		close: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				for (const session of sessions) session.close();
			}),
	};
}

function answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, methods: UnaryMethods): void {
	const chunks: Buffer[] = [];
	let bytes = 0;
	stream.on("error", () => undefined);
	stream.on("data", (chunk: Buffer) => {
		bytes += chunk.length;
		if (bytes <= messageBytesMax) chunks.push(chunk);
	});
	stream.on("end", () => {
		const path = headers[":path"] ?? "";
		if (bytes > messageBytesMax) return respond(stream, undefined, resourceExhausted, `messages are ${messageBytesMax} bytes at most`);
		if (path === "/grpc.health.v1.Health/Check") return respond(stream, serving, ok);
		const method = Object.hasOwn(methods, path) ? methods[path] : undefined;
		if (method === undefined) return respond(stream, undefined, unimplemented, `no method ${path}`);
		try {
			// After five bytes: not compressed, and its length.
			return respond(stream, method(Buffer.concat(chunks).subarray(5)), ok);
		} catch (error) {
			return respond(stream, undefined, invalidArgument, (error as Error).message);
		}
	});
}

/** A message with its five-byte head. */
function frame(message: Buffer): Buffer {
	const head = Buffer.alloc(5);
	head.writeUInt32BE(message.length, 1);
	return Buffer.concat([head, message]);
}

function respond(stream: ServerHttp2Stream, message: Buffer | undefined, status: string, reason?: string): void {
	const trailers = { "grpc-status": status, ...(reason !== undefined && { "grpc-message": encodeURIComponent(reason) }) };
	if (message === undefined) {
		stream.respond({ ":status": 200, "content-type": "application/grpc", ...trailers }, { endStream: true });
		return;
	}
	stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
	stream.on("wantTrailers", () => stream.sendTrailers(trailers));
	stream.end(frame(message));
}
