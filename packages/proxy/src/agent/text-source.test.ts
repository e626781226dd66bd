import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { splitCertificates } from "@weft/pki";
import { readRootsSync, readTextSource, rootsFrom } from "./text-source.ts";

test("SYSTEM is the well-known authorities, every other name a file that is read anew", async (t) => {
	const wellKnown = splitCertificates(await readTextSource(rootsFrom("SYSTEM")));
	assert.ok(wellKnown.length > 50 && wellKnown.every((pem) => new X509Certificate(pem).ca));
	assert.equal(splitCertificates(readRootsSync("SYSTEM")).length, wellKnown.length);

	const directory = mkdtempSync(join(tmpdir(), "weft-roots-"));
	t.after(() => rmSync(directory, { recursive: true }));
	const file = join(directory, "root-cert.pem");
	const source = rootsFrom(file);
	await assert.rejects(readTextSource(source), /ENOENT/);
	for (const text of ["one", "two"]) {
		writeFileSync(file, text);
		assert.deepEqual([await readTextSource(source), readRootsSync(file)], [text, text]);
	}
});
