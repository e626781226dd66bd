import assert from "node:assert/strict";
import { test } from "node:test";
import { contextOf, createTestMesh, service } from "../translator/routes/test-mesh.ts";

const reviews = service("reviews", "{name: http, port: 80}");
const host = "reviews.default.svc.cluster.local";

function rule(name: string, namespace: string, spec: string, created = "2026-01-01T00:00:00Z"): string {
	return `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ${name}, namespace: ${namespace}, creationTimestamp: "${created}"}
spec: ${spec}
---`;
}

interface Case {
	readonly title: string;
	readonly rules: readonly string[];
	readonly namespace?: string;
	readonly labels?: Readonly<Record<string, string>>;
	/** `namespace/name` of the rule that holds. */
	readonly expected: string | undefined;
}

const random = "trafficPolicy: {loadBalancer: {simple: RANDOM}}";
const cases: readonly Case[] = [
	{ title: "no rule, none found", rules: [], expected: undefined },
	{
		title: "the client's namespace comes first",
		rules: [rule("a", "foo", `{host: ${host}}`), rule("b", "default", "{host: reviews}")],
		namespace: "foo",
		expected: "foo/a",
	},
	{
		title: "then the service's namespace",
		rules: [rule("r", "istio-system", `{host: "*"}`), rule("b", "default", "{host: reviews}")],
		namespace: "foo",
		expected: "default/b",
	},
	{ title: "then the root namespace", rules: [rule("r", "istio-system", `{host: "*.local"}`)], namespace: "foo", expected: "istio-system/r" },
	{ title: "another namespace has no say", rules: [rule("x", "bar", `{host: ${host}}`)], namespace: "foo", expected: undefined },
	{
		title: "an unexported rule of the service's namespace is not seen elsewhere",
		rules: [rule("b", "default", '{host: reviews, exportTo: ["."]}')],
		namespace: "foo",
		expected: undefined,
	},
	{
		title: "the exact host beats a wildcard",
		rules: [rule("a", "default", '{host: "*.local"}'), rule("b", "default", "{host: reviews}")],
		expected: "default/b",
	},
	{
		title: "the longer wildcard beats the shorter",
		rules: [rule("a", "default", '{host: "*"}'), rule("b", "default", '{host: "*.default.svc.cluster.local"}')],
		expected: "default/b",
	},
	{
		title: "a matching workloadSelector beats a rule without one",
		rules: [rule("a", "default", "{host: reviews}"), rule("b", "default", "{host: reviews, workloadSelector: {matchLabels: {app: client}}}")],
		labels: { app: "client" },
		expected: "default/b",
	},
	{
		title: "a workloadSelector that does not match is as if it were not there",
		rules: [rule("b", "default", "{host: reviews, workloadSelector: {matchLabels: {app: client}}}")],
		labels: { app: "other" },
		expected: undefined,
	},
	{
		title: "a workloadSelector has no say over clients of other namespaces",
		rules: [rule("b", "default", "{host: reviews, workloadSelector: {matchLabels: {app: client}}}")],
		namespace: "foo",
		labels: { app: "client" },
		expected: undefined,
	},
];

for (const { title, rules, namespace, labels, expected } of cases) {
	test(title, () => {
		const push = createTestMesh().apply(`${reviews}${rules.join("")}`);
		const { scope } = contextOf(push, labels ? { LABELS: labels } : {}, namespace);
		const found = scope.destinationRule(host);
		assert.equal(found && `${found.namespace}/${found.name}`, expected);
	});
}

test("rules on one host are merged: all subsets, the oldest policy, and of two subsets with one name the older", () => {
	const older = rule("z", "default", `{host: reviews, subsets: [{name: v1, labels: {version: v1}}]}`, "2025-01-01T00:00:00Z");
	const newer = rule("a", "default", `{host: reviews, ${random}, subsets: [{name: v1, labels: {version: other}}, {name: v2}]}`);
	const push = createTestMesh().apply(`${reviews}${newer}${older}`);
	const merged = contextOf(push).scope.destinationRule(host);
	assert.equal(merged?.name, "z");
	assert.equal(merged?.trafficPolicy?.loadBalancer?.simple, "RANDOM");
	assert.deepEqual(
		merged?.subsets.map(({ name, labels }) => [name, labels?.["version"]]),
		[
			["v1", "v1"],
			["v2", undefined],
		],
	);
});

test("a rule keeps its identity over snapshots until one of its objects changes", () => {
	const mesh = createTestMesh();
	const before = contextOf(mesh.apply(`${reviews}${rule("a", "default", "{host: reviews}")}`)).scope.destinationRule(host);
	const other = contextOf(mesh.apply(rule("b", "default", "{host: ratings}"))).scope.destinationRule(host);
	assert.equal(other, before);
	const changed = contextOf(mesh.apply(rule("a", "default", `{host: reviews, ${random}}`))).scope.destinationRule(host);
	assert.notEqual(changed, before);
});
