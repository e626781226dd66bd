import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { createStore, type Store } from "@weft/galley";
import { buildGatewayObjects, decodeInjectorSettings, type InjectorSettings, isRevision } from "@weft/injector";
import { type KubeObject, resourceOf, resources } from "@weft/kube";
import { type FakeApiServer, startFakeApiServer, until } from "@weft/kube/testing";
import { createLogger, systemClock } from "@weft/runtime";
import { deployGateways } from "./gateway-deployments.ts";
import { keepGatewayClass } from "./gateway-class.ts";
import { startKubernetesSource } from "./source.ts";

const namespace = "istio-system";
const types = {
	deployment: resourceOf("Deployment"),
	service: resourceOf("Service"),
	account: resourceOf("ServiceAccount"),
	gateway: resourceOf("KubernetesGateway"),
};

let api: FakeApiServer;
let store: Store;
let stop: AbortController;
let log: string[];
let settings: InjectorSettings;
let done: Promise<void>;
/** `kind/name` of every object that was written over the network. */
let writes: string[];

const settingsOf = (values: object = {}): InjectorSettings =>
	decodeInjectorSettings({ valuesJson: JSON.stringify(values), configYaml: "", meshConfig: {}, revision: "" }).value;

beforeEach(async () => {
	api = await startFakeApiServer();
	store = createStore();
	stop = new AbortController();
	log = [];
	writes = [];
	settings = settingsOf();
	api.admit = (object) => {
		writes.push(`${String(object["kind"])}/${(object["metadata"] as KubeObject["metadata"]).name}`);
		return undefined;
	};
	for (const name of ["shop", namespace]) api.put(resourceOf("Namespace"), { metadata: { name } });
	const logger = createLogger({ write: (line) => log.push(line) });
	const common = { client: api.client, store, clock: systemClock, logger, signal: stop.signal };
	const source = startKubernetesSource({ ...common, revision: "", secretNamespaces: undefined });
	await until("the cluster is read", () => source.waitingFor().length === 0);
	const options = { ...common, builder: { buildGatewayObjects, isRevision }, settings: () => settings, namespace, podName: "istiod-1", revision: "" };
	done = deployGateways(options, stop.signal);
});

afterEach(async () => {
	stop.abort();
	await done;
	api.close();
});

const listener = (name: string, port: number, protocol = "HTTP") => ({ name, port, protocol });
const gateway = (name: string, spec: object = {}, metadata: object = {}): KubeObject => ({
	metadata: { name, namespace: "shop", ...metadata },
	spec: { gatewayClassName: "istio", listeners: [listener("http", 80)], ...spec },
});
const get = (type: keyof typeof types, name: string) => api.get(types[type], "shop", name);
const portsOf = (name: string) =>
	(get("service", name)?.["spec"] as { readonly ports: readonly { readonly name: string; readonly port: number }[] } | undefined)?.ports.map(
		({ name: of, port }) => `${of} ${port}`,
	);
const specOf = (type: keyof typeof types, name: string) => (get(type, name)?.["spec"] ?? {}) as Readonly<Record<string, unknown>>;
const said = (words: string) => log.some((line) => line.includes(words));

test("a Gateway gets a Deployment, a Service and a service account that go with it", async () => {
	const { metadata } = api.put(types.gateway, gateway("gw", {}, { labels: { team: "a" } }));
	await until("it is deployed", () => get("service", "gw-istio") !== undefined);
	for (const type of ["deployment", "service", "account"] as const) {
		const object = get(type, "gw-istio");
		assert.deepEqual(
			object?.metadata["ownerReferences"],
			[{ apiVersion: "gateway.networking.k8s.io/v1", kind: "Gateway", name: "gw", uid: metadata.uid }],
			type,
		);
		assert.equal(object?.metadata.labels?.["gateway.networking.k8s.io/gateway-name"], "gw", type);
		assert.equal(object?.metadata.labels?.["team"], "a", type);
	}
	assert.deepEqual(portsOf("gw-istio"), ["status-port 15021", "http 80"]);
});

