import assert from "node:assert/strict";
import { test } from "node:test";
import { mergeValues, parseSet } from "./set-values.ts";

const cases: readonly (readonly [string, unknown])[] = [
	["a=b", { a: "b" }],
	["a.b.c=1", { a: { b: { c: 1 } } }],
	["a=true,b=false,c=null", { a: true, b: false, c: null }],
	["a=", { a: "" }],
	["a=1.5", { a: "1.5" }],
	["a=007", { a: "007" }],
	["a={x,y,3}", { a: ["x", "y", 3] }],
	["a={}", { a: [] }],
	["a[0].b=x", { a: [{ b: "x" }] }],
	["a[0]=x,a[1]=y", { a: ["x", "y"] }],
	["podAnnotations.prometheus\\.io/port=80", { podAnnotations: { "prometheus.io/port": 80 } }],
	["a=x\\,y", { a: "x,y" }],
	["a=b=c", { a: "b=c" }],
];

test("--set is read as Helm reads it", async (t) => {
	for (const [argument, expected] of cases) await t.test(argument, () => assert.deepEqual(parseSet(argument), expected));
	for (const wrong of ["a", "=b", "a..b=c", "a[x]=1", "a[1001]=1"]) {
		await t.test(`${wrong} is refused`, () => assert.throws(() => parseSet(wrong), { name: "Error", message: /--set/ }));
	}
});

test("a prototype's name is a key like any other", () => {
	const value = parseSet("__proto__.polluted=yes");
	assert.equal(Object.hasOwn(value, "__proto__"), true);
	assert.equal(({} as { polluted?: string }).polluted, undefined);
});

test("maps are merged, all else is replaced", () => {
	assert.deepEqual(mergeValues({ a: { b: 1, c: [1] }, d: 1 }, { a: { c: [2], e: {} }, d: null }), { a: { b: 1, c: [2], e: {} }, d: null });
});
