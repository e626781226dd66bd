import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import type { ConfigObject } from "@weft/api";
import { createStore, decodeYaml, type Store } from "@weft/galley";
import { createLogger } from "@weft/runtime";
import { RefusedError, type XdsClient } from "@weft/xds/server";
import { Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { Registry } from "prom-client";
import { buildPush } from "../model/build-push.ts";
import { decodeNode } from "../model/node.ts";
import { manualClock } from "../test-clock.ts";
import { createAutoRegistration } from "./auto-registration.ts";
import { createStoreEntries, type WorkloadEntries } from "./workload-entries.ts";

const group = `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: reviews, namespace: shop}
spec:
  metadata: {labels: {app: reviews, tier: group}, annotations: {team: books}}
  template: {serviceAccount: reviews, ports: {http: 9080}, labels: {tier: template, class: vm}, network: vm-net}
`;
const entryYaml = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: reviews}}
`;
const startMs = Date.UTC(2027, 0, 1);
const graceMs = 10_000;

interface Mesh {
	readonly store: Store;
	readonly entries: WorkloadEntries;
	readonly clock: ReturnType<typeof manualClock>;
	readonly registrar: ReturnType<typeof createAutoRegistration>;
	entry(name?: string): ConfigObject<"WorkloadEntry"> | undefined;
	/** Of the endpoints behind reviews.example. */
	health(): readonly string[];
}

function createMesh({
	instance = "istiod-1",
	entries: wrap = (entries: WorkloadEntries) => entries,
	store = createStore(),
	clock = manualClock(startMs),
} = {}): Mesh {
	store.replaceSource("files", decodeYaml(`${group}---${entryYaml}`, "f.yaml").objects);
	const entries = wrap(createStoreEntries(store));
	const registrar = createAutoRegistration({
		entries,
		groupOf: (namespace, name) => store.snapshot().get("WorkloadGroup", namespace, name),
		instance,
		graceMs,
		clock,
		logger: createLogger({ level: "none" }),
		registry: new Registry(),
		signal: new AbortController().signal,
	});
	return {
		store,
		entries,
		clock,
		registrar,
		entry: (name = "reviews-10.0.0.7") => store.snapshot().get("WorkloadEntry", "shop", name),
		health() {
			const push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
			const [service] = push.servicesByHost.get("reviews.example") ?? [];
			assert.ok(service);
			return [...push.endpoints.of(service).values()].flat().map((endpoint) => `${endpoint.address}:${endpoint.port} ${endpoint.health}`);
		},
	};
}

interface Proxy {
	readonly metadata?: object;
	readonly namespace?: string;
	readonly serviceAccount?: string;
	readonly spiffeIds?: readonly string[] | undefined;
}

function proxy({ metadata = {}, namespace = "shop", serviceAccount = "reviews", ...rest }: Proxy = {}): XdsClient {
	const spiffeIds = "spiffeIds" in rest ? rest.spiffeIds : [`spiffe://cluster.local/ns/${namespace}/sa/${serviceAccount}`];
	const node = Node.fromPartial({
		id: `sidecar~10.0.0.7~vm-1.${namespace}~${namespace}.svc.cluster.local`,
		locality: { region: "r1", zone: "z1" },
		metadata: {
			AUTO_REGISTER_GROUP: "reviews",
			NAMESPACE: namespace,
			INSTANCE_IPS: "10.0.0.7,fd00::7",
			LABELS: { app: "reviews", version: "v2" },
			...metadata,
		},
	});
	return { node, peer: { address: "test", spiffeIds } } as unknown as XdsClient;
}

const probed = { PROXY_CONFIG: { readinessProbe: { httpGet: { port: 8080 } } } };

