import assert from "node:assert/strict";
import { test } from "node:test";
import type { AnyConfig } from "@weft/api";
import { gatewayServers } from "../../translator/routes/gateway-servers.ts";
import { createTestMesh, service } from "../../translator/routes/test-mesh.ts";
import { computedStatus } from "../computed-status.ts";
import { decodeNode } from "../node.ts";
import type { PushSnapshot } from "../push.ts";
import { scopeOf } from "../scope.ts";
import { deployedGateways } from "./gateways.ts";
import type { Condition, GatewayStatus, ListenerSetStatus } from "./status.ts";

const object = (kind: string, name: string, spec: string, namespace = "default", created = "2026-01-01T00:00:00Z") =>
	`\napiVersion: gateway.networking.k8s.io/v1\nkind: ${kind}\nmetadata: {name: ${name}, namespace: ${namespace}, creationTimestamp: "${created}"}\nspec: ${spec}\n---`;
const listener = (name: string, port: number, more = "") => `{name: ${name}, port: ${port}, protocol: HTTP${more}}`;
const gateway = (allowed: string, listeners = listener("http", 80)) =>
	object("Gateway", "gw", `{gatewayClassName: istio, allowedListeners: {namespaces: {from: ${allowed}}}, listeners: [${listeners}]}`);
const set = (name: string, listeners: string, namespace = "default", created?: string) =>
	object("ListenerSet", name, `{parentRef: {name: gw, namespace: default}, listeners: [${listeners}]}`, namespace, created);
const route = (parent: string, namespace = "default") =>
	object("HTTPRoute", "r", `{parentRefs: [${parent}], rules: [{backendRefs: [{name: web, port: 8000}]}]}`, namespace);
const namespaces = ["default", "team"].map((name) => `\napiVersion: v1\nkind: Namespace\nmetadata: {name: ${name}}\n---`).join("");
const pod = `
apiVersion: v1
kind: Pod
metadata: {name: gw-1, namespace: default, labels: {app: gw-istio}}
spec: {containers: []}
status: {podIP: 10.0.0.8}
---`;
const base =
	namespaces + service("web", "{name: http, port: 8000}") + service("gw-istio", "{name: a, port: 80}, {name: b, port: 81}, {name: c, port: 82}") + pod;

const compile = (yaml: string): PushSnapshot => createTestMesh().apply(base + yaml);
const say = (conditions: readonly Condition[] | undefined) =>
	Object.fromEntries((conditions ?? []).map(({ type, status, reason }) => [type, status === "True" ? "True" : reason]));
const setStatus = (push: PushSnapshot, key: string) => push.gatewayStatus.listenerSets.get(key);
const listenerOf = (status: ListenerSetStatus | GatewayStatus | undefined, name: string) => status?.listeners.find((entry) => entry.name === name);

/** `port gateway` of what the Gateway's own proxy serves. */
function served(push: PushSnapshot): readonly string[] {
	const node = decodeNode({ id: "router~10.0.0.8~gw-1.default~default.svc.cluster.local", metadata: { NAMESPACE: "default", INSTANCE_IPS: "10.0.0.8" } }, push);
	return gatewayServers({ push, node, scope: scopeOf(push, node) })
		.map(({ gateway: name, targetPort }) => `${targetPort} ${name.split("~")[0]}`)
		.sort();
}

test("a Gateway says whose listeners it takes: nobody's, unless it says so", () => {
	const sets = set("own", listener("more", 81)) + set("theirs", listener("more", 82), "team");
	for (const [allowed, own, theirs, ports] of [
		["None", "NotAllowed", "NotAllowed", ["80 default/gw"]],
		["Same", "True", "NotAllowed", ["80 default/gw", "81 default/own"]],
		["All", "True", "True", ["80 default/gw", "81 default/own", "82 team/theirs"]],
	] as const) {
		const push = compile(gateway(allowed) + sets);
		assert.deepEqual([say(setStatus(push, "default/own")?.conditions)["Accepted"], say(setStatus(push, "team/theirs")?.conditions)["Accepted"]], [own, theirs]);
		assert.deepEqual(served(push), ports, allowed);
		const attached = push.gatewayStatus.gateways.get("default/gw")?.attachedListenerSets;
		assert.equal(attached, ports.length === 1 ? undefined : ports.length - 1);
	}
});