test("what changes is applied, and nothing else is written", async () => {
	api.put(types.gateway, gateway("gw"));
	await until("it is deployed", () => get("service", "gw-istio") !== undefined);
	api.put(types.gateway, gateway("gw", { listeners: [listener("http", 80), listener("more", 8080)] }));
	await until("the new port is there", () => portsOf("gw-istio")?.includes("more 8080") === true);
	settings = settingsOf({ global: { hub: "example.org/weft", tag: "2" } });
	const hasImage = (image: string) => JSON.stringify(specOf("deployment", "gw-istio")).includes(`"image":"${image}"`);
	await until("the new image is there", () => hasImage("example.org/weft/proxy:2"));
	await until("all of it is applied", () => log.filter((line) => line.includes("gateway deployed")).length === 3);
	const before = writes.filter((name) => name.endsWith("/gw-istio")).length;
	api.put(resourceOf("Namespace"), { metadata: { name: "shop", annotations: { a: "b" } } });
	api.put(types.gateway, gateway("second"));
	await until("another is deployed", () => get("service", "second-istio") !== undefined);
	assert.equal(writes.filter((name) => name.endsWith("/gw-istio")).length, before);
});

test("what somebody takes away or changes is mended", async () => {
	api.put(types.gateway, gateway("gw"));
	await until("it is deployed", () => get("service", "gw-istio") !== undefined);
	for (const type of ["deployment", "service", "account"] as const) {
		await until(
			`the store and the watch know the ${type}`,
			() => type === "deployment" || store.snapshot().get(type === "service" ? "Service" : "ServiceAccount", "shop", "gw-istio") !== undefined,
		);
		api.remove(types[type], "shop", "gw-istio");
		await until(`the ${type} is back`, () => get(type, "gw-istio") !== undefined);
	}
	const present = get("service", "gw-istio") as KubeObject;
	api.put(types.service, { ...present, spec: { ...(present["spec"] as object), selector: { app: "other" } } });
	await until("the selector is back", () => JSON.stringify(get("service", "gw-istio")?.["spec"]).includes('"gateway.networking.k8s.io/gateway-name":"gw"'));
});

test("what is somebody else's is left as it is, and told", async () => {
	api.put(types.deployment, { metadata: { name: "gw-istio", namespace: "shop" }, spec: { replicas: 7 } });
	api.put(types.service, { metadata: { name: "second-istio", namespace: "shop" }, spec: { ports: [{ port: 1 }] } });
	api.put(types.account, { metadata: { name: "second-istio", namespace: "shop", annotations: { mine: "true" } } });
	api.put(types.gateway, gateway("gw"));
	api.put(types.gateway, gateway("second"));
	await until("both are told", () => said("Deployment shop/gw-istio is not this Gateway's") && said("Service shop/second-istio is not this Gateway's"));
	assert.deepEqual(get("deployment", "gw-istio")?.["spec"], { replicas: 7 });
	assert.equal(get("service", "gw-istio"), undefined);
	assert.deepEqual(get("service", "second-istio")?.["spec"], { ports: [{ port: 1 }] });
	assert.notEqual(get("deployment", "second-istio"), undefined);
	assert.equal(get("account", "second-istio")?.metadata["ownerReferences"], undefined);
});

