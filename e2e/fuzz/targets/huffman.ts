import { huffmanDecode, huffmanDecodedMax, huffmanEncode, huffmanEncodedLength } from "../../../packages/proxy/src/data/http2/huffman.ts";
import { check, checkSame } from "../invariants.ts";

const guard = 0xa5;

/** A code is its string's only one (RFC 7541 §5.2), any string comes back, and neither direction writes past its room. */
export function fuzz(data: Buffer): void {
	const decoded = write(huffmanDecodedMax(data.length), (target) => huffmanDecode(data, 0, data.length, target, 0));
	if (decoded !== undefined) checkSame(encode(decoded).toString("hex"), data.toString("hex"), "encoded again");
	const encoded = encode(data);
	const back = write(huffmanDecodedMax(encoded.length), (target) => huffmanDecode(encoded, 0, encoded.length, target, 0));
	checkSame(back?.toString("hex"), data.toString("hex"), "decoded again");
}

function encode(data: Buffer): Buffer {
	const length = huffmanEncodedLength(data, 0, data.length);
	const encoded = write(length, (target) => huffmanEncode(data, 0, data.length, target, 0));
	check(encoded?.length === length, "the length was wrong");
	return encoded ?? data;
}

/** What was written; undefined when it was refused. */
function write(room: number, to: (target: Buffer) => number): Buffer | undefined {
	const target = Buffer.alloc(room + 8, guard);
	const end = to(target);
	check(end <= room, `${end} bytes into room for ${room}`);
	check(
		target.subarray(room).every((byte) => byte === guard),
		"written past the end",
	);
	return end < 0 ? undefined : target.subarray(0, end);
}
