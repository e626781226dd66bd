import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Diagnostic } from "@weft/api";
import { messagesOf } from "./messages.ts";

function finding(code: string, name: string, rest: Partial<Diagnostic> = {}): Diagnostic {
	return { severity: "warning", code, message: "m", path: "", kind: "VirtualService", name, namespace: "shop", ...rest };
}

const all = { suppressions: [] };

test("sorted by level, code, kind, name and namespace, each once", () => {
	const findings = [
		finding("IST0131", "a", { severity: "info" }),
		finding("IST0132", "b"),
		finding("IST0132", "a", { namespace: "z" }),
		finding("IST0132", "a"),
		finding("IST0132", "a"),
		finding("IST0162", "a", { kind: "Gateway" }),
		finding("IST0112", "z"),
		finding("IST0106", "z", { severity: "error" }),
	];
	assert.deepEqual(
		messagesOf(findings, all).map(({ level, code, origin }) => `${level} ${code} ${origin}`),
		[
			"Error IST0106 VirtualService shop/z",
			"Error IST0112 VirtualService shop/z",
			"Warning IST0132 VirtualService shop/a",
			"Warning IST0132 VirtualService z/a",
			"Warning IST0132 VirtualService shop/b",
			"Warning IST0162 Gateway shop/a",
			"Info IST0131 VirtualService shop/a",
		],
	);
});

test("a part of an object is named where the message does not", () => {
	const texts = messagesOf(
		[
			finding("IST0106", "a", { path: "spec.hosts", message: "no" }),
			finding("IST0133", "a", { path: "spec", message: "no" }),
			finding("WEFT-V009", "a", { path: "spec.http[0]", message: "no" }),
			finding("IST0132", "a", { path: "spec.gateways[0]", message: "no" }),
		],
		all,
	).map(({ code, message }) => `${code} ${message}`);
	assert.deepEqual(
		new Set(texts),
		new Set(["IST0106 Schema validation error: spec.hosts: no", "IST0133 Schema validation warning: no", "WEFT-V009 spec.http[0]: no", "IST0132 no"]),
	);
});

test("only Istio's codes are in Istio's documentation", () => {
	const [istios, own] = messagesOf([finding("IST0132", "a", { file: "a.yaml", line: 3 }), finding("WEFT-V007", "a")], all);
	assert.equal(istios?.documentationUrl, "https://istio.io/v1.30/docs/reference/config/analysis/ist0132/?ref=istioctl-analyze");
	assert.equal(istios?.reference, "a.yaml:3");
	assert.deepEqual(own, { code: "WEFT-V007", level: "Warning", message: "m", origin: "VirtualService shop/a" });
});

test("of one namespace: its objects, the Namespace itself, and what belongs to none", () => {
	const findings = [
		finding("IST0132", "mine"),
		finding("IST0132", "theirs", { namespace: "other" }),
		finding("IST0102", "shop", { kind: "Namespace", namespace: "" }),
		finding("IST0102", "other", { kind: "Namespace", namespace: "" }),
		finding("IST0106", "class", { kind: "GatewayClass", namespace: "" }),
	];
	const names = messagesOf(findings, { namespace: "shop", suppressions: [] }).map(({ origin }) => origin);
	assert.deepEqual(new Set(names), new Set(["VirtualService shop/mine", "Namespace shop", "GatewayClass class"]));
});

suite("what -S leaves out", () => {
	for (const [pattern, isLeftOut] of [
		["VirtualService shop/reviews-v1", true],
		["VirtualService reviews-v1.shop", true],
		["VirtualService *.shop", true],
		["* reviews-*.shop", true],
		["*", true],
		["*v*v*", true],
		["VirtualService *-v1", true],
		["VirtualService *-v2", false],
		["VirtualService shop/reviews", false],
		["reviews-v1.shop", false],
		["VirtualService reviews-v1.*shop.shop", false],
		["*v1*v1*", false],
		["Pod *.shop", false],
		["", false],
	] as const) {
		test(`${pattern}: ${isLeftOut ? "left out" : "stays"}`, () => {
			const left = messagesOf([finding("IST0132", "reviews-v1")], { suppressions: [{ code: "IST0132", pattern }] });
			assert.equal(left.length, isLeftOut ? 0 : 1);
		});
	}
	test("another code stays", () => assert.equal(messagesOf([finding("IST0132", "a")], { suppressions: [{ code: "IST0101", pattern: "*" }] }).length, 1));
	test("what has no namespace goes by its name", () =>
		assert.deepEqual(
			messagesOf([finding("IST0102", "shop", { kind: "Namespace", namespace: "" })], { suppressions: [{ code: "IST0102", pattern: "Namespace sh*" }] }),
			[],
		));
});
