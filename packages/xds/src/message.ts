import type { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";

/** What the generated code offers for one message type. Methods are bivariant, so that a registry can hold all of them. */
export interface MessageFns<T = unknown> {
	encode(message: T, writer?: BinaryWriter): BinaryWriter;
	decode(input: BinaryReader | Uint8Array, length?: number): T;
	fromPartial(object: object): T;
}
