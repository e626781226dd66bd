import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { decideInjection } from "./decide.ts";
import type { Pod } from "./pod/pod.ts";
import { decodeInjectorSettings } from "./settings/settings.ts";

interface Case {
	readonly labels?: Readonly<Record<string, string>>;
	readonly annotations?: Readonly<Record<string, string>>;
	readonly hostNetwork?: boolean;
	readonly namespace?: string;
	readonly namespaceLabels?: Readonly<Record<string, string>>;
	readonly revision?: string;
	readonly values?: object;
	readonly config?: object;
}

function decide({ labels, annotations, hostNetwork, namespace = "shop", namespaceLabels, revision = "default", values = {}, config = {} }: Case): string {
	const { value, diagnostics } = decodeInjectorSettings({ valuesJson: JSON.stringify(values), configYaml: JSON.stringify(config), meshConfig: {}, revision });
	assert.deepEqual(diagnostics, []);
	const pod: Pod = {
		metadata: { ...(labels && { labels }), ...(annotations && { annotations }) },
		spec: { containers: [{ name: "app" }], ...(hostNetwork && { hostNetwork }) },
	};
	const decision = decideInjection(pod, value, { name: namespace, ...(namespaceLabels && { labels: namespaceLabels }) });
	return `${decision.inject ? "inject" : "skip"}: ${decision.reason}`;
}

const inject = "sidecar.istio.io/inject";

suite("inject this pod?", () => {
	const cases: readonly (readonly [string, Case, string])[] = [
		["by policy", {}, "inject: policy enabled"],
		["not with host networking, whatever it asks for", { hostNetwork: true, labels: { [inject]: "true" } }, "skip: host network"],
		["not in a namespace of Kubernetes itself", { namespace: "kube-system", labels: { [inject]: "true" } }, "skip: ignored namespace"],
		["the label asks for it", { labels: { [inject]: "true" } }, "inject: sidecar.istio.io/inject label"],
		["the label forbids it", { labels: { [inject]: "false" } }, "skip: sidecar.istio.io/inject label"],
		["the annotation forbids it", { annotations: { [inject]: "false" } }, "skip: sidecar.istio.io/inject annotation"],
		["the label comes before the annotation", { labels: { [inject]: "true" }, annotations: { [inject]: "false" } }, "inject: sidecar.istio.io/inject label"],
		["another word for true says nothing", { config: { policy: "disabled" }, annotations: { [inject]: "yes" } }, "skip: policy disabled"],
		["another word for false says nothing, also as the label", { labels: { [inject]: "off" }, annotations: { [inject]: "false" } }, "inject: policy enabled"],
		["an empty word says nothing", { labels: { [inject]: "" } }, "inject: policy enabled"],
		["a disabled policy", { config: { policy: "disabled" } }, "skip: policy disabled"],
		["a disabled policy, but the pod asks", { config: { policy: "disabled" }, labels: { [inject]: "true" } }, "inject: sidecar.istio.io/inject label"],
		["the charts' autoInject is the policy", { values: { global: { proxy: { autoInject: "disabled" } } } }, "skip: policy disabled"],
		[
			"never selector",
			{ labels: { job: "x" }, config: { neverInjectSelector: [{ matchExpressions: [{ key: "job", operator: "Exists" }] }] } },
			"skip: neverInjectSelector",
		],
		[
			"never comes before always",
			{ labels: { job: "x" }, config: { neverInjectSelector: [{ matchLabels: { job: "x" } }], alwaysInjectSelector: [{ matchLabels: { job: "x" } }] } },
			"skip: neverInjectSelector",
		],
		[
			"the pod's word comes before never",
			{ labels: { job: "x", [inject]: "true" }, config: { neverInjectSelector: [{ matchLabels: { job: "x" } }] } },
			"inject: sidecar.istio.io/inject label",
		],
		[
			"always selector against the policy",
			{ labels: { app: "a" }, config: { policy: "disabled", alwaysInjectSelector: [{ matchLabels: { app: "a" } }] } },
			"inject: alwaysInjectSelector",
		],
		["an empty selector selects nothing", { config: { policy: "disabled", alwaysInjectSelector: [{}] } }, "skip: policy disabled"],
		[
			"selectors of the charts' values",
			{ labels: { a: "b" }, values: { sidecarInjectorWebhook: { neverInjectSelector: [{ matchLabels: { a: "b" } }] } } },
			"skip: neverInjectSelector",
		],
		["an enabled namespace", { namespaceLabels: { "istio-injection": "enabled" } }, "inject: policy enabled"],
		[
			"a disabled namespace, though the pod asks",
			{ namespaceLabels: { "istio-injection": "disabled" }, labels: { [inject]: "true" } },
			"skip: namespace not enabled",
		],
		["a namespace that says nothing", { namespaceLabels: {} }, "skip: namespace not enabled"],
		["a namespace that says nothing, but the pod asks", { namespaceLabels: {}, labels: { [inject]: "true" } }, "inject: sidecar.istio.io/inject label"],
		["all namespaces by default", { namespaceLabels: {}, values: { sidecarInjectorWebhook: { enableNamespacesByDefault: true } } }, "inject: policy enabled"],
		["the namespace names this revision", { revision: "canary", namespaceLabels: { "istio.io/rev": "canary" } }, "inject: policy enabled"],
		["the namespace names another revision", { revision: "canary", namespaceLabels: { "istio.io/rev": "stable" } }, "skip: other revision"],
		[
			"the namespace names a tag of this revision",
			{ revision: "canary", values: { revisionTags: ["prod"] }, namespaceLabels: { "istio.io/rev": "prod" } },
			"inject: policy enabled",
		],
		["an enabled namespace is the default revision's", { revision: "canary", namespaceLabels: { "istio-injection": "enabled" } }, "skip: other revision"],
		[
			"unless this revision is tagged default",
			{ revision: "canary", values: { revisionTags: ["default"] }, namespaceLabels: { "istio-injection": "enabled" } },
			"inject: policy enabled",
		],
		["istio-injection comes before istio.io/rev", { namespaceLabels: { "istio-injection": "enabled", "istio.io/rev": "canary" } }, "inject: policy enabled"],
		["the pod names this revision", { revision: "canary", namespaceLabels: {}, labels: { "istio.io/rev": "canary" } }, "inject: policy enabled"],
		["the pod asks, but no revision is named", { revision: "canary", namespaceLabels: {}, labels: { [inject]: "true" } }, "skip: other revision"],
	];
	for (const [name, input, expected] of cases) test(name, () => assert.equal(decide(input), expected));
});

