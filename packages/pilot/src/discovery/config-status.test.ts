import assert from "node:assert/strict";
import { test } from "node:test";
import { type AnyConfig, diagnosticCodes } from "@weft/api";
import { createStore } from "@weft/galley";
import type { StreamState } from "@weft/xds/server";
import { buildPush } from "../model/build-push.ts";
import { decodeNode } from "../model/node.ts";
import type { PushSnapshot } from "../model/push.ts";
import { configStatus, statusInput } from "./config-status.ts";
import { buildDistribution, noSpread, type ProxyState } from "./distribution.ts";

const object = (kind: string, name: string, spec: object, namespace = "default", apiVersion = "networking.istio.io/v1") =>
	({ apiVersion, kind, metadata: { name, namespace, labels: {}, annotations: {} }, spec }) as unknown as AnyConfig;
const hostOf = (name: string) => `${name}.default.svc.cluster.local`;
const host = hostOf("a");
const entry = (name: string) =>
	object("ServiceEntry", name, {
		hosts: [hostOf(name)],
		ports: [{ number: 80, name: "http", protocol: "HTTP" }],
		resolution: "STATIC",
		location: "MESH_INTERNAL",
	});
const to = (name: string, more: object = {}) => ({ destination: { host: hostOf(name), ...more } });
const service = entry("a");
const hidden = object("ServiceEntry", "hidden", { ...entry("hidden").spec, exportTo: ["."] });
const rule = object("DestinationRule", "a", { host: "a", subsets: [{ name: "v1", labels: { version: "v1" } }], exportTo: ["."] });
const otherRule = object("DestinationRule", "b", { host: "b", exportTo: ["."] });
const route = object("VirtualService", "a", { hosts: [host], http: [{ route: [to("a", { subset: "v1" })] }] });
const otherRoute = object("VirtualService", "b", { hosts: [hostOf("b")], http: [{ delegate: { name: "part" } }] });
const delegate = object("VirtualService", "part", { http: [{ route: [to("b")] }] });
const policy = object("AuthorizationPolicy", "p", { selector: { matchLabels: { app: "one" } }, rules: [{}] });
const otherPolicy = object("AuthorizationPolicy", "q", { rules: [{ from: [{ source: { namespaces: ["x"] } }] }] });
const peers = object("PeerAuthentication", "strict", { mtls: { mode: "STRICT" } }, "istio-system");
const somePeers = object("PeerAuthentication", "some", { selector: { matchLabels: { app: "one" } }, mtls: { mode: "STRICT" } }, "istio-system");
const telemetry = object("Telemetry", "t", { accessLogging: [{}] }, "istio-system");
const gateway = object("Gateway", "g", { selector: { istio: "ingress" }, servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }] });
const gatewayRoute = object("VirtualService", "gr", { hosts: ["x.org"], gateways: ["g"], http: [{ route: [to("a")] }] });
const sidecar = object("Sidecar", "s", { workloadSelector: { labels: { app: "two" } }, egress: [{ hosts: ["./*"] }] });
const patch = object("EnvoyFilter", "f", {
	configPatches: [{ applyTo: "CLUSTER", match: {}, patch: { operation: "MERGE", value: { connect_timeout: "1s" } } }],
});
const late = object("VirtualService", "a", { hosts: [host], http: [{ route: [to("a", { subset: "v9" })] }] });
const all = [
	service,
	hidden,
	entry("b"),
	rule,
	otherRule,
	route,
	otherRoute,
	delegate,
	policy,
	otherPolicy,
	peers,
	somePeers,
	telemetry,
	gateway,
	gatewayRoute,
	sidecar,
	patch,
];

