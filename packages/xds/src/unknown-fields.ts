import type { BinaryReader } from "@bufbuild/protobuf/wire";

/** More numbers of one message are not told of. */
const numbersMax = 64;

const numbers = new WeakMap<object, Set<number>>();
const none: ReadonlySet<number> = new Set();

/** For generated decoders: passes over a field that the message does not have. */
export function skipField(reader: BinaryReader, tag: number, message: object): void {
	let known = numbers.get(message);
	if (known === undefined) numbers.set(message, (known = new Set()));
	if (known.size < numbersMax) known.add(tag >>> 3);
	reader.skip(tag & 7);
}

/** Numbers of the fields that were in the bytes of a message and that it does not have. */
export function unknownFields(message: object): ReadonlySet<number> {
	return numbers.get(message) ?? none;
}
