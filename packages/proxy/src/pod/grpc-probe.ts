import type { ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { connect } from "node:net";
import { bracketed, type ProbeTarget } from "./http-probe.ts";

export interface GrpcProbe {
	readonly target: ProbeTarget;
	readonly port: number;
	readonly service: string;
	readonly userAgent: string | undefined;
	readonly signal: AbortSignal;
}

const serving = 1;
const answerBytesMax = 1024;

/**
 * `grpc.health.v1.Health/Check`; rejects unless the answer is SERVING. Spoken on node:http2, since gRPC's own client
 * cannot choose the address that it comes from; the two messages have one field each.
 * https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
export async function probeGrpc({ target, port, service, userAgent, signal }: GrpcProbe): Promise<void> {
	const { address, localAddress } = target;
	const http2 = process.getBuiltinModule("node:http2");
	const authority = `${bracketed(address)}:${port}`;
	const session = http2.connect(`http://${authority}`, {
		createConnection: () => connect({ host: address, port, ...(localAddress !== undefined && { localAddress }) }),
	});
	const failed = Promise.withResolvers<never>();
	session.on("error", failed.reject);
	const abort = () => failed.reject(new Error("aborted"));
	signal.addEventListener("abort", abort, { once: true });
	try {
		const stream = session.request({
			":method": "POST",
			":path": "/grpc.health.v1.Health/Check",
			"content-type": "application/grpc",
			te: "trailers",
			...(userAgent === undefined ? {} : { "user-agent": userAgent }),
		});
		const status = await Promise.race([exchange(stream, frame(encodeRequest(service))), failed.promise]);
		if (status !== serving) throw new Error(`the health service answers status ${status}, not SERVING`);
	} finally {
		signal.removeEventListener("abort", abort);
		session.destroy();
	}
}

function exchange(stream: ClientHttp2Stream, request: Buffer): Promise<number> {
	return new Promise((resolve, reject) => {
		const parts: Buffer[] = [];
		let length = 0;
		let heads: IncomingHttpHeaders = {};
		const onHeaders = (headers: IncomingHttpHeaders) => {
			heads = { ...heads, ...headers };
		};
		stream.on("response", onHeaders);
		stream.on("trailers", onHeaders);
		stream.on("data", (part: Buffer) => {
			length += part.length;
			if (length > answerBytesMax) stream.destroy(new Error(`more than ${answerBytesMax} bytes`));
			else parts.push(part);
		});
		stream.on("error", reject);
		stream.on("close", () => {
			const code = heads["grpc-status"];
			if (code === "0") return resolve(decodeStatus(Buffer.concat(parts).subarray(5)));
			if (code === undefined) return reject(new Error(`no gRPC answer: HTTP status ${String(heads[":status"] ?? "none")}`));
			reject(
				new Error(code === "12" ? "the server does not implement grpc.health.v1.Health" : `gRPC status ${String(code)} ${String(heads["grpc-message"] ?? "")}`),
			);
		});
		stream.end(request);
	});
}

/** Uncompressed, its length in four bytes. */
function frame(message: Buffer): Buffer {
	const head = Buffer.alloc(5);
	head.writeUInt32BE(message.length, 1);
	return Buffer.concat([head, message]);
}

/** HealthCheckRequest { string service = 1; } */
function encodeRequest(service: string): Buffer {
	const bytes = Buffer.from(service);
	if (bytes.length === 0) return Buffer.alloc(0);
	const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, bytes.length >> 7];
	return Buffer.concat([Buffer.from([0x0a, ...length]), bytes]);
}

/** HealthCheckResponse { ServingStatus status = 1; } */
function decodeStatus(bytes: Buffer): number {
	return bytes.length >= 2 && bytes[0] === 0x08 ? (bytes[1] as number) : 0;
}
