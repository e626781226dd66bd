import assert from "node:assert/strict";
import { test } from "node:test";
import { regexProblem } from "./regex.ts";

const accepted = [
	"",
	"/api/.*",
	"^/v[0-9]+/(users|groups)$",
	"(?i)jason",
	"(?i:a)b",
	"(?P<name>x)y",
	"(?<name>x)",
	"\\d+\\.\\d+",
	"[[:alpha:]]+",
	"\\pN\\p{Greek}",
	"\\Qa.b(c\\E",
	"\\Aabc\\z",
	"a{2,5}?",
	"[^/]+",
	"[]a]",
	"(?s).*",
	"a*?",
	"[*+]+",
	"\\++",
];
for (const pattern of accepted) test(`RE2 knows ${JSON.stringify(pattern)}`, () => assert.equal(regexProblem(pattern), undefined));

const refused: readonly (readonly [string, RegExp])[] = [
	["[a-", /Unterminated character class/],
	["(a", /group/i],
	["a)", /invalid regex/],
	["*a", /repeat/i],
	["(?=x)y", /lookahead/],
	["(?!x)y", /lookahead/],
	["(?<=x)y", /lookahead/],
	["(?<!x)y", /lookahead/],
	["(?>x)", /atomic/],
	["(a)\\1", /back-reference/],
	["(?P<n>a)(?P=n)", /back-reference/],
	["a++", /possessive/],
	["a\\Z", /escape/],
	["\\u0041", /escape/],
	["\\h+", /escape/],
	["a{1001}", /too large/],
	["x".repeat(1025), /1024/],
];
for (const [pattern, reason] of refused) {
	test(`RE2 does not know ${JSON.stringify(pattern.slice(0, 20))}`, () => assert.match(regexProblem(pattern) ?? "", reason));
}
