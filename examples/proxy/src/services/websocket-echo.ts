import { createHash } from "node:crypto";
import type { Duplex } from "node:stream";
import type { AppContext, RunningApp } from "@weft/example-apps";
import { startService } from "./http-service.ts";

const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const payloadBytesMax = 125;

/** Sends every short text frame back (RFC 6455); whoever does not upgrade is told to. */
export function startWebsocketEcho(context: AppContext): Promise<RunningApp> {
	return startService(
		context,
		(_, __, response) => response.writeHead(426, { upgrade: "websocket", connection: "upgrade" }).end("a websocket, please\n"),
		(server) =>
			server.on("upgrade", ({ headers }, socket) => {
				const accept = createHash("sha1").update(`${headers["sec-websocket-key"]}${guid}`).digest("base64");
				socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`);
				echo(socket);
			}),
	);
}

function echo(socket: Duplex): void {
	let waiting = Buffer.alloc(0);
	socket.on("error", () => socket.destroy());
	socket.on("data", (chunk: Buffer) => {
		waiting = Buffer.concat([waiting, chunk]);
		for (let frame = readFrame(waiting); frame !== undefined; frame = readFrame(waiting)) {
			waiting = waiting.subarray(frame.length);
			if (frame.opcode === 8 || frame.isTooLong) return void socket.end(Buffer.from([0x88, 0]));
			socket.write(Buffer.concat([Buffer.from([0x80 | frame.opcode, frame.payload.length]), frame.payload]));
		}
	});
}

function readFrame(bytes: Buffer): { readonly opcode: number; readonly payload: Buffer; readonly length: number; readonly isTooLong: boolean } | undefined {
	if (bytes.length < 6) return undefined;
	const size = (bytes[1] as number) & 0x7f;
	if (bytes.length < 6 + size && size <= payloadBytesMax) return undefined;
	const mask = bytes.subarray(2, 6);
	const payload = Buffer.from(bytes.subarray(6, 6 + size).map((byte, i) => byte ^ (mask[i % 4] as number)));
	return { opcode: (bytes[0] as number) & 0x0f, payload, length: 6 + size, isTooLong: size > payloadBytesMax };
}