function mesh() {
	const store = createStore();
	store.apply({ source: "test", upsert: all, remove: [] });
	const push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
	store.apply({ source: "test", upsert: [late], remove: [] });
	return { push, later: buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" }, push) };
}

const { push, later } = mesh();
const proxy = (name: string, namespace: string, parts: Partial<ProxyState> = {}): ProxyState => ({
	node: decodeNode({ id: `sidecar~10.0.0.1~${name}.${namespace}~${namespace}.svc.cluster.local`, metadata: { LABELS: { app: name } } }, push),
	syncedVersion: 1,
	states: [],
	...parts,
});
const router = {
	...proxy("gw", "default"),
	node: decodeNode({ id: "router~10.0.0.2~gw.default~default.svc.cluster.local", metadata: { LABELS: { istio: "ingress" } } }, push),
};
const refusing = (type: StreamState["type"], ...names: string[]): Partial<ProxyState> => ({
	states: [{ type, sent: "2", acked: "", nack: { message: "no good", names }, nonceSent: "2.1", nonceAcked: "", sentAtMs: 0, names: new Set(names) }],
});

function conditionsOf(of: AnyConfig, proxies: readonly ProxyState[], version = 1, in_: PushSnapshot = push) {
	const spread = buildDistribution(in_, proxies, () => version).of(of);
	assert.ok(spread !== undefined, `${of.kind} has a status`);
	return configStatus(in_, statusInput(of, spread, [])).conditions;
}

const upToDate = (seeing: number) => ["True", "UpToDate", `${seeing}/${seeing} proxies up to date.`];
const one = proxy("one", "default");
const two = proxy("two", "default");
const other = proxy("two", "elsewhere");

test("how many of the proxies that see an object have it in force", () => {
	const everybody = [one, two, other, router];
	const cases: readonly { readonly name: string; readonly of: AnyConfig; readonly proxies: readonly ProxyState[]; readonly reconciled: readonly string[] }[] = [
		{ name: "all sidecars", of: route, proxies: everybody, reconciled: upToDate(3) },
		{
			name: "one that has not answered",
			of: route,
			proxies: [one, proxy("two", "default", { syncedVersion: 0 })],
			reconciled: ["False", "Progressing", "1/2 proxies up to date."],
		},
		{
			name: "one that has nothing yet",
			of: route,
			proxies: [one, proxy("two", "default", { syncedVersion: -1 })],
			reconciled: ["False", "Progressing", "1/2 proxies up to date."],
		},
		{ name: "a rule that is not exported to the other", of: rule, proxies: [one, other], reconciled: upToDate(1) },
		{ name: "a ServiceEntry", of: service, proxies: [one, other], reconciled: upToDate(2) },
		{ name: "a ServiceEntry of one namespace", of: hidden, proxies: [one, other], reconciled: upToDate(1) },
		{ name: "a policy that selects a workload", of: policy, proxies: everybody, reconciled: upToDate(1) },
		{ name: "a policy of the mesh", of: peers, proxies: everybody, reconciled: upToDate(4) },
		{ name: "one of the root namespace with a selector", of: somePeers, proxies: everybody, reconciled: upToDate(0) },
		{ name: "a Telemetry of the mesh", of: telemetry, proxies: everybody, reconciled: upToDate(4) },
		{ name: "a Gateway", of: gateway, proxies: everybody, reconciled: upToDate(1) },
		{ name: "a route at a Gateway", of: gatewayRoute, proxies: everybody, reconciled: upToDate(1) },
		{ name: "a Sidecar", of: sidecar, proxies: everybody, reconciled: upToDate(1) },
		{ name: "a delegate, by its root", of: delegate, proxies: [one, other], reconciled: upToDate(2) },
	];
	for (const { name, of, proxies, reconciled } of cases) {
		const [valid, condition] = conditionsOf(of, proxies);
		assert.deepEqual([condition?.status, condition?.reason, condition?.message], reconciled, name);
		assert.equal(valid?.status, "True", name);
	}
});

test("a refusal is told of the objects that what is refused was made of, and of no others", () => {
	const refusal = (type: string, name: string) => `0/1 proxies up to date. one.default refused ${type} ${name}: no good`;
	const cluster = `outbound|80||${host}`;
	const cases: readonly { readonly of: AnyConfig; readonly parts: Partial<ProxyState>; readonly message: string }[] = [
		{ of: route, parts: refusing("rds", "80"), message: refusal("rds", "80") },
		{ of: route, parts: refusing("vhds", `80/${host}`), message: refusal("vhds", `80/${host}`) },
		{ of: otherRoute, parts: refusing("vhds", `80/${host}`), message: "1/1 proxies up to date." },
		{ of: otherRoute, parts: refusing("rds", "80", "81"), message: refusal("rds", "80") },
		{ of: delegate, parts: refusing("rds", "80"), message: refusal("rds", "80") },
		{ of: route, parts: refusing("cds", cluster), message: "1/1 proxies up to date." },
		{ of: route, parts: refusing("rds"), message: refusal("rds", "") },
		{ of: rule, parts: refusing("cds", cluster), message: refusal("cds", cluster) },
		{ of: otherRule, parts: refusing("cds", cluster), message: "1/1 proxies up to date." },
		{ of: service, parts: refusing("cds", cluster), message: refusal("cds", cluster) },
		{ of: policy, parts: refusing("lds", "virtualInbound"), message: refusal("lds", "virtualInbound") },
		{ of: policy, parts: refusing("lds", "0.0.0.0_80"), message: "1/1 proxies up to date." },
		{ of: telemetry, parts: refusing("lds", "0.0.0.0_80"), message: refusal("lds", "0.0.0.0_80") },
		{ of: patch, parts: refusing("cds", cluster), message: refusal("cds", cluster) },
		{ of: patch, parts: refusing("lds", "virtualInbound"), message: "1/1 proxies up to date." },
	];
	for (const { of, parts, message } of cases) {
		const [, condition] = conditionsOf(of, [proxy("one", "default", parts)]);
		const name = `${of.kind} ${of.metadata.name}: ${JSON.stringify(parts)}`;
		assert.equal(condition?.message, message, name);
		assert.equal(condition?.reason, message.startsWith("0/1") ? "Rejected" : "UpToDate", name);
	}
});

test("many that refuse are not all looked into, and all are counted", () => {
	const many = Array.from({ length: 50 }, (_, i) => proxy(`p${i}`, "default", refusing("cds", `outbound|80||${host}`)));
	assert.match(conditionsOf(rule, many)[1]?.message ?? "", /^0\/50 proxies up to date\. p0\.default refused cds/);
	assert.equal(conditionsOf(otherRule, many)[1]?.message, "50/50 proxies up to date.");
});

test("a VirtualService that waits for a subset says so", () => {
	const [valid, condition] = conditionsOf(late, [one], 1, later);
	assert.deepEqual([valid?.status, valid?.reason, condition?.reason], ["False", "SubsetNotFound", "Held"]);
	assert.match(valid?.message ?? "", /subset v9 of host a\.default\.svc\.cluster\.local is in no DestinationRule/);
});

test("what is not valid says why, under Istio's codes", () => {
	const findings = [
		{ severity: "error", code: diagnosticCodes.schema, path: "spec.hosts", message: "must be a list" },
		{ severity: "warning", code: diagnosticCodes.patch, path: "", message: "left out" },
	] as const;
	const spread = { seeing: 2, inForce: 2, refusal: undefined };
	const status = configStatus(push, { ...statusInput(route, spread, findings), generation: 3 });
	const [valid, condition] = status.conditions;
	assert.deepEqual([valid?.status, valid?.reason], ["False", "Invalid"]);
	assert.equal(valid?.message, "error [IST0106] spec.hosts: must be a list");
	assert.deepEqual(
		[condition?.status, condition?.reason, condition?.message],
		["False", "Invalid", "2/2 proxies up to date. The last valid content is in force."],
	);
	assert.deepEqual(status.validationMessages, [
		{ type: { name: "Schema", code: "IST0106" }, level: "ERROR", documentationUrl: "https://istio.io/latest/docs/reference/config/analysis/ist0106/" },
		{ type: { name: "Patch", code: "WEFT-V011" }, level: "WARNING" },
	]);
	assert.equal(status.observedGeneration, 3);
	const warned = configStatus(push, statusInput(patch, noSpread, [findings[1]]));
	assert.deepEqual([warned.conditions[0]?.status, warned.conditions[0]?.message], ["True", "warning [WEFT-V011]: left out"]);
});

test("kinds without such a status have none", () => {
	assert.equal(buildDistribution(push, [one], () => 1).of(object("WorkloadEntry", "w", { address: "1.2.3.4" })), undefined);
});
