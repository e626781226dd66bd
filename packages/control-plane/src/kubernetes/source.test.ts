import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { createStore, type Store } from "@weft/galley";
import { type KubeObject, resourceOf } from "@weft/kube";
import { type FakeApiServer, startFakeApiServer, until } from "@weft/kube/testing";
import { createLogger, systemClock } from "@weft/runtime";
import { type KubernetesSource, startKubernetesSource } from "./source.ts";

let api: FakeApiServer;
let store: Store;
let stop: AbortController;

beforeEach(async () => {
	api = await startFakeApiServer();
	store = createStore();
	stop = new AbortController();
});

afterEach(() => {
	stop.abort();
	api.close();
});

function start(extra: { readonly revision?: string; readonly secretNamespaces?: readonly string[] } = {}): KubernetesSource {
	const { revision = "default", secretNamespaces } = extra;
	const logger = createLogger({ level: "none" });
	return startKubernetesSource({ client: api.client, store, revision, secretNamespaces, clock: systemClock, logger, signal: stop.signal });
}

const settled = (source: KubernetesSource) => until("the cluster is read", () => source.waitingFor().length === 0);
const names = (kind: "Secret" | "VirtualService") =>
	store
		.snapshot()
		.all(kind)
		.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);

const rule = (name: string, labels: Readonly<Record<string, string>> = {}): KubeObject => ({
	metadata: { name, namespace: "default", labels },
	spec: { hosts: [name], http: [{ route: [{ destination: { host: name } }] }] },
});

test("configuration of another revision is left out, and taken in when its label says so", async () => {
	const rules = resourceOf("VirtualService");
	api.put(rules, rule("everybody"));
	api.put(rules, rule("mine", { "istio.io/rev": "canary" }));
	api.put(rules, rule("other", { "istio.io/rev": "default" }));
	await settled(start({ revision: "canary" }));
	assert.deepEqual(names("VirtualService"), ["default/everybody", "default/mine"]);
	api.put(rules, rule("other", { "istio.io/rev": "canary" }));
	await until("it is taken in", () => names("VirtualService").includes("default/other"));
	api.put(rules, rule("mine", { "istio.io/rev": "default" }));
	await until("it is left out", () => !names("VirtualService").includes("default/mine"));
});

const secret = (name: string, namespace: string, data: Readonly<Record<string, string>>) =>
	api.put(resourceOf("Secret"), { metadata: { name, namespace }, type: "Opaque", data });

test("of Secrets only certificates are held, and only where they are looked for", async () => {
	secret("cert", "edge", { "tls.crt": "eA==", "tls.key": "eA==" });
	secret("generic", "edge", { cert: "eA==", key: "eA==" });
	secret("password", "edge", { password: "eA==" });
	secret("cert", "elsewhere", { "tls.crt": "eA==", "tls.key": "eA==" });
	await settled(start({ secretNamespaces: ["edge"] }));
	assert.deepEqual(names("Secret"), ["edge/cert", "edge/generic"]);
	secret("password", "edge", { "tls.crt": "eA==", "tls.key": "eA==" });
	await until("it has become a certificate", () => names("Secret").includes("edge/password"));
});

test("a mesh does not wait for Secrets that may not be read, nor for kinds without CRD; for services it does", async () => {
	api.forbidden.add("secrets");
	api.missing.add("sidecars");
	await settled(start());
	stop.abort();
	stop = new AbortController();
	api.forbidden.add("services");
	const source = start();
	await until("the rest is read", () => source.waitingFor().length === 1);
	assert.deepEqual(source.waitingFor(), ["Service"]);
});
