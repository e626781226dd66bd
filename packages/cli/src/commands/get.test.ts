import assert from "node:assert/strict";
import { test } from "node:test";
import { render } from "./get.ts";

const condition = (type: string, status: string, reason: string, message: string) => ({ type, status, reason, message });
const item = (kind: string, name: string, spec: object, conditions: readonly object[] = []) => ({
	kind,
	metadata: { name, namespace: "default" },
	spec: spec as Readonly<Record<string, unknown>>,
	status: { conditions },
});
const fine = [condition("PassedValidation", "True", "Valid", ""), condition("Reconciled", "True", "UpToDate", "2/2 proxies up to date.")];
const refusedText = "one.default refused rds 80: no good";
const refused = [fine[0] ?? {}, condition("Reconciled", "False", "Rejected", `1/2 proxies up to date. ${refusedText}`)];
const invalid = [
	condition("PassedValidation", "False", "Invalid", "error [IST0106] spec: no"),
	condition("Reconciled", "False", "Invalid", "0/0 proxies up to date."),
];

const lines = (text: string) =>
	text
		.trimEnd()
		.split("\n")
		.map((line) => line.split(/ {2,}/));

test("every kind that proxies have tells how many have it in force", () => {
	assert.deepEqual(lines(render("AuthorizationPolicy", [item("AuthorizationPolicy", "p", {}, fine)], { withNamespace: false, isWide: false })), [
		["NAME", "ACTION", "IN FORCE", "AGE"],
		["p", "ALLOW", "2/2"],
	]);
	assert.deepEqual(lines(render("WorkloadEntry", [item("WorkloadEntry", "w", { address: "1.2.3.4" })], { withNamespace: true, isWide: true })), [
		["NAMESPACE", "NAME", "ADDRESS", "AGE"],
		["default", "w", "1.2.3.4"],
	]);
});

test("wide says whom a policy is for, and what is wrong", () => {
	const policies = [
		item("AuthorizationPolicy", "p", { action: "DENY", selector: { matchLabels: { app: "a", v: "1" } }, rules: [{}] }, refused),
		item("AuthorizationPolicy", "q", { targetRefs: [{ kind: "Gateway", name: "g" }] }, invalid),
	];
	assert.deepEqual(lines(render("AuthorizationPolicy", policies, { withNamespace: false, isWide: true })), [
		["NAME", "ACTION", "SELECTOR", "RULES", "IN FORCE", "VALID", "STATE", "PROBLEM", "AGE"],
		["p", "DENY", "app=a,v=1", "1", "1/2", "True", "Rejected", refusedText],
		["q", "ALLOW", "Gateway/g", "0", "0/0", "False", "Invalid", "error [IST0106] spec: no"],
	]);
	const filter = item(
		"EnvoyFilter",
		"f",
		{ workloadSelector: { labels: { app: "a" } }, configPatches: [{ applyTo: "CLUSTER" }, { applyTo: "CLUSTER" }] },
		fine,
	);
	assert.deepEqual(lines(render("EnvoyFilter", [filter], { withNamespace: false, isWide: true }))[1], [
		"f",
		"app=a",
		"CLUSTER",
		"0",
		"2/2",
		"True",
		"UpToDate",
	]);
});
