import { hashBytes } from "../../../packages/proxy/src/data/codec/bytes.ts";
import { type FieldSink, HpackDecoder } from "../../../packages/proxy/src/data/http2/hpack-decoder.ts";
import { fieldBytesMax, HpackEncoder } from "../../../packages/proxy/src/data/http2/hpack-encoder.ts";
import { type DynamicTable, entryOverhead } from "../../../packages/proxy/src/data/http2/hpack-table.ts";
import { Http2ConnectionError } from "../../../packages/proxy/src/data/http2/protocol.ts";
import { check, checkSame } from "../invariants.ts";

type Field = readonly [name: string, value: string, isNeverIndexed: boolean];

/**
 * The table's limit, then blocks behind their lengths of one byte each. A decoder refuses by its own error and nothing
 * else, its table keeps its limit, and what our encoder makes of the fields says the same.
 */
export function fuzz(data: Buffer): void {
	const limit = (data[0] ?? 0) * 32;
	const decoder = new HpackDecoder(limit);
	const encoder = new HpackEncoder();
	const second = new HpackDecoder(4096);
	encoder.setPeerTableSize(limit);
	for (let at = 1; at < data.length; ) {
		const end = Math.min(data.length, at + 1 + (data[at] as number));
		const fields = decode(decoder, data.subarray(at + 1, end));
		checkTable(decoder.table, limit);
		if (fields === undefined) return;
		const block = encode(encoder, fields);
		checkTable(encoder.table, limit);
		checkSame(decode(second, block), fields, "encoded again");
		at = end;
	}
}

/** undefined: a compression error. */
function decode(decoder: HpackDecoder, block: Buffer): readonly Field[] | undefined {
	const fields: Field[] = [];
	const sink: FieldSink = {
		onField(nameBytes, nameStart, nameEnd, valueBytes, valueStart, valueEnd, isNeverIndexed) {
			fields.push([nameBytes.latin1Slice(nameStart, nameEnd), valueBytes.latin1Slice(valueStart, valueEnd), isNeverIndexed]);
		},
	};
	try {
		decoder.decode(block, 0, block.length, sink);
	} catch (error) {
		if (error instanceof Http2ConnectionError) return undefined;
		throw error;
	}
	return fields;
}

function encode(encoder: HpackEncoder, fields: readonly Field[]): Buffer {
	const room = fields.reduce((sum, [name, value]) => sum + fieldBytesMax(name.length, value.length), 16);
	const target = Buffer.alloc(room);
	let at = encoder.beginBlock(target, 0);
	for (const [name, value, isNeverIndexed] of fields) {
		const bytes = Buffer.from(name + value, "latin1");
		const hash = hashBytes(bytes, 0, name.length);
		at = encoder.putField(target, at, bytes, 0, name.length, hash, bytes, name.length, bytes.length, isNeverIndexed);
	}
	check(at <= room, `${at} bytes into room for ${room}`);
	return target.subarray(0, at);
}

function checkTable(table: DynamicTable, limit: number): void {
	check(table.size <= table.sizeMax && table.sizeMax <= limit, `a table of ${table.size}, at most ${table.sizeMax}, allowed ${limit}`);
	let size = 0;
	for (let number = table.inserted - table.count; number < table.inserted; number++)
		size += table.nameLength(number) + table.valueLength(number) + entryOverhead;
	checkSame(table.size, size, "the size of the table's entries");
}
