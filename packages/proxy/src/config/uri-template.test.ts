import assert from "node:assert/strict";
import test from "node:test";
import { parseUriRewrite, parseUriTemplate } from "./uri-template.ts";

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

const rewrites: readonly (readonly [template: string, rewrite: string, path: string, result: string])[] = [
	["/a/{x}/{y=b/*}", "/{y}/to/{x}", "/a/1/b/2", "/b/2/to/1"],
	["/v/{rest=**}", "/new/{rest}.json", "/v/a/b", "/new/a/b.json"],
	["/a/{x}", "/{x}/{x}", "/a/1", "/1/1"],
	["/a/*", "/fixed", "/a/1", "/fixed"],
];

for (const [template, rewrite, path, result] of rewrites) {
	test(`${template} rewritten by ${rewrite}`, () => {
		const parsed = parseUriTemplate(template);
		assert.ok(parsed.kind === "template");
		const { substitution, message } = parseUriRewrite(rewrite, parsed.variables);
		assert.equal(message, undefined);
		assert.equal(path.replace(new RegExp(`^${parsed.regex}$`), substitution.replaceAll("\\", "$")), result);
	});
}

test("what is no rewrite of a template is refused, with the reason", () => {
	const reasons = ["a", "/a//b", "/{x", "/{y}", "/a?b"].map((rewrite) => parseUriRewrite(rewrite, ["x"]).message);
	assert.deepEqual(reasons, [
		"it must start with /",
		"empty segments are not allowed",
		"unmatched variable bracket",
		'the path template has no variable "y"',
		'invalid literal "/a?b"',
	]);
});
