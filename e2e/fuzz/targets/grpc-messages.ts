import { frameMessage, MessageReader } from "../../../packages/proxy/src/grpc/message-reader.ts";
import { checkSame, deliver, deliveries } from "../invariants.ts";

const bytesMax = 64;

/** The same messages however they are cut, the same refusal at the same place, and each framed again is what came. */
export function fuzz(data: Buffer): void {
	const whole = read([data]);
	for (const pieces of deliveries(data)) checkSame(read(pieces), whole, `in ${pieces.length} pieces`);
	const framed = Buffer.concat(whole.messages.map((message) => frameMessage(Buffer.from(message, "latin1"))));
	checkSame(framed.latin1Slice(), data.latin1Slice(0, framed.length), "framed again");
}

function read(pieces: readonly Buffer[]) {
	const reader = new MessageReader(bytesMax);
	const messages: string[] = [];
	let refusal: string | undefined;
	for (const piece of pieces) {
		deliver(piece, (bytes, start, end) => {
			refusal ??= reader.push(bytes, start, end)?.message;
		});
		for (let message = reader.take(); message !== undefined; message = reader.take()) messages.push(message.latin1Slice());
		if (refusal !== undefined) break;
	}
	return { messages, refusal, isWithinMessage: refusal === undefined && reader.isWithinMessage };
}