describe("a proxy of a WorkloadGroup connects", () => {
	test("its entry is made as istiod makes it, and is an endpoint", async () => {
		const { registrar, entry, health } = createMesh();
		await registrar.connected(proxy());
		assert.deepEqual(entry()?.metadata, {
			name: "reviews-10.0.0.7",
			namespace: "shop",
			labels: { app: "reviews", tier: "group", class: "vm", version: "v2" },
			annotations: {
				"istio.io/autoRegistrationGroup": "reviews",
				"istio.io/connectedAt": "2027-01-01T00:00:00.000Z",
				"istio.io/workloadController": "istiod-1",
				team: "books",
			},
		});
		assert.deepEqual(entry()?.spec, {
			address: "10.0.0.7",
			serviceAccount: "reviews",
			ports: { http: 9080 },
			labels: { app: "reviews", tier: "group", class: "vm", version: "v2" },
			network: "vm-net",
			locality: "r1/z1",
		});
		assert.deepEqual(health(), ["10.0.0.7:9080 HEALTHY"]);
	});

	test("network and IPv6 address are parts of the name; the network of the node counts", async () => {
		const { registrar, entry } = createMesh();
		await registrar.connected(proxy({ metadata: { INSTANCE_IPS: "fd00::7", NETWORK: "edge" } }));
		assert.equal(entry("reviews-fd00--7-edge")?.spec.network, "edge");
	});

	test("its own labels are those of the entry, by which policies select it", async () => {
		const { registrar, store } = createMesh();
		const client = proxy();
		await registrar.connected(client);
		const push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
		assert.deepEqual(decodeNode(client.node, push).labels, { app: "reviews", tier: "group", class: "vm", version: "v2" });
	});

	test("one that names no group is none of this", () => {
		assert.equal(createMesh().registrar.connected(proxy({ metadata: { AUTO_REGISTER_GROUP: undefined } })), undefined);
	});

	const refused: readonly { readonly what: string; readonly proxy: Proxy; readonly code: number; readonly message: RegExp }[] = [
		{ what: "of another service account", proxy: { serviceAccount: "web" }, code: status.PERMISSION_DENIED, message: /for service account reviews.*for web/ },
		{
			what: "whose certificate is of another namespace",
			proxy: { spiffeIds: ["spiffe://cluster.local/ns/evil/sa/reviews"] },
			code: status.PERMISSION_DENIED,
			message: /namespace evil/,
		},
		{ what: "without a certificate", proxy: { spiffeIds: undefined }, code: status.PERMISSION_DENIED, message: /needs a certificate/ },
		{ what: "with none that was believed", proxy: { spiffeIds: [] }, code: status.PERMISSION_DENIED, message: /namespace none/ },
		{
			what: "of a group that is not there",
			proxy: { metadata: { AUTO_REGISTER_GROUP: "x" } },
			code: status.FAILED_PRECONDITION,
			message: /no WorkloadGroup shop\/x/,
		},
	];
	for (const { what, proxy: question, code, message } of refused) {
		test(`one ${what} is refused, and no entry is made`, async () => {
			const { registrar, store } = createMesh();
			await assert.rejects(registrar.connected(proxy(question)) ?? Promise.resolve(), (error) => {
				assert.ok(error instanceof RefusedError);
				assert.equal(error.code, code);
				assert.match(error.message, message);
				return true;
			});
			assert.deepEqual(store.snapshot().all("WorkloadEntry"), []);
		});
	}

	test("while entries cannot be written it is refused for now", async () => {
		const { registrar } = createMesh({ entries: (entries) => ({ ...entries, create: () => Promise.reject(new Error("the API server is away")) }) });
		await assert.rejects(registrar.connected(proxy()) ?? Promise.resolve(), (error) => error instanceof RefusedError && error.code === status.UNAVAILABLE);
	});

	test("somebody else's entry of the name is not taken over", async () => {
		const { registrar, entries } = createMesh();
		await registrar.connected(proxy());
		const stored = await entries.read({ namespace: "shop", name: "reviews-10.0.0.7" });
		assert.ok(stored);
		await entries.change({ namespace: "shop", name: "reviews-10.0.0.7" }, stored.revision, {}, { ...stored.spec, serviceAccount: "other" });
		await assert.rejects(registrar.connected(proxy()) ?? Promise.resolve(), /for service account other/);
	});
});

