import type { ConnectionInfo } from "../log/stream-info.ts";
import { closeSent } from "../transport/close-sent.ts";
import type { Connection } from "../transport/connection.ts";
import type { WorkerContext } from "../worker/context.ts";

/** The echo filter. `onOver`: once, when the connection is gone. */
export function echo(connection: Connection, info: ConnectionInfo, context: WorkerContext, bytes: Buffer | undefined, onOver: () => void): void {
	const { output } = context;
	const send = (data: Buffer, start: number, end: number) => {
		output.sendBytes(connection, data, start, end);
		if (info.stream !== undefined) info.stream.bytesSent = info.stream.bytesReceived += end - start;
	};
	let isOver = false;
	const leave = () => {
		if (isOver) return;
		isOver = true;
		onOver();
	};
	connection.handler = {
		onData: send,
		onEnd: () => {
			closeSent(connection, context);
			leave();
		},
		onBlocked: () => connection.pause(),
		onDrain: () => connection.resume(),
		onClose: leave,
	};
	connection.resume();
	if (bytes !== undefined) send(bytes, 0, bytes.length);
}

/** The direct_response filter. */
export function answerDirectly(connection: Connection, info: ConnectionInfo, body: Uint8Array, onOver: () => void): void {
	if (info.stream !== undefined) {
		info.stream.responseCodeDetails = "direct_response";
		info.stream.bytesSent = body.length;
	}
	connection.handler = {
		onData() {},
		onEnd: () => connection.destroy(),
		onBlocked() {},
		onDrain() {},
		onClose: onOver,
	};
	connection.resume();
	connection.write(Buffer.from(body));
	connection.end();
}
