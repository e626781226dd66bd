import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { hashName } from "../codec/bytes.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { fieldBytesMax, HpackEncoder, putInteger } from "./hpack-encoder.ts";
import { huffmanDecode, huffmanDecodedMax, huffmanEncode, huffmanEncodedLength } from "./huffman.ts";
import { decodeFields } from "./test-frames.ts";

type Fields = readonly (readonly [string, string])[];

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ""), "hex");

function encodeBlock(encoder: HpackEncoder, fields: Fields, never: ReadonlySet<string> = new Set()): Buffer {
	const size = fields.reduce((sum, [name, value]) => sum + fieldBytesMax(name.length, value.length), 16);
	const target = Buffer.alloc(size);
	let at = encoder.beginBlock(target, 0);
	for (const [name, value] of fields) {
		const bytes = Buffer.from(name + value, "latin1");
		at = encoder.putField(target, at, bytes, 0, name.length, hashName(name), bytes, name.length, bytes.length, never.has(name));
	}
	return target.subarray(0, at);
}

describe("HPACK, RFC 7541", () => {
	const authority = ":authority";
	const first: Fields = [
		[":method", "GET"],
		[":scheme", "http"],
		[":path", "/"],
		[authority, "www.example.com"],
	];
	const requests: readonly (readonly [Fields, plain: string, huffman: string, size: number])[] = [
		[first, "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", 57],
		[[...first, ["cache-control", "no-cache"]], "8286 84be 5808 6e6f 2d63 6163 6865", "8286 84be 5886 a8eb 1064 9cbf", 110],
		[
			[
				[":method", "GET"],
				[":scheme", "https"],
				[":path", "/index.html"],
				[authority, "www.example.com"],
				["custom-key", "custom-value"],
			],
			"8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
			"8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
			164,
		],
	];
	for (const [section, column] of [
		["C.3", 1],
		["C.4", 2],
	] as const) {
		it(`requests of ${section}`, () => {
			const decoder = new HpackDecoder(4096);
			for (const row of requests) {
				assert.deepEqual(decodeFields(decoder, hex(row[column])), row[0]);
				assert.equal(decoder.table.size, row[3]);
			}
		});
	}

	it("responses of C.6, where a table of 256 bytes evicts", () => {
		const decoder = new HpackDecoder(4096);
		decodeFields(decoder, Buffer.from([0x3f, 0xe1, 0x01]));
		const date = "Mon, 21 Oct 2013 20:13:21 GMT";
		const base: Fields = [
			[":status", "302"],
			["cache-control", "private"],
			["date", date],
			["location", "https://www.example.com"],
		];
		const blocks: readonly (readonly [string, Fields, number])[] = [
			["4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3", base, 222],
			["4883 640e ffc1 c0bf", [[":status", "307"], ...base.slice(1)], 222],
			[
				"88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
				[
					[":status", "200"],
					["cache-control", "private"],
					["date", "Mon, 21 Oct 2013 20:13:22 GMT"],
					["location", "https://www.example.com"],
					["content-encoding", "gzip"],
					["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
				],
				215,
			],
		];
		for (const [bytes, fields, size] of blocks) {
			assert.deepEqual(decodeFields(decoder, hex(bytes)), fields);
			assert.equal(decoder.table.size, size);
		}
	});

	const refused: readonly (readonly [string, Buffer])[] = [
		["5.1: an integer beyond all limits", Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0x0f])],
		["5.1: an integer that ends too early", Buffer.from([0xff])],
		["5.2: a string longer than its block", Buffer.from([0x40, 0x0a, 0x61])],
		["5.2: an end of string in a Huffman string", Buffer.from([0x40, 0x84, 0xff, 0xff, 0xff, 0xff, 0x01, 0x61])],
		["5.2: Huffman padding of zeros", Buffer.from([0x40, 0x81, 0b00011000, 0x01, 0x61])],
		["5.2: Huffman padding of a whole byte", Buffer.from([0x40, 0x82, 0b00011111, 0xff, 0x01, 0x61])],
		["6.1: index 0", Buffer.from([0x80])],
		["2.3.3: an index beyond the tables", Buffer.from([0xbe])],
		["4.2: a size update behind a field", Buffer.from([0x82, 0x20])],
		["6.3: a size beyond what was allowed", Buffer.from([0x3f, 0xe2, 0x1f])],
	];
	for (const [title, bytes] of refused)
		it(`refuses ${title}`, () => {
			assert.throws(() => decodeFields(new HpackDecoder(4096), bytes), { name: "Http2ConnectionError", code: 9 });
		});

	it("4.2: a limit below the table's size has to be answered by an update", () => {
		const decoder = new HpackDecoder(4096);
		decoder.setTableSizeLimit(100);
		assert.throws(() => decodeFields(decoder, Buffer.from([0x82])), { code: 9 });
		assert.deepEqual(decodeFields(decoder, Buffer.from([0x3f, 0x45, 0x82])), [[":method", "GET"]]);
	});

	it("4.2: the encoder tells of the smallest size in between and of the last", () => {
		const encoder = new HpackEncoder();
		encoder.setPeerTableSize(0);
		encoder.setPeerTableSize(1000);
		const decoder = new HpackDecoder(4096);
		const block = encodeBlock(encoder, [["a", "b"]]);
		assert.equal(block[0], 0x20);
		assert.deepEqual(decodeFields(decoder, block), [["a", "b"]]);
		assert.equal(decoder.table.sizeMax, 1000);
	});

	it("4.4: an entry larger than the table empties it", () => {
		const decoder = new HpackDecoder(4096);
		decodeFields(decoder, hex("3f45 4001 6101 62"));
		assert.equal(decoder.table.count, 1);
		decodeFields(decoder, Buffer.concat([hex("4001 617f 00"), Buffer.alloc(127, 0x78)]));
		assert.deepEqual([decoder.table.count, decoder.table.size], [0, 0]);
	});

	it("6.2.3, 7.1.3: never-indexed fields are told apart, and stay literals", () => {
		const encoder = new HpackEncoder();
		const fields: Fields = [["x-secret", "s"]];
		for (let i = 0; i < 3; i++) assert.equal(encodeBlock(encoder, fields, new Set(["x-secret"]))[0], 0x10);
		const flags: boolean[] = [];
		const block = encodeBlock(encoder, fields, new Set(["x-secret"]));
		new HpackDecoder(4096).decode(block, 0, block.length, { onField: (...all) => flags.push(all[6]) });
		assert.deepEqual(flags, [true]);
		assert.equal(encoder.table.count, 0);
	});

	it("names get an entry at once, fields when they come again, secrets never", () => {
		const encoder = new HpackEncoder();
		const blocks = ["1", "2", "3", "4"].map((id) =>
			encodeBlock(encoder, [
				["x-always", "the same value"],
				["x-id", `id ${id}`],
				["accept", "what it always is"],
				["authorization", "Bearer t"],
			]),
		);
		// x-always, x-id: 1, and accept the second time.
		assert.equal(encoder.table.count, 3);
		// Two indexes; the id is a literal of 7 bytes, authorization one of 11.
		assert.equal(blocks[3]?.length, 1 + 7 + 1 + 11);
	});

	const text = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 200 });
	const names = fc.constantFrom(":path", "accept", "x-a", "content-type", "cookie", "x-request-id", "grpc-timeout", "x-a-longer-name");
	const fieldList = fc.array(fc.tuple(names, fc.oneof(text, fc.constantFrom("a", "/", "value", "x".repeat(300)))), { maxLength: 20 });

	it("what the encoder says the decoder understands, over many blocks and table sizes", () => {
		fc.assert(
			fc.property(fc.array(fc.tuple(fieldList, fc.option(fc.integer({ min: 0, max: 5000 }))), { maxLength: 12 }), (blocks) => {
				const encoder = new HpackEncoder();
				const decoder = new HpackDecoder(5000);
				for (const [fields, size] of blocks) {
					if (size !== null) encoder.setPeerTableSize(size);
					assert.deepEqual(decodeFields(decoder, encodeBlock(encoder, fields)), fields);
					assert.ok(decoder.table.size <= decoder.table.sizeMax);
					assert.deepEqual([decoder.table.count, decoder.table.size], [encoder.table.count, encoder.table.size]);
				}
			}),
			{ numRuns: 200 },
		);
	});

	it("Huffman strings of all bytes come back", () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
				const encoded = Buffer.alloc(huffmanEncodedLength(bytes, 0, bytes.length));
				assert.equal(huffmanEncode(bytes, 0, bytes.length, encoded, 0), encoded.length);
				const decoded = Buffer.alloc(huffmanDecodedMax(encoded.length));
				assert.deepEqual(decoded.subarray(0, huffmanDecode(encoded, 0, encoded.length, decoded, 0)), Buffer.from(bytes));
			}),
		);
	});

	it("5.1: integers of every size", () => {
		for (const value of [0, 1, 29, 30, 31, 127, 128, 1337, 16_383, 1 << 20]) {
			for (const bits of [4, 5, 6, 7]) {
				const bytes = Buffer.alloc(8);
				const end = putInteger(bytes, 0, 0, bits, value);
				let read = (bytes[0] as number) & ((1 << bits) - 1);
				for (let i = 1, shift = 0; i < end; i++, shift += 7) read += ((bytes[i] as number) & 127) << shift;
				assert.equal(read, value);
			}
		}
	});

	it("any bytes at all are decoded or refused, and never more", () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
				try {
					decodeFields(new HpackDecoder(4096), Buffer.from(bytes));
				} catch (error) {
					assert.equal((error as Error).name, "Http2ConnectionError");
				}
			}),
			{ numRuns: 2000 },
		);
	});
});
