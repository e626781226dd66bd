import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parse } from "yaml";
import { renderKubeYaml } from "./kube-yaml.ts";

suite("texts stay texts, whichever YAML reads them", () => {
	for (const text of [
		"off",
		"On",
		"y",
		"yes",
		"no",
		"true",
		"1",
		"1.30",
		"1e3",
		"0o14",
		"014",
		"0x1f",
		"12:30:45",
		"1_000",
		"2001-01-01",
		"null",
		"~",
		"",
		".inf",
		"plain",
		"a: b",
		"- x",
		"#",
		"multi\nline",
	]) {
		test(JSON.stringify(text), () => {
			const rendered = renderKubeYaml({ v: text });
			assert.deepEqual(parse(rendered), { v: text });
			assert.deepEqual(parse(rendered, { version: "1.1" }), { v: text });
		});
	}
	test("numbers and booleans stay plain", () => assert.equal(renderKubeYaml({ a: 1, b: true, c: ["x"] }), "a: 1\nb: true\nc:\n- x\n"));
});