test("a set named as a Gateway beside it is told from it", () => {
	const push = compile(
		gateway("All") +
			set("gw", listener("http", 81), "default") +
			service("web", "{name: http, port: 8000}") +
			route("{kind: ListenerSet, name: gw}", "default"),
	);
	const [vs] = push.virtualServices.filter(({ semantics }) => semantics === "gateway");
	assert.match(vs?.gateways[0] ?? "", /^default\/gw~listener-set~/);
});

test("routes name a ListenerSet, and are counted there", () => {
	const yaml =
		gateway("All") + set("gw", listener("http", 81), "team") + service("web", "{name: http, port: 8000}").replace("namespace: default", "namespace: team");
	const push = compile(yaml + route("{kind: ListenerSet, name: gw}", "team"));
	assert.equal(listenerOf(setStatus(push, "team/gw"), "http")?.attachedRoutes, 1);
	assert.equal(listenerOf(push.gatewayStatus.gateways.get("default/gw"), "http")?.attachedRoutes, 0);
	const [vs] = push.virtualServices.filter(({ semantics }) => semantics === "gateway");
	assert.match(vs?.gateways[0] ?? "", /^team\/gw~istio/);
	assert.equal(push.gatewayStatus.routes.get("HTTPRoute/team/r")?.[0]?.conditions[0]?.status, "True");
});

test("what a Gateway or an older set serves already is in conflict", () => {
	const older = set("older", listener("a", 81, ", hostname: a.example.com"), "default", "2026-01-01T00:00:00Z");
	const younger = set(
		"younger",
		[listener("a", 81, ", hostname: a.example.com"), listener("b", 81, ", hostname: b.example.com"), listener("c", 80)].join(),
		"team",
		"2026-02-01T00:00:00Z",
	);
	const push = compile(gateway("All") + younger + older);
	const reasons = (name: string) => say(listenerOf(setStatus(push, "team/younger"), name)?.conditions);
	assert.equal(say(listenerOf(setStatus(push, "default/older"), "a")?.conditions)["Accepted"], "True");
	assert.deepEqual(
		[reasons("a")["Accepted"], reasons("a")["Conflicted"], reasons("b")["Accepted"], reasons("c")["Programmed"]],
		["HostnameConflict", "True", "True", "HostnameConflict"],
	);
	assert.deepEqual(served(push), ["80 default/gw", "81 default/older", "81 team/younger"]);
	const tcp = compile(gateway("All") + set("tcp", "{name: t, port: 80, protocol: TCP}"));
	assert.equal(say(listenerOf(setStatus(tcp, "default/tcp"), "t")?.conditions)["Accepted"], "ProtocolConflict");
	assert.equal(say(setStatus(tcp, "default/tcp")?.conditions)["Accepted"], "ListenersNotValid");
});

test("a set of another controller's Gateway has no status of ours; its Secrets are those of its own namespace", () => {
	const other = compile(gateway("All").replace("istio,", "mine,") + set("own", listener("more", 81)));
	const found = other.config.all("ListenerSet")[0] as AnyConfig;
	assert.equal(computedStatus(other, found), undefined);
	const tls = "{name: tls, port: 82, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}";
	const secret = "\napiVersion: v1\nkind: Secret\nmetadata: {name: cert, namespace: team}\nstringData: {tls.crt: a, tls.key: b}\n---";
	const push = compile(gateway("All") + set("secure", tls, "team") + secret);
	const [server] = push.gateways.find(({ name }) => name.startsWith("secure~"))?.servers ?? [];
	assert.equal(server?.tls?.credentialName, "kubernetes-gateway://team/cert");
});

test("the Service of a deployed Gateway has their ports, too", () => {
	const { config } = compile(gateway("Same") + set("own", listener("more", 81)) + set("theirs", listener("more", 82), "team"));
	const input = { classes: [], gateways: config.all("KubernetesGateway"), listenerSets: config.all("ListenerSet"), namespaces: config.all("Namespace") };
	assert.deepEqual(
		deployedGateways(input)[0]?.listeners.map(({ port }) => port),
		[80, 81],
	);
});
