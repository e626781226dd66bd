import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { type Diagnostic, isKind, objectKindOf } from "@weft/api";
import { admitObjects } from "../admission.ts";
import { decodeYaml } from "../decode/yaml-decoder.ts";
import { createStore } from "../store/store.ts";

const golden = resolve(import.meta.dirname, "../../../../../shared/golden/analyze");
const skip = existsSync(golden) ? false : "the corpus of istioctl analyze's answers is not there (shared/golden/analyze beside the checkout)";
const ownCases = resolve(import.meta.dirname, "../../testdata/analysis");

/** Cases that do not apply, each with its reason. */
const left: Readonly<Record<string, string>> = {
	"schema-ap-provider": "what does not fit the schema is refused, and not analyzed any further (IST0127)",
};

interface Message {
	readonly code: string;
	readonly level: string;
	readonly origin: string;
}

/** All that galley has to say about a text: decoding and analysis, as `apply` does it. */
function diagnose(text: string): readonly Diagnostic[] {
	const decoded = decodeYaml(text, "config.yaml");
	return [...decoded.diagnostics, ...admitObjects(decoded.objects, createStore().snapshot()).diagnostics];
}

const brief = (code: string, origin: string) => `${code} ${origin}`;
const kindOf = ({ kind = "" }: Diagnostic) => (isKind(kind) ? objectKindOf(kind) : kind);
const originOf = (d: Diagnostic) => `${kindOf(d)} ${d.namespace ? `${d.namespace}/` : ""}${d.name}`;

/** Namespaces of the cluster in which Istio's answers were recorded, but for those that the case has. */
function withNamespaces(text: string): string {
	const names = ["default", "foo", "istio-system"].filter((name) => !new RegExp(`kind: Namespace\\nmetadata:[^-]*name: ${name}\\b`).test(text));
	const labels = (name: string) => (name === "istio-system" ? "" : ", labels: {istio-injection: enabled}");
	return `${text}\n${names.map((name) => `---\napiVersion: v1\nkind: Namespace\nmetadata: {name: ${name}${labels(name)}}\n`).join("")}`;
}

const casesIn = (folder: string) => readdirSync(folder).filter((entry) => !entry.includes("."));
const cases = skip === false ? casesIn(golden) : [];

test("the cases of istioctl analyze that are left out exist", { skip }, () => {
	assert.deepEqual(
		Object.keys(left).filter((name) => !cases.includes(name)),
		[],
	);
	assert.ok(cases.length - Object.keys(left).length >= 22, `${cases.length} cases`);
});

for (const [folder, names] of [
	[golden, cases.filter((entry) => !Object.hasOwn(left, entry))],
	[ownCases, casesIn(ownCases)],
] as const) {
	for (const name of names) {
		test(`Istio's analyzers, ${name}: same codes, same objects`, () => {
			const expected = JSON.parse(readFileSync(join(folder, name, "expected.json"), "utf8")) as { readonly live: readonly Message[] };
			const said = diagnose(withNamespaces(readFileSync(join(folder, name, "config.yaml"), "utf8")));
			const mine = said.map((d) => brief(d.code, originOf(d)));
			assert.deepEqual(mine.sort(), expected.live.map(({ code, origin }) => brief(code, origin.trim())).sort());
			// Only what does not fit the schema refuses; Istio's other errors are warnings here, as `apply` goes on.
			for (const d of said) {
				const levels = expected.live.filter(({ code }) => code === d.code).map(({ level }) => level);
				assert.equal(d.severity, d.code === "IST0106" ? "error" : levels.includes("Info") ? "info" : "warning", `${d.code} ${d.message}`);
			}
			for (const d of said) assert.ok((d.line ?? 0) > 0, "each has a line");
		});
	}
}

