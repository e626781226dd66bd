import assert from "node:assert/strict";
import { it } from "node:test";
import { hashBytes, hashName, readText } from "./bytes.ts";

it("reads each text as it is, also those that share a place with another one", () => {
	// Same length, same last and middle byte: they push each other out.
	for (const text of ["", "a", "example.com", "exbmple.com", "example.com", "x".repeat(64), "x".repeat(65), "caf\u00e9", "exbmple.com"]) {
		const bytes = Buffer.from(`--${text}--`, "latin1");
		assert.equal(readText(bytes, 2, bytes.length - 2), text);
	}
});

it("hashes a name alike as text and as bytes, wherever these stand", () => {
	for (const name of ["te", "via", "host", "x-request-id"]) {
		assert.equal(hashBytes(Buffer.from(`${name}: 1`), 0, name.length), hashName(name));
		assert.equal(hashBytes(Buffer.from(`\r\n-${name}: 1`), 3, 3 + name.length), hashName(name));
	}
});
