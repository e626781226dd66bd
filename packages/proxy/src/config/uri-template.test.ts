import assert from "node:assert/strict";
import test from "node:test";
import { parseUriTemplate } from "./uri-template.ts";

const rows: readonly (readonly [template: string, matching: readonly string[], other: readonly string[]])[] = [
	["/a", ["/a"], ["/a/", "/b", "/ab"]],
	["/a/*", ["/a/b", "/a/b-c.d"], ["/a/", "/a/b/c"]],
	["/a/{id}/b", ["/a/1/b"], ["/a//b", "/a/1/2/b"]],
	["/a/**", ["/a/", "/a/b", "/a/b/c"], ["/a", "/b/c"]],
	["/{x=a/*}/c", ["/a/1/c"], ["/b/1/c", "/a/1/2/c"]],
	["/v/{rest=**}.json", ["/v/a/b.json", "/v/.json"], ["/v/a.xml"]],
	["/a.b+c", ["/a.b+c"], ["/aXb+c", "/a.bbc"]],
];

for (const [template, matching, other] of rows) {
	test(`${template} matches what it should, and no more`, () => {
		const parsed = parseUriTemplate(template);
		assert.ok(parsed.kind === "template");
		const regex = new RegExp(`^(?:${parsed.regex})$`);
		assert.deepEqual(
			[...matching, ...other].filter((path) => regex.test(path)),
			matching,
		);
	});
}

test("what is no template is refused, with the reason", () => {
	const reasons = ["a", "/{1x}", "/{a}/{a}", "/**/*", "/{a}/{b}/{c}/{d}/{e}/{f}", "/a b", "/{a", "/a//b"].map((template) => {
		const parsed = parseUriTemplate(template);
		return parsed.kind === "error" ? parsed.message : "accepted";
	});
	assert.deepEqual(reasons, [
		"it must start with /",
		'invalid variable name "1x"',
		'repeated variable name "a"',
		"no operator may follow **",
		"more than 5 variables",
		'invalid literal "a b"',
		'unexpected "{"',
		"empty segments are not allowed",
	]);
});