const web = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web, version: v1}}, spec: {containers: [{name: c, image: i}]}}}
`;
const istio = (kind: string, name: string, spec: string, rest = "") =>
	`---\napiVersion: networking.istio.io/v1\nkind: ${kind}\nmetadata: {name: ${name}${rest}}\nspec: ${spec}\n`;
const policy = (version: string, kind: string, name: string, spec: string, rest = "") =>
	`---\napiVersion: ${version}\nkind: ${kind}\nmetadata: {name: ${name}${rest}}\nspec: ${spec}\n`;
const envoyFilter = (applyTo: string, operation: string, rest = "") =>
	policy(
		"networking.istio.io/v1alpha3",
		"EnvoyFilter",
		"e",
		`{configPatches: [{applyTo: ${applyTo}, match: {context: ANY${rest}}, patch: {operation: ${operation}, value: {name: a, typed_config: {}}}}]}`,
	);
const claimRoute = istio(
	"VirtualService",
	"v",
	"{hosts: [a.com], gateways: [g], http: [{match: [{headers: {'@request.auth.claims.a': {exact: b}}}], route: [{destination: {host: web}}]}]}",
);
const codes = (text: string) => diagnose(web + text).map((d) => `${d.code} ${d.kind}/${d.name} ${d.path}`);

for (const [title, text, expected] of [
	["a Deployment's labels make a subset real", istio("DestinationRule", "d", "{host: web, subsets: [{name: v1, labels: {version: v1}}]}"), []],
	[
		"a subset that no rule defines",
		istio("VirtualService", "v", "{hosts: [web], http: [{route: [{destination: {host: web, subset: v9}}]}]}"),
		["IST0101 VirtualService/v spec.http[0].route[0].destination.subset"],
	],
	[
		"a mirror to nowhere",
		istio("VirtualService", "v", "{hosts: [web], http: [{route: [{destination: {host: web}}], mirror: {host: gone}}]}"),
		["IST0101 VirtualService/v spec.http[0].mirror.host"],
	],
	[
		"a TCP route to nowhere",
		istio("VirtualService", "v", "{hosts: [web], tcp: [{route: [{destination: {host: gone}}]}]}"),
		["IST0101 VirtualService/v spec.tcp[0].route[0].destination.host"],
	],
	["a full name is found", istio("VirtualService", "v", "{hosts: [web], http: [{route: [{destination: {host: web.default.svc.cluster.local}}]}]}"), []],
	[
		"a service entry's host is found",
		`${istio("ServiceEntry", "s", "{hosts: ['*.a.com'], ports: [{number: 80, name: http, protocol: HTTP}]}")}${istio("VirtualService", "v", "{hosts: [x.a.com], http: [{route: [{destination: {host: x.a.com}}]}]}")}`,
		[],
	],
	[
		"a host that is not exported is not found",
		`${istio("ServiceEntry", "s", "{hosts: [a.com], exportTo: ['.'], ports: [{number: 80, name: http, protocol: HTTP}]}", ", namespace: other")}${istio("VirtualService", "v", "{hosts: [a.com], http: [{route: [{destination: {host: a.com}}]}]}")}`,
		["IST0101 VirtualService/v spec.http[0].route[0].destination.host"],
	],
	[
		"a gateway's host that a virtual service lacks",
		`${istio("Gateway", "g", "{servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [b.com]}]}")}${istio("VirtualService", "v", "{hosts: [a.com], gateways: [g], http: [{route: [{destination: {host: web}}]}]}")}`,
		["IST0132 VirtualService/v spec.gateways[0]"],
	],
	[
		"two default Sidecars",
		`${istio("Sidecar", "a", "{egress: [{hosts: ['./*']}]}")}${istio("Sidecar", "b", "{egress: [{hosts: ['./*']}]}")}`,
		["IST0111 Sidecar/a ", "IST0111 Sidecar/b "],
	],
	[
		"an unnamed port is a remark",
		"---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 5000}]}\n",
		["IST0118 Service/s spec.ports[0]"],
	],
	["appProtocol is enough", "---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 5000, appProtocol: http}]}\n", []],
	[
		"a policy names a namespace that is not there",
		`---\napiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n${policy("security.istio.io/v1", "AuthorizationPolicy", "a", "{rules: [{from: [{source: {namespaces: [gone, 'x*', 'de*', default]}}]}]}")}`,
		[
			"IST0102 Namespace/default metadata.name",
			"IST0101 AuthorizationPolicy/a spec.rules[0].from[0].source.namespaces[0]",
			"IST0101 AuthorizationPolicy/a spec.rules[0].from[0].source.namespaces[1]",
		],
	],
	[
		"routes by claims without anything that reads tokens",
		`${istio("Gateway", "g", "{selector: {app: web}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com]}]}")}${claimRoute}`,
		["IST0149 VirtualService/v spec.gateways[0]"],
	],
	[
		"routes by claims behind something that reads tokens",
		`${istio("Gateway", "g", "{selector: {app: web}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com]}]}")}${claimRoute}${policy("security.istio.io/v1", "RequestAuthentication", "r", "{selector: {matchLabels: {app: web}}, jwtRules: [{issuer: a}]}")}`,
		[],
	],
	[
		"two Telemetries for a whole namespace",
		`${policy("telemetry.istio.io/v1", "Telemetry", "a", "{}")}${policy("telemetry.istio.io/v1", "Telemetry", "b", "{}")}`,
		["IST0160 Telemetry/a ", "IST0160 Telemetry/b "],
	],
	[
		"a relative patch without priority",
		envoyFilter("HTTP_FILTER", "INSERT_BEFORE"),
		["IST0133 EnvoyFilter/e spec", "IST0151 EnvoyFilter/e spec.configPatches[0].patch.operation"],
	],
	[
		"relative patches, the second of which is for what another has for one version only",
		envoyFilter("HTTP_FILTER", "INSERT_AFTER", ", proxy: {proxyVersion: a}").replace(
			"configPatches: [",
			"configPatches: [{applyTo: HTTP_FILTER, match: {proxy: {proxyVersion: a}}, patch: {operation: ADD, value: {name: a, typed_config: {}}}}, ",
		),
		["IST0133 EnvoyFilter/e spec", "IST0155 EnvoyFilter/e spec.configPatches[1].patch.operation"],
	],
	["a cluster is replaced", envoyFilter("CLUSTER", "REPLACE"), ["IST0133 EnvoyFilter/e spec", "IST0152 EnvoyFilter/e spec.configPatches[0].patch.operation"]],
	["a route is added", envoyFilter("HTTP_ROUTE", "ADD"), ["IST0133 EnvoyFilter/e spec", "IST0153 EnvoyFilter/e spec.configPatches[0].patch.operation"]],
	["the same object twice", `---${web}`, ["WEFT-V007 Service/web ", "WEFT-V007 Deployment/web "]],
] as const) {
	test(`${title}: ${expected.length === 0 ? "nothing to say" : expected.join(", ")}`, () => assert.deepEqual(codes(text), expected));
}

test("of two virtual services for one host the message names both and the one that counts: the oldest", () => {
	const rule = "{hosts: [web], http: [{route: [{destination: {host: web}}]}]}";
	const text = `${istio("VirtualService", "a", rule, ", creationTimestamp: '2026-02-01T00:00:00Z'")}${istio("VirtualService", "b", rule, ", creationTimestamp: '2026-01-01T00:00:00Z'")}`;
	const found = diagnose(web + text);
	assert.deepEqual(
		found.map(({ code }) => code),
		["IST0109", "IST0109"],
	);
	assert.match(found[0]?.message ?? "", /default\/a,default\/b .*only the oldest counts, here default\/b/);
});

test("admission speaks of the batch's own objects, in the light of all the others", () => {
	const store = createStore();
	const old = decodeYaml(`${web}${istio("VirtualService", "old", "{hosts: [web], http: [{route: [{destination: {host: gone}}]}]}")}`, "old.yaml");
	store.apply({ source: "apply", upsert: old.objects, remove: [] });
	const fresh = decodeYaml(istio("VirtualService", "new", "{hosts: [b.com], http: [{route: [{destination: {host: web}}]}]}"), "new.yaml");
	assert.deepEqual(admitObjects(fresh.objects, store.snapshot()), { accepted: fresh.objects, diagnostics: [] });
});

test("a policy that is served in part only is told of, a condition that is no bad news is not", () => {
	const text = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: partly, namespace: default}
spec: {rules: [{}]}
status:
  conditions:
  - {type: WaypointAccepted, status: "True", reason: PartiallyInvalid, message: one of two}
  - {type: Reconciled, status: "False", reason: Waiting, message: for proxies}
`;
	const told = diagnose(text).filter(({ code }) => code === "IST0171");
	assert.deepEqual(
		told.map(({ message }) => message),
		["A condition with a negative status is present: type=WaypointAccepted, reason=PartiallyInvalid, message=one of two."],
	);
});
