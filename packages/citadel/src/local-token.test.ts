import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { issueLocalToken, loadOrCreateLocalTokenKey, verifyLocalToken } from "./local-token.ts";

const key = Buffer.alloc(32, 1);
const claims = { ns: "default", sa: "web", pod: "web-1", exp: 2_000_000_000 };
const nowMs = 1_999_999_999_000;
const token = issueLocalToken(key, claims);
const [payload = "", signature = ""] = token.split(".");
const signed = (text: string): string => {
	const part = Buffer.from(text).toString("base64url");
	return `${part}.${createHmac("sha256", key).update(part).digest("base64url")}`;
};

describe("verifyLocalToken", () => {
	test("accepts a token until the second it expires", () => {
		assert.deepEqual(verifyLocalToken(key, token, nowMs), { ok: true, value: claims });
		assert.ok(verifyLocalToken(key, token, 2_000_000_000_000 - 1).ok);
		assert.deepEqual(verifyLocalToken(key, token, 2_000_000_000_000), { ok: false, reason: "local token has expired" });
	});

	const refused: Record<string, string> = {
		nothing: "",
		"a payload alone": payload,
		"no signature": `${payload}.`,
		"three parts": `${token}.x`,
		"another payload under the same signature": `${Buffer.from(JSON.stringify({ ...claims, sa: "admin" })).toString("base64url")}.${signature}`,
		"a truncated signature": token.slice(0, -2),
		"a signature with padding": `${token}=`,
		"a signature in another spelling": `${payload}.${Buffer.from(signature, "base64url").toString("base64")}=`,
		"claims that are no JSON": signed("{"),
		"claims that are no object": signed("null"),
		"a missing claim": signed(JSON.stringify({ ns: "a", sa: "b", exp: 2_000_000_000 })),
		"an expiry that is no number": signed(JSON.stringify({ ...claims, exp: "2000000000" })),
		"an expiry beyond numbers": signed('{"ns":"a","sa":"b","pod":"c","exp":1e999}'),
		"an oversized token": signed(JSON.stringify({ ...claims, pod: "x".repeat(5000) })),
		"another key's token": issueLocalToken(Buffer.alloc(32, 2), claims),
	};
	for (const [name, text] of Object.entries(refused)) {
		test(`refuses ${name}`, () => assert.equal(verifyLocalToken(key, text, nowMs).ok, false));
	}

	test("refuses every single changed character", () => {
		for (let i = 0; i < token.length; i++) {
			const changed = token.slice(0, i) + (token[i] === "A" ? "B" : "A") + token.slice(i + 1);
			assert.equal(verifyLocalToken(key, changed, nowMs).ok, false, `character ${i}`);
		}
	});
});

describe("the shared key file", () => {
	test("is made once, by whoever comes first, for its owner alone", async () => {
		const directory = await mkdtemp(join(tmpdir(), "weft-token-key-"));
		try {
			const path = join(directory, "run", "token-key");
			const keys = await Promise.all(Array.from({ length: 10 }, () => loadOrCreateLocalTokenKey(path)));
			assert.equal(new Set(keys.map((k) => k.toString("hex"))).size, 1);
			assert.equal(keys[0]?.length, 32);
			assert.equal((await stat(path)).mode & 0o777, 0o600);
			await writeFile(path, "short");
			await assert.rejects(loadOrCreateLocalTokenKey(path), /5 bytes instead of 32/);
		} finally {
			await rm(directory, { recursive: true });
		}
	});
});
