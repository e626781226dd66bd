import assert from "node:assert/strict";
import { test } from "node:test";
import { foldersOf, parseNamedFiles, readNamedFiles } from "./named-files.ts";

test("names of files are Istio's, anything else is none", () => {
	const certificate = { kind: "certificate", certificateFile: "/etc/a.pem", keyFile: "/keys/a.pem" } as const;
	assert.deepEqual(parseNamedFiles("file-cert:/etc/a.pem~/keys/a.pem"), certificate);
	assert.deepEqual(parseNamedFiles("file-root:/etc/ca.pem"), { kind: "trust", authorityFile: "/etc/ca.pem" });
	assert.deepEqual(parseNamedFiles("file-root:system"), { kind: "trust", authorityFile: undefined });
	for (const name of ["default", "ROOTCA", "file-cert:/a", "file-cert:~", "file-root:", "kubernetes://a", "xfile-root:/a"])
		assert.equal(parseNamedFiles(name), undefined, name);
	assert.deepEqual(foldersOf(certificate), ["/etc", "/keys"]);
	assert.deepEqual(foldersOf({ kind: "trust", authorityFile: undefined }), []);
});

test("they are read into secrets of their kind", () => {
	const readFile = (path: string) => Buffer.from(`content of ${path}`);
	const read = (name: string) => {
		const files = parseNamedFiles(name);
		assert.ok(files);
		return readNamedFiles(name, files, readFile);
	};
	const pair = read("file-cert:/a~/b");
	assert.equal(Buffer.from(pair.tlsCertificate?.certificateChain?.inlineBytes ?? []).toString(), "content of /a");
	assert.equal(Buffer.from(pair.tlsCertificate?.privateKey?.inlineBytes ?? []).toString(), "content of /b");
	assert.equal(Buffer.from(read("file-root:/ca").validationContext?.trustedCa?.inlineBytes ?? []).toString(), "content of /ca");
	const { inlineBytes, inlineString } = read("file-root:system").validationContext?.trustedCa ?? {};
	assert.match(inlineString ?? Buffer.from(inlineBytes ?? []).toString(), /content of \/etc\/|BEGIN CERTIFICATE/);
});
