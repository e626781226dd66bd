import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { ConfigObject } from "@weft/api";
import { decodeYaml } from "@weft/galley";
import { pushOf, serverContext, service } from "./testing.ts";
import { mergeAccessLogging, mergeMetrics, mergeTracing, telemetriesFor } from "./telemetry.ts";
import { directionPolicies } from "./workload-policies.ts";

const text = (name: string, spec: string, namespace = "default") =>
	`---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: ${spec}\n`;

/** The mesh's, the namespace's and the workload's, as far as given. */
function levels(...specs: readonly string[]): readonly ConfigObject<"Telemetry">[] {
	return specs.map((spec, i) => {
		const { objects } = decodeYaml(text(`t${i}`, spec), "t.yaml");
		return objects[0] as ConfigObject<"Telemetry">;
	});
}

suite("of several Telemetries", () => {
	test("the mesh's, the namespace's and the workload's count, of the whole mesh and namespace the oldest", () => {
		const own = "{selector: {matchLabels: {app: server}}}";
		const yaml = `${text("mesh", "{}", "istio-system")}${text("ns", "{}")}${text("ns2", "{}")}${text("own", own)}${text("own2", own)}${text("other", "{selector: {matchLabels: {app: other}}}")}${text("selected", own, "istio-system")}`;
		const { push, node } = serverContext(pushOf(yaml));
		assert.deepEqual(
			telemetriesFor(push.policies.telemetry, node).map(({ metadata }) => metadata.name),
			["mesh", "ns", "own", "own2"],
		);
	});
});

type Plans = readonly (readonly [string, unknown])[];

const logs: readonly (readonly [title: string, specs: readonly string[], client: Plans, server: Plans])[] = [
	["the default provider where nobody says anything", [], [["d", {}]], [["d", {}]]],
	["the named provider instead of the default", ["{accessLogging: [{providers: [{name: a}]}]}"], [["a", {}]], [["a", {}]]],
	["the default provider where no provider is named", ["{accessLogging: [{}]}"], [["d", {}]], [["d", {}]]],
	["one side alone", ["{accessLogging: [{match: {mode: SERVER}, providers: [{name: a}]}]}"], [], [["a", {}]]],
	["a filter", ["{accessLogging: [{providers: [{name: a}], filter: {expression: 'x'}}]}"], [["a", { filter: "x" }]], [["a", { filter: "x" }]]],
	[
		"a filter that the workload adds to the namespace's provider",
		["{accessLogging: [{providers: [{name: a}]}]}", "{accessLogging: [{filter: {expression: 'x'}}]}"],
		[["a", { filter: "x" }]],
		[["a", { filter: "x" }]],
	],
	[
		"the workload's provider instead of the namespace's",
		["{accessLogging: [{providers: [{name: a}]}]}", "{accessLogging: [{providers: [{name: b}]}]}"],
		[["b", {}]],
		[["b", {}]],
	],
	[
		"nothing where the workload switches it off",
		["{accessLogging: [{providers: [{name: a}]}]}", "{accessLogging: [{disabled: true}]}"],
		[["a", false]],
		[["a", false]],
	],
	[
		"nothing of one side where the workload switches that off",
		["{accessLogging: [{providers: [{name: a}]}]}", "{accessLogging: [{match: {mode: CLIENT}, disabled: true}]}"],
		[["a", false]],
		[["a", {}]],
	],
	[
		"several providers",
		["{accessLogging: [{providers: [{name: a}, {name: b}]}]}"],
		[
			["a", {}],
			["b", {}],
		],
		[
			["a", {}],
			["b", {}],
		],
	],
];

suite("access logs are", () => {
	for (const [title, specs, client, server] of logs) {
		test(title, () => {
			for (const [side, expected] of [
				["CLIENT", client],
				["SERVER", server],
			] as const) {
				const plans = [...mergeAccessLogging(levels(...specs), ["d"], side)].map(([name, plan]) => [
					name,
					plan && (plan.filter ? { filter: plan.filter } : {}),
				]);
				assert.deepEqual(plans, expected, side);
			}
		});
	}

	test("not what accessLogFile says where a Telemetry switches them off", () => {
		const yaml = text("t", "{accessLogging: [{providers: [{name: envoy}], disabled: true}]}");
		const { push, node } = serverContext(pushOf(yaml, { accessLogFile: "/f" }));
		assert.deepEqual(directionPolicies(push, node, "inbound").accessLogs, { traffic: [], listener: [] });
	});

	test("left out where the logger's service is not there", () => {
		const mesh = { extensionProviders: [{ name: "als", envoyHttpAls: { service: "als.default.svc.cluster.local", port: 80 } }] };
		const yaml = text("t", "{accessLogging: [{providers: [{name: ALS}]}]}");
		const countOf = (all: string) => {
			const { push, node } = serverContext(pushOf(all, mesh));
			return directionPolicies(push, node, "inbound").accessLogs.traffic.length;
		};
		assert.deepEqual([countOf(yaml), countOf(yaml + service("als"))], [0, 1]);
	});
});

