import type { HeadError, HeadLimits } from "../../packages/proxy/src/data/codec/head-parser.ts";
import { MessageDecoder, type MessageEvents, type ParseHead } from "../../packages/proxy/src/data/codec/message-decoder.ts";
import { checkSame, deliver, deliveries } from "./invariants.ts";

/** Completes a head that has begun: one that cannot be read is refused at the latest here. */
const headEnd = Buffer.from("\r\n\r\n");

export interface MessageReading {
	readonly onHead: (say: (event: string) => void) => ReturnType<MessageEvents["onHead"]>;
	readonly parse: ParseHead;
	readonly limits: HeadLimits;
	/** What is to be said once all has come. */
	readonly finish?: (decoder: MessageDecoder) => unknown;
}

/** However the bytes of a connection are cut, the same messages come out of them. `start`: one reading; `isWhole`: of the bytes in one piece. */
export function checkDeliveries(data: Buffer, start: (isWhole: boolean) => MessageReading): void {
	const whole = read([Buffer.concat([data, headEnd])], start(true));
	for (const pieces of deliveries(data)) checkSame(read([...pieces, headEnd], start(false)), whole, `in ${pieces.length} pieces`);
}

function read(pieces: readonly Buffer[], { onHead, parse, limits, finish }: MessageReading): readonly unknown[] {
	const events: string[] = [];
	const say = (event: string) => void events.push(event);
	let body = "";
	const decoder: MessageDecoder = new MessageDecoder(
		{
			onHead: () => onHead(say),
			onBody: (bytes, start, end) => (body += bytes.latin1Slice(start, end)),
			onTrailer: (name, value) => say(`trailer ${name}: ${value}`),
			onMessageEnd() {
				say(`end ${body}`);
				body = "";
				decoder.release();
			},
			onMalformed: ({ status, details }: HeadError) => say(`malformed ${status} ${details}`),
		},
		parse,
		limits,
	);
	for (const piece of pieces) deliver(piece, (bytes, start, end) => decoder.feed(bytes, start, end));
	return [...events, body, finish?.(decoder)];
}
