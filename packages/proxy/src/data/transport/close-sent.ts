import type { WorkerContext } from "../worker/context.ts";
import type { Connection } from "./connection.ts";
import { Timer } from "./timers.ts";

const lingerMs = 10_000;

/** Closes once everything written has left, or after a while. */
export function closeSent(connection: Connection, context: WorkerContext): void {
	context.output.flush();
	if (connection.isClosed) return;
	if (!connection.isBlocked && connection.queuedBytes === 0 && !connection.isTls) return connection.destroy();
	const timer = new Timer(context.wheel, () => connection.destroy());
	connection.handler = { onData() {}, onEnd: () => connection.destroy(), onBlocked() {}, onDrain: () => connection.destroy(), onClose: () => timer.disarm() };
	connection.end();
	timer.arm(connection.isBlocked || connection.queuedBytes > 0 ? lingerMs : 1);
}
