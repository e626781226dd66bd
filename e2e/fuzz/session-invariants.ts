import { errorCode } from "../../packages/proxy/src/data/http2/protocol.ts";
import { expandFrames } from "./frames.ts";
import { checkSame, deliver, deliveries } from "./invariants.ts";
import { FuzzedSession } from "./session.ts";

/** However a connection's bytes are cut, its owner hears the same and its peer is sent the same; and each stream ends once. */
export function fuzzSession(data: Buffer, isServer: boolean): void {
	const bytes = expandFrames(data);
	const whole = run([bytes], isServer);
	for (const pieces of deliveries(bytes)) checkSame(run(pieces, isServer), whole, `in ${pieces.length} pieces`);
}

function run(pieces: readonly Buffer[], isServer: boolean) {
	const owner = new FuzzedSession(isServer);
	for (const piece of pieces) deliver(piece, (bytes, start, end) => owner.session.feed(bytes, start, end));
	const { sent } = owner;
	const events = [...owner.events];
	owner.session.close(errorCode.cancel, "connection");
	checkSame(owner.openStreams, [], "streams are left when their connection has ended");
	return { events, sent };
}
