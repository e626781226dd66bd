import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { type AppContext, listenAddress, type RunningApp } from "./environment.ts";

const messageBytesMax = 1 << 20;
const ok = "0";
const unimplemented = "12";
const resourceExhausted = "8";

/** HealthCheckResponse { status: SERVING }: https://github.com/grpc/grpc/blob/master/doc/health-checking.md */
const serving = Buffer.from([0x08, 0x01]);

/**
 * A gRPC server over plain-text HTTP/2: `/echo.Echo/Say` answers with the message it got, whatever it holds, and
 * `/grpc.health.v1.Health/Check` says SERVING, which is what a kubelet's gRPC probe asks.
 */
export async function startGrpcEcho(context: AppContext): Promise<RunningApp> {
	const { host, port } = listenAddress(context.env, 7_070);
	const server = createServer();
	// node:http2 gives the stream of a server, and its types a stream of either side.
	server.on("stream", (stream, headers) => answer(stream as ServerHttp2Stream, headers));
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

function answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
	const chunks: Buffer[] = [];
	let bytes = 0;
	stream.on("error", () => undefined);
	stream.on("data", (chunk: Buffer) => {
		bytes += chunk.length;
		if (bytes <= messageBytesMax) chunks.push(chunk);
	});
	stream.on("end", () => {
		const path = headers[":path"];
		if (bytes > messageBytesMax) return respond(stream, [], resourceExhausted, `messages are ${messageBytesMax} bytes at most`);
		if (path === "/grpc.health.v1.Health/Check") return respond(stream, [frame(serving)], ok);
		if (path === "/echo.Echo/Say") return respond(stream, chunks, ok);
		return respond(stream, [], unimplemented, `no method ${path}`);
	});
}

/** A message with its five-byte head: not compressed, and its length. */
function frame(message: Buffer): Buffer {
	const head = Buffer.alloc(5);
	head.writeUInt32BE(message.length, 1);
	return Buffer.concat([head, message]);
}

function respond(stream: ServerHttp2Stream, body: readonly Buffer[], status: string, message?: string): void {
	const trailers = { "grpc-status": status, ...(message !== undefined && { "grpc-message": encodeURIComponent(message) }) };
	if (body.length === 0) {
		stream.respond({ ":status": 200, "content-type": "application/grpc", ...trailers }, { endStream: true });
		return;
	}
	stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
	stream.on("wantTrailers", () => stream.sendTrailers(trailers));
	stream.end(Buffer.concat(body));
}