test("parameters are merged over it, of the class first; what only they ask for goes with them", async () => {
	const config = (name: string, data: object, of = "shop", labels = {}): KubeObject => ({ metadata: { name, namespace: of, labels }, data });
	api.put(
		resources.configMaps,
		config("defaults", { deployment: "spec: {replicas: 2}", service: "spec: {type: ClusterIP}" }, namespace, {
			"gateway.istio.io/defaults-for-class": "istio",
		}),
	);
	const own = { infrastructure: { parametersRef: { group: "", kind: "ConfigMap", name: "own" }, labels: { a: "b" }, annotations: { c: "d" } } };
	api.put(types.gateway, gateway("gw", own, { labels: { not: "copied" } }));
	await until("it is told that they are missing", () => said("ConfigMap shop/own of parametersRef not found"));
	assert.equal(get("deployment", "gw-istio"), undefined);
	api.put(resources.configMaps, config("own", { deployment: "spec: {replicas: 3}", horizontalPodAutoscaler: "spec: {maxReplicas: 9}" }));
	await until("it is deployed", () => get("service", "gw-istio") !== undefined);
	assert.equal(specOf("deployment", "gw-istio")["replicas"], 3);
	assert.equal(specOf("service", "gw-istio")["type"], "ClusterIP");
	assert.deepEqual([get("service", "gw-istio")?.metadata.labels?.["a"], get("service", "gw-istio")?.metadata.labels?.["not"]], ["b", undefined]);
	assert.equal(get("service", "gw-istio")?.metadata.annotations?.["c"], "d");
	const scaler = () => api.get(resources.horizontalPodAutoscalers, "shop", "gw-istio");
	await until("it is scaled", () => scaler() !== undefined);
	api.put(resources.configMaps, config("own", { deployment: "spec: {replicas: 3}" }));
	await until("nothing scales it any more", () => scaler() === undefined);
});

test("only Gateways of this controller, of this revision and without Services of their own are deployed", async () => {
	api.put(types.gateway, gateway("class", { gatewayClassName: "other" }));
	api.put(types.gateway, gateway("manual", { addresses: [{ type: "Hostname", value: "edge" }] }));
	api.put(resourceOf("Namespace"), { metadata: { name: "canary", labels: { "istio.io/rev": "canary" } } });
	api.put(types.gateway, gateway("canary", {}, { namespace: "canary" }));
	api.put(types.gateway, gateway("own", {}, { namespace: "canary", labels: { "istio.io/rev": "default" } }));
	await until("the one that asks for us is deployed", () => api.get(types.deployment, "canary", "own-istio") !== undefined);
	assert.deepEqual(
		writes.filter((name) => name.startsWith("Deployment/")),
		["Deployment/own-istio"],
	);
});

test("a Gateway that cannot be deployed is told of; one that is refused is tried again", async () => {
	api.put(types.gateway, gateway("typed", {}, { annotations: { "networking.istio.io/service-type": "External" } }));
	await until("it is told", () => said('\\"External\\" is none of LoadBalancer, ClusterIP, NodePort'));
	let refusals = 0;
	const { admit } = api;
	api.admit = (object) => (object["kind"] === "Deployment" && refusals++ < 2 ? "quota" : admit(object));
	api.put(types.gateway, gateway("gw"));
	await until("it is deployed in the end", () => get("service", "gw-istio") !== undefined);
	assert.equal(said("quota"), true);
});

test("nothing is made for a Gateway that goes", async () => {
	const object = api.put(types.gateway, gateway("gw", { gatewayClassName: "later" }));
	await until("it is known", () => store.snapshot().get("KubernetesGateway", "shop", "gw") !== undefined);
	api.put(types.gateway, { ...object, spec: gateway("gw")["spec"], metadata: { ...object.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } });
	api.put(types.gateway, gateway("other"));
	await until("the other is deployed", () => get("service", "other-istio") !== undefined);
	assert.equal(get("deployment", "gw-istio"), undefined);
});

test("the class istio is there where the Gateway API is, and one of the user's is left as it is", async () => {
	const type = resourceOf("GatewayClass");
	const ending = new AbortController();
	const kept = keepGatewayClass({ client: api.client, store, clock: systemClock, logger: createLogger({ level: "none" }), signal: ending.signal });
	await until("it is there", () => api.get(type, "", "istio") !== undefined);
	assert.match(JSON.stringify(api.get(type, "", "istio")), /"controllerName":"istio.io\/gateway-controller"/);
	ending.abort();
	await kept;
});
