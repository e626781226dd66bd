import assert from "node:assert/strict";
import { test } from "node:test";
import { fqdnProblem, hostsOverlap, isDnsSubdomain, isSubnet, labelProblem, wildcardDomainProblem } from "./names.ts";

for (const host of ["*", "*.example.com", "a", "a.b.c", "user.company.com", "*-a.example.com", "a.example.com.", "1.example.com", "A.b"]) {
	test(`${host} is a valid wildcard domain`, () => assert.equal(wildcardDomainProblem(host), undefined));
}
for (const host of ["", "*.*.com", "a*.com", "a..b", "a.*.com", "-a.com", "a_b.com", "10.0.0.1", "a.b.1", "a b", `${"x".repeat(64)}.com`, "x.".repeat(130)]) {
	test(`${JSON.stringify(host.slice(0, 20))} is no valid wildcard domain`, () => assert.notEqual(wildcardDomainProblem(host), undefined));
}

test("a wildcard is no fully qualified name", () => {
	assert.equal(fqdnProblem("a.example.com"), undefined);
	assert.notEqual(fqdnProblem("*.example.com"), undefined);
});

for (const [a, b, overlap] of [
	["*", "a.com", true],
	["*.com", "a.com", true],
	["*.com", "*.a.com", true],
	["a.com", "*.com", true],
	["a.com", "a.com", true],
	["a.com", "b.com", false],
	["*.a.com", "*.b.com", false],
	["*.a.com", "a.com", false],
] as const) {
	test(`hosts ${a} and ${b} ${overlap ? "overlap" : "do not overlap"}`, () => assert.equal(hostsOverlap(a, b), overlap));
}

for (const [subnet, valid] of [
	["10.0.0.0/8", true],
	["10.1.2.3", true],
	["::1", true],
	["2001:db8::/32", true],
	["10.0.0.0/33", false],
	["10.0.0/8", false],
	["2001:db8::/129", false],
	["10.0.0.0/8/8", false],
	["10.0.0.0/", false],
	["", false],
] as const) {
	test(`${JSON.stringify(subnet)} is ${valid ? "a" : "no"} subnet`, () => assert.equal(isSubnet(subnet), valid));
}

test("label keys may have a domain as prefix, values may be empty", () => {
	assert.equal(labelProblem("app.kubernetes.io/name", "x"), undefined);
	assert.equal(labelProblem("version", ""), undefined);
	for (const [key, value] of [
		["", "x"],
		["/a", "x"],
		["a/b/c", "x"],
		["-a", "x"],
		["a", "x y"],
		["a", "x".repeat(64)],
		["__proto__", "x"],
	] as const) {
		assert.notEqual(labelProblem(key, value), undefined, `${key}=${value}`);
	}
});

test("names of objects are lower-case", () => {
	assert.equal(isDnsSubdomain("a.b-c"), true);
	assert.equal(isDnsSubdomain("A"), false);
});