describe("a proxy disconnects", () => {
	test("its entry is kept for the grace period, then removed", async () => {
		const { registrar, entry, clock } = createMesh();
		const client = proxy();
		await registrar.connected(client);
		await clock.advance(1_000);
		registrar.disconnected(client);
		await clock.advance(graceMs - 1);
		assert.equal(entry()?.metadata.annotations["istio.io/disconnectedAt"], "2027-01-01T00:00:01.000Z");
		assert.equal(entry()?.metadata.annotations["istio.io/connectedAt"], undefined);
		await clock.advance(1);
		assert.equal(entry(), undefined);
	});

	test("back in time it keeps its entry", async () => {
		const { registrar, entry, clock } = createMesh();
		const client = proxy();
		await registrar.connected(client);
		registrar.disconnected(client);
		await clock.advance(5_000);
		await registrar.connected(proxy());
		await clock.advance(60_000);
		assert.equal(entry()?.metadata.annotations["istio.io/disconnectedAt"], undefined);
		assert.equal(entry()?.metadata.annotations["istio.io/connectedAt"], "2027-01-01T00:00:05.000Z");
	});

	test("the old stream's end after the new one has begun means nothing", async () => {
		const { registrar, entry, clock } = createMesh();
		const [old, fresh] = [proxy(), proxy()];
		await registrar.connected(old);
		await clock.advance(10);
		await registrar.connected(fresh);
		registrar.disconnected(old);
		await clock.advance(60_000);
		assert.ok(entry()?.metadata.annotations["istio.io/connectedAt"]);
	});

	test("one that ended before it was registered leaves nothing behind", async () => {
		const { registrar, entry, clock } = createMesh();
		const client = proxy();
		const registering = registrar.connected(client);
		registrar.disconnected(client);
		await registering;
		await clock.advance(60_000);
		assert.equal(entry(), undefined);
	});

	test("while nothing can be written it is told to come again, and what is missed is made up for", async () => {
		let isAway = false;
		const { registrar, entry, clock, health } = createMesh({
			entries: (entries) => ({
				...entries,
				read: async (ref) => (isAway ? Promise.reject(new Error("away")) : entries.read(ref)),
				setConditions: async (ref, conditions) => (isAway ? Promise.reject(new Error("away")) : entries.setConditions(ref, conditions)),
			}),
		});
		const client = proxy({ metadata: probed });
		await registrar.connected(client);
		registrar.health(client, undefined);
		await clock.advance(1);
		isAway = true;
		registrar.health(client, "full");
		await clock.advance(600_000);
		assert.deepEqual(health(), ["10.0.0.7:9080 HEALTHY"]);
		isAway = false;
		await clock.advance(60_000);
		assert.deepEqual(health(), ["10.0.0.7:9080 UNHEALTHY"]);
		isAway = true;
		registrar.disconnected(client);
		for (let i = 0; i < 3; i++) {
			const again = proxy({ metadata: probed });
			await assert.rejects(registrar.connected(again) ?? Promise.resolve(), (error) => error instanceof RefusedError && error.code === status.UNAVAILABLE);
			registrar.disconnected(again);
			await clock.advance(100_000);
		}
		assert.ok(entry()?.metadata.annotations["istio.io/connectedAt"]);
		isAway = false;
		await clock.advance(60_000);
		assert.equal(entry(), undefined);
	});

	test("what cannot be written is tried again", async () => {
		let failures = 3;
		const flaky = (entries: WorkloadEntries): WorkloadEntries => ({
			...entries,
			change: async (...args) => {
				if (failures-- > 0) throw new Error("away");
				return entries.change(...args);
			},
		});
		const { registrar, entry, clock } = createMesh({ entries: flaky });
		const client = proxy();
		await registrar.connected(client);
		registrar.disconnected(client);
		await clock.advance(60_000);
		assert.equal(entry(), undefined);
	});
});

describe("two replicas over the same entries", () => {
	function twoReplicas() {
		const a = createMesh();
		const b = createMesh({ instance: "istiod-2", store: a.store, clock: a.clock, entries: () => a.entries });
		return { a, b };
	}

	test("the one that a proxy left does not mark what the other has taken over", async () => {
		const { a, b } = twoReplicas();
		const client = proxy();
		await a.registrar.connected(client);
		await a.clock.advance(10);
		await b.registrar.connected(proxy());
		a.registrar.disconnected(client);
		await a.clock.advance(60_000);
		assert.equal(a.entry()?.metadata.annotations["istio.io/workloadController"], "istiod-2");
		assert.equal(a.entry()?.metadata.annotations["istio.io/disconnectedAt"], undefined);
	});

	test("the leader ends what a replica that is gone could not", async () => {
		const { a, b } = twoReplicas();
		await a.registrar.connected(proxy());
		const sweep = (isGone: boolean) => b.registrar.sweep(a.store.snapshot().all("WorkloadEntry"), () => isGone);
		await sweep(false);
		assert.equal(a.entry()?.metadata.annotations["istio.io/disconnectedAt"], undefined, "a replica that is there looks after its own");
		await sweep(true);
		assert.ok(a.entry()?.metadata.annotations["istio.io/disconnectedAt"]);
		await a.clock.advance(graceMs);
		assert.equal(a.entry(), undefined);
	});
});

