import { decodeQuery, encodeAnswer } from "../../../packages/proxy/src/dns/message.ts";
import { check, checkSame } from "../invariants.ts";

const headerBytes = 12;
const bytesMax = 4096;
const address = Buffer.from([10, 96, 0, 1]);

/** A query or none. An answer repeats its question, keeps the client's limit, and names what was asked for as it was asked. */
export function fuzz(data: Buffer): void {
	const query = decodeQuery(data);
	if (query === undefined) return;
	const { name, question, answerBytesMax } = query;
	// Type and class stand behind the name.
	const asked = question.subarray(0, question.length - 4);
	check(answerBytesMax >= 512 && answerBytesMax <= 4096, `an answer of ${answerBytesMax} bytes`);
	for (const room of [answerBytesMax, headerBytes + question.length]) {
		const answer = encodeAnswer(query, 0, [{ kind: "address", name: "web.shop", address }], 30, room);
		check(answer.length <= room, `${answer.length} bytes for ${room}`);
		checkSame(answer.subarray(headerBytes, headerBytes + question.length).toString("hex"), question.toString("hex"), "the question");
		checkSame(decodeQuery(Buffer.concat([data.subarray(0, headerBytes), question]))?.name, name, "the name of the question alone");
	}
	const answer = encodeAnswer(query, 0, [{ kind: "address", name, address }], 30, bytesMax);
	const owner = answer.subarray(headerBytes + question.length, headerBytes + question.length + asked.length);
	checkSame(owner.latin1Slice(), lowerCase(asked), "the name that is answered for");
}

/** Lengths of labels are below all letters. */
const lowerCase = (name: Buffer): string => name.latin1Slice().toLowerCase();