const metrics: readonly (readonly [title: string, specs: readonly string[], expected: Readonly<Record<string, Readonly<Record<string, unknown>>>>])[] = [
	["the default provider's", [], { d: {} }],
	["the named provider's instead", ["{metrics: [{providers: [{name: a}]}]}"], { a: {} }],
	["none where all are switched off", ["{metrics: [{overrides: [{match: {metric: ALL_METRICS}, disabled: true}]}]}"], {}],
	[
		"on again where the workload says more",
		["{metrics: [{overrides: [{match: {metric: ALL_METRICS}, disabled: true}]}]}", "{metrics: [{overrides: [{match: {metric: REQUEST_COUNT}}]}]}"],
		{ d: { REQUEST_COUNT: { disabled: false, tags: {} } } },
	],
	["one less", ["{metrics: [{overrides: [{match: {metric: TCP_SENT_BYTES}, disabled: true}]}]}"], { d: { TCP_SENT_BYTES: { disabled: true, tags: {} } } }],
	["as before on the other side", ["{metrics: [{overrides: [{match: {metric: TCP_SENT_BYTES, mode: CLIENT}, disabled: true}]}]}"], { d: {} }],
	[
		"one of the user's own with a tag",
		["{metrics: [{overrides: [{match: {customMetric: mine}, tagOverrides: {t: {value: a}}}]}]}"],
		{ d: { mine: { disabled: false, tags: { t: { value: "a" } } } } },
	],
	[
		"with tags of all levels, the lower one's where they meet",
		[
			"{metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {a: {value: x}, b: {value: y}}}]}]}",
			"{metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {b: {operation: REMOVE}}}]}]}",
		],
		{ d: { REQUEST_COUNT: { disabled: false, tags: { a: { value: "x" }, b: { operation: "REMOVE" } } } } },
	],
];

suite("metrics are", () => {
	for (const [title, specs, expected] of metrics) {
		test(title, () => {
			const plans = [...mergeMetrics(levels(...specs), ["d"], "SERVER")];
			const brief = plans.map(([name, { overrides }]) => [name, Object.fromEntries(overrides.map(({ metric, ...rest }) => [metric, rest]))]);
			assert.deepEqual(Object.fromEntries(brief), expected);
		});
	}

	test("reported as often as the lowest level says", () => {
		const plans = mergeMetrics(levels("{metrics: [{reportingInterval: 5s}]}", "{metrics: [{reportingInterval: 7s}, {}]}"), ["d"], "CLIENT");
		assert.equal(plans.get("d")?.reportingInterval, "7s");
	});
});

const tracing: readonly (readonly [title: string, specs: readonly string[], expected: object | undefined])[] = [
	["what the proxy says where nobody else does", [], undefined],
	["by the named provider", ["{tracing: [{providers: [{name: a}, {name: b}]}]}"], { provider: "a" }],
	["for the other side alone", ["{tracing: [{match: {mode: CLIENT}, providers: [{name: a}]}]}"], { provider: undefined }],
	[
		"as the levels say, field by field",
		[
			"{tracing: [{providers: [{name: a}], randomSamplingPercentage: 10, customTags: {t: {literal: {value: v}}}}]}",
			"{tracing: [{randomSamplingPercentage: 0, disableContextPropagation: true, enableIstioTags: false}]}",
		],
		{ provider: "a", sampling: 0, customTags: { t: { literal: { value: "v" } } }, contextPropagation: false, istioTags: false },
	],
	[
		"not at all where it is switched off",
		["{tracing: [{providers: [{name: a}]}]}", "{tracing: [{disableSpanReporting: true}]}"],
		{ provider: "a", disabled: true },
	],
];

suite("spans are made", () => {
	const rest = { disabled: false, sampling: undefined, customTags: undefined, useRequestId: true, istioTags: true, contextPropagation: true };
	for (const [title, specs, expected] of tracing) {
		test(title, () => assert.deepEqual(mergeTracing(levels(...specs), [], "SERVER"), expected && { ...rest, ...expected }));
	}

	test("by the default provider", () => assert.deepEqual(mergeTracing([], ["d", "e"], "SERVER"), { ...rest, provider: "d" }));
});