describe("health", () => {
	test("of a probed workload: none until it is told, then as it is told, with Istio's condition", async () => {
		const { registrar, entry, health, clock } = createMesh();
		const client = proxy({ metadata: probed });
		await registrar.connected(client);
		assert.deepEqual(health(), ["10.0.0.7:9080 UNHEALTHY"]);
		registrar.health(client, undefined);
		await clock.advance(1_000);
		assert.deepEqual(health(), ["10.0.0.7:9080 HEALTHY"]);
		registrar.health(client, "HTTP status 503");
		await clock.advance(1);
		assert.deepEqual(health(), ["10.0.0.7:9080 UNHEALTHY"]);
		assert.deepEqual(entry()?.status, {
			conditions: [
				{
					type: "Healthy",
					status: "False",
					lastProbeTime: "2027-01-01T00:00:01.000Z",
					lastTransitionTime: "2027-01-01T00:00:01.000Z",
					message: "HTTP status 503",
				},
			],
		});
		assert.equal(entry()?.metadata.annotations["proxy.istio.io/health-checks-enabled"], "true");
	});

	test("however often it changes, one write waits; the same again is none", async () => {
		const written: string[] = [];
		let release = () => {};
		const gate = new Promise<void>((resolve) => (release = resolve));
		const slow = (entries: WorkloadEntries): WorkloadEntries => ({
			...entries,
			setConditions: async (ref, conditions) => {
				written.push(conditions[0]?.message ?? "healthy");
				await gate;
				return entries.setConditions(ref, conditions);
			},
		});
		const { registrar, health, clock } = createMesh({ entries: slow });
		const client = proxy({ metadata: probed });
		await registrar.connected(client);
		for (let i = 0; i < 100; i++) registrar.health(client, `problem ${i}`);
		await clock.advance(1);
		for (let i = 0; i < 100; i++) registrar.health(client, i === 99 ? undefined : `later ${i}`);
		release();
		await clock.advance(1);
		registrar.health(client, undefined);
		await clock.advance(1);
		assert.deepEqual(written, ["problem 99", "healthy"]);
		assert.deepEqual(health(), ["10.0.0.7:9080 HEALTHY"]);
	});

	test("goes into an entry that was written by hand, where the proxy names it and it asks for checks; the entry stays", async () => {
		const { registrar, entries, clock, health, store } = createMesh();
		const byHand = (checks: string) => ({
			apiVersion: "networking.istio.io/v1",
			kind: "WorkloadEntry" as const,
			metadata: { name: "mine", namespace: "shop", labels: {}, annotations: { "proxy.istio.io/health-checks-enabled": checks } },
			spec: { address: "10.0.0.7", serviceAccount: "reviews", labels: { app: "reviews" } },
		});
		const named = () => proxy({ metadata: { AUTO_REGISTER_GROUP: undefined, WORKLOAD_ENTRY: "mine" } });
		await registrar.connected(named());
		assert.deepEqual(store.snapshot().all("WorkloadEntry"), [], "none is made");
		await entries.create(byHand("true"));
		const client = named();
		await registrar.connected(client);
		assert.deepEqual(health(), ["10.0.0.7:80 UNHEALTHY"]);
		registrar.health(client, undefined);
		await clock.advance(1);
		assert.deepEqual(health(), ["10.0.0.7:80 HEALTHY"]);
		await assert.rejects(
			registrar.connected(proxy({ serviceAccount: "web", metadata: { AUTO_REGISTER_GROUP: undefined, WORKLOAD_ENTRY: "mine" } })) ?? Promise.resolve(),
			/for service account reviews/,
		);
		registrar.disconnected(client);
		await clock.advance(60_000);
		assert.ok(await entries.read({ namespace: "shop", name: "mine" }));
	});

	test("told by a stream that was replaced is not believed", async () => {
		const { registrar, health, clock } = createMesh();
		const [old, fresh] = [proxy({ metadata: probed }), proxy({ metadata: probed })];
		await registrar.connected(old);
		await registrar.connected(fresh);
		registrar.disconnected(old);
		registrar.health(old, undefined);
		await clock.advance(1);
		assert.deepEqual(health(), ["10.0.0.7:9080 UNHEALTHY"]);
	});
});

test("a WorkloadEntry in a file comes before a registered one of its name", async () => {
	const { registrar, store, entry } = createMesh();
	const byHand = `apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: reviews-10.0.0.7, namespace: shop}\nspec: {address: 10.0.0.8}\n`;
	store.replaceSource("files", decodeYaml(`${group}---${entryYaml}---\n${byHand}`, "f.yaml").objects);
	await registrar.connected(proxy());
	assert.equal(entry()?.spec.address, "10.0.0.8");
	store.replaceSource("files", decodeYaml(`${group}---${entryYaml}`, "f.yaml").objects);
	assert.equal(entry()?.spec.address, "10.0.0.7");
});