test("bad settings are reported and change as little as they can", () => {
	const { value, diagnostics } = decodeInjectorSettings({
		valuesJson: '{"global":{"proxy":{"statusPort":"x","privileged":"perhaps"},"hub":5},"revisionTags":"prod","pilot":{}}',
		configYaml: "policy: sometimes\nneverInjectSelector:\n- matchExpressions:\n  - {key: a, operator: Near}\n- matchLabels: {a: b}\n",
		meshConfig: {},
		revision: "",
	});
	assert.deepEqual(diagnostics.map(({ path }) => path).sort(), [
		"global.proxy.privileged",
		"global.proxy.statusPort",
		"neverInjectSelector[0]",
		"policy",
		"revisionTags",
	]);
	assert.equal(value.values.hub, "5");
	assert.equal(value.values.proxy.statusPort, 15020);
	assert.equal(value.neverInjectSelector.length, 1);
	assert.equal(value.policy, "disabled");
});

test("text that is no YAML, and aliases that multiply, are reported", () => {
	const bomb = `a: &a [x]\n${Array.from({ length: 30 }, (_, i) => `b${i}: &b${i} [${`*${i === 0 ? "a" : `b${i - 1}`},`.repeat(9)}]`).join("\n")}`;
	for (const configYaml of ["a: [", bomb]) {
		const { diagnostics } = decodeInjectorSettings({ valuesJson: "", configYaml, meshConfig: {}, revision: "" });
		assert.equal(diagnostics.length, 1);
		assert.equal(diagnostics[0]?.kind, "config");
	}
});
