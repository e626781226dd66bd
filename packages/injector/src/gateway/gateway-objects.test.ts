import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "../json.ts";
import { decodeInjectorSettings } from "../settings/settings.ts";
import { buildGatewayObjects, type GatewayToDeploy } from "./gateway-objects.ts";

const { value: settings } = decodeInjectorSettings({ valuesJson: "", configYaml: "", meshConfig: {}, revision: "" });

const gateway = (parts: Partial<GatewayToDeploy> = {}): GatewayToDeploy => ({
	name: "gw",
	namespace: "shop",
	uid: "u",
	className: "istio",
	deploymentName: "gw-istio",
	labels: {},
	annotations: {},
	ownAnnotations: {},
	listeners: [{ name: "http", port: 80, protocol: "HTTP" }],
	address: undefined,
	parameters: [],
	...parts,
});

function build(parts: Partial<GatewayToDeploy> = {}) {
	const result = buildGatewayObjects(gateway(parts), settings, { namespace: { name: "shop", labels: { "istio-injection": "disabled" } } });
	if (result.kind !== "built") throw new Error(result.message);
	return result;
}

const problem = (parts: Partial<GatewayToDeploy>): string => {
	const result = buildGatewayObjects(gateway(parts), settings, { namespace: { name: "shop" } });
	return result.kind === "error" ? result.message : "none";
};

const at = (value: unknown, ...path: readonly (string | number)[]): unknown =>
	path.reduce<unknown>((inner, key) => (inner as Readonly<Record<string | number, unknown>>)[key], value);
const parameter = (data: Readonly<Record<string, string>>) => ({ parameters: [{ from: "ConfigMap shop/own", data }] });

test("the pods are gateway proxies that no webhook injects again, and hold to the restricted standard", () => {
	const template = at(build().parts.deployment, "spec", "template") as JsonObject;
	assert.equal(at(template, "metadata", "labels", "sidecar.istio.io/inject"), "false");
	assert.equal(at(template, "metadata", "labels", "service.istio.io/canonical-name"), "gw-istio");
	assert.deepEqual(
		Object.keys(at(template, "metadata", "annotations") as object).filter(
			(name) => name.includes("overrides") || name.includes("inject") || name.includes("status"),
		),
		[],
	);
	const proxy = at(template, "spec", "containers", 0);
	assert.deepEqual((at(proxy, "args") as readonly string[]).slice(0, 2), ["proxy", "router"]);
	assert.equal(at(proxy, "image"), "weft.dev/proxy:0.1.0");
	assert.deepEqual(at(proxy, "securityContext", "capabilities"), { drop: ["ALL"] });
	assert.equal(at(template, "spec", "securityContext", "runAsNonRoot"), true);
	assert.deepEqual(at(template, "spec", "securityContext", "sysctls"), [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }]);
	assert.deepEqual(at(build().parts.deployment, "spec", "selector", "matchLabels"), { "gateway.networking.k8s.io/gateway-name": "gw" });
});

test("the Service has the status port and each port of the listeners once, under names that a port can have", () => {
	const listeners = [
		{ name: "a", port: 443, protocol: "HTTPS" },
		{ name: "b", port: 443, protocol: "HTTPS" },
		{ name: "x.Y_", port: 9000, protocol: "TCP" },
		{ name: "...", port: 9001, protocol: "TCP" },
	];
	const ports = at(build({ listeners }).parts.service, "spec", "ports") as readonly JsonObject[];
	assert.deepEqual(
		ports.map(({ name, port, appProtocol }) => [name, port, appProtocol]),
		[
			["status-port", 15021, "tcp"],
			["a", 443, "https"],
			["x-y", 9000, "tcp"],
			["tcp-9001", 9001, "tcp"],
		],
	);
});

test("type, address and service account are the Gateway's to say", () => {
	assert.deepEqual(
		[at(build().parts.service, "spec", "type"), at(build({ address: "192.0.2.1" }).parts.service, "spec", "loadBalancerIP")],
		["LoadBalancer", "192.0.2.1"],
	);
	const internal = build({ annotations: { "networking.istio.io/service-type": "ClusterIP" }, address: "192.0.2.1" }).parts.service;
	assert.deepEqual([at(internal, "spec", "type"), at(internal, "spec", "loadBalancerIP")], ["ClusterIP", undefined]);
	const { parts } = build({
		ownAnnotations: { "gateway.istio.io/service-account": "edge" },
		annotations: { "gateway.istio.io/service-account": "edge", kept: "1" },
	});
	assert.equal(parts.serviceAccount, undefined);
	assert.equal(at(parts.deployment, "spec", "template", "spec", "serviceAccountName"), "edge");
	assert.deepEqual(at(parts.deployment, "metadata", "annotations"), { kept: "1" });
});

test("parameters are strategic patches: containers by name, ports by port; names and owner stay", () => {
	const { parts, warnings } = build(
		parameter({
			deployment:
				"metadata: {name: other, labels: {x: y}}\nspec: {template: {spec: {containers: [{name: istio-proxy, resources: {limits: {cpu: 1}}}, {name: helper, image: h}]}}}",
			service: "spec: {ports: [{port: 80, nodePort: 30080}]}",
			podDisruptionBudget: "spec: {minAvailable: 1}",
			typo: "",
		}),
	);
	assert.deepEqual([at(parts.deployment, "metadata", "name"), at(parts.deployment, "metadata", "labels", "x")], ["gw-istio", "y"]);
	assert.equal(at(parts.deployment, "metadata", "ownerReferences", 0, "uid"), "u");
	const containers = at(parts.deployment, "spec", "template", "spec", "containers") as readonly JsonObject[];
	assert.deepEqual(
		containers.map(({ name }) => name),
		["istio-proxy", "helper"],
	);
	assert.equal(at(containers[0], "resources", "limits", "cpu"), 1);
	assert.equal(at(containers[0], "args", 1), "router");
	const ports = at(parts.service, "spec", "ports") as readonly JsonObject[];
	assert.deepEqual(
		ports.find(({ port }) => port === 80),
		{ name: "http", port: 80, protocol: "TCP", appProtocol: "http", nodePort: 30080 },
	);
	assert.equal(ports.length, 2);
	assert.deepEqual(at(parts.podDisruptionBudget, "spec"), { selector: { matchLabels: { "gateway.networking.k8s.io/gateway-name": "gw" } }, minAvailable: 1 });
	assert.equal(parts.horizontalPodAutoscaler, undefined);
	assert.match(warnings.join(), /there is no part "typo"/);
});

test("what cannot be deployed says why", () => {
	assert.match(problem(parameter({ deployment: "spec: [" })), /^ConfigMap shop\/own, deployment: /);
	assert.match(problem(parameter({ service: "text" })), /service: expected an object/);
	assert.match(problem({ deploymentName: "x".repeat(64) }), /63 characters at most/);
	assert.match(problem({ name: "x".repeat(64) }), /cannot hold the name/);
	assert.match(problem({ namespace: "kube-system", annotations: { "networking.istio.io/service-type": "None" } }), /"None" is none of/);
});
