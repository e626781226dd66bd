import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { loadValueDecoder, metadataValue } from "./metadata-value.ts";

const decoder = loadValueDecoder();
await decoder.loaded;

const invalid = { kind: "invalid" };

test("numbers are read as strtod reads them", () => {
	for (const [text, value] of [
		["1", 1],
		[" 42 ", 42],
		["-1.5e3", -1500],
		["+.5", 0.5],
		["5.", 5],
		["0x10", 16],
		["-0x1.8p1", -3],
		["inf", Number.POSITIVE_INFINITY],
		["-Infinity", Number.NEGATIVE_INFINITY],
	] as const)
		assert.deepEqual(metadataValue(text, "number", false, undefined), { kind: "value", value }, text);
	for (const text of ["1_000", "0x", "1e", ".", "1 2", "a", "--1"]) assert.deepEqual(metadataValue(text, "number", false, undefined), invalid, text);
});

test("base64 is taken with padding or without, and nothing else is", () => {
	fc.assert(
		fc.property(fc.string({ minLength: 1, unit: "grapheme" }), (text) => {
			const encoded = Buffer.from(text).toString("base64");
			for (const form of [encoded, encoded.replace(/=+$/, "")])
				assert.deepEqual(metadataValue(form, "string", true, undefined), { kind: "value", value: Buffer.from(text).toString("utf8") });
		}),
	);
	for (const text of ["a*b", "YR", "_-__", "aGVsbG8===", "===", "a"])
		assert.deepEqual(metadataValue(text, "string", true, undefined), { kind: "badBase64" }, text);
});

test("a value is read from its bytes", () => {
	const of = (...bytes: readonly number[]) => metadataValue(Buffer.from(bytes).toString("base64"), "value", true, decoder);
	assert.deepEqual(of(0x1a, 0x02, 0x68, 0x69), { kind: "value", value: "hi" });
	assert.deepEqual(of(0x32, 0x08, 0x0a, 0x02, 0x20, 0x01, 0x0a, 0x02, 0x08, 0x00), { kind: "value", value: [true, null] });
	assert.deepEqual(of(0x2a, 0x7f, 0x01), invalid);
});
