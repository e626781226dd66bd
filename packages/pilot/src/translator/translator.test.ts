import assert from "node:assert/strict";
import { beforeEach, suite, test } from "node:test";
import type { AnyConfig } from "@weft/api";
import { createStore, type Store } from "@weft/galley";
import { type SyntheticMesh, syntheticMesh } from "../../scripts/synthetic-mesh.ts";
import { buildPush } from "../model/build-push.ts";
import { decodeNode } from "../model/node.ts";
import type { PushSnapshot } from "../model/push.ts";
import { virtualHostStats } from "./routes/index.ts";
import { classViewOf } from "./class-view.ts";
import { stats } from "./encode.ts";
import { resourceView } from "./resource-view.ts";
import { translate } from "./translator.ts";

const services = 40;
const types = ["cds", "eds", "lds", "rds"] as const;
type Counts = Readonly<Record<(typeof types)[number], number>>;

/** Asks for everything on behalf of nodes `0 … count - 1`. */
function serveAll(mesh: SyntheticMesh, push: PushSnapshot, count: number): void {
	for (let index = 0; index < count; index++) {
		const view = resourceView(push, decodeNode(mesh.node(index), push));
		for (const name of view.all("cds").keys()) view.get("eds", name);
		view.all("lds");
		// A table is encoded when its bytes are asked for.
		assert.ok(view.get("rds", "80")?.bytes);
	}
}

function encodesDuring(run: () => void): Counts {
	const before = { ...stats.encodes };
	run();
	return { cds: stats.encodes.cds - before.cds, eds: stats.encodes.eds - before.eds, lds: stats.encodes.lds - before.lds, rds: stats.encodes.rds - before.rds };
}

suite("work done for a push", () => {
	let mesh: SyntheticMesh;
	let store: Store;
	let push: PushSnapshot;
	const rebuild = () => {
		push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" }, push);
	};
	const edit = (object: AnyConfig) => {
		store.apply({ source: "test", upsert: [object], remove: [] });
		rebuild();
	};

	beforeEach(() => {
		mesh = syntheticMesh(services);
		store = createStore();
		store.replaceSource("test", mesh.objects);
		push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
	});

	test("what was prepared for a class is there when its proxies ask, and an edit prepares what it was about", async () => {
		const waits: string[] = [];
		const turns = { next: () => void waits.push("") };
		const node = decodeNode(mesh.node(3), push);
		const assignments = () => {
			const view = resourceView(push, node);
			for (const name of view.all("cds").keys()) view.get("eds", name);
		};
		await classViewOf(push, node).prepare(turns);
		assert.ok(waits.length >= services, "a turn may end after each service");
		assert.equal(classViewOf(push, node).prepare(turns), undefined);
		const first = encodesDuring(assignments);
		assert.deepEqual({ cds: first.cds, eds: first.eds }, { cds: 1, eds: 0 }, "but its own inbound cluster");
		edit(mesh.editedServiceEntry(7, "10.250.0.9"));
		assert.equal(encodesDuring(() => void classViewOf(push, node).prepare(turns)).eds, 1);
		assert.deepEqual(encodesDuring(assignments), { cds: 0, eds: 0, lds: 0, rds: 0 });
	});

	test("where endpoints of all services change, a turn may end after those of each", async () => {
		let waits = 0;
		const turns = { next: () => void waits++ };
		const node = decodeNode(mesh.node(3), push);
		await classViewOf(push, node).prepare(turns);
		const objects = Array.from({ length: services }, (_, i) => mesh.editedServiceEntry(i, `10.250.1.${i}`));
		store.apply({ source: "test", upsert: objects, remove: [] });
		rebuild();
		waits = 0;
		await classViewOf(push, node).prepare(turns);
		const assignments = 40 + 16;
		assert.ok(waits >= services + assignments, `${waits} turns could end`);
		edit(mesh.editedServiceEntry(7, "10.250.0.9"));
		waits = 0;
		await classViewOf(push, node).prepare(turns);
		assert.ok(waits < 5, `${waits} for one service`);
	});

	test("twenty times the proxies of the same classes cost no outbound resource more", () => {
		const first = encodesDuring(() => serveAll(mesh, push, 10));
		// 40 services, 8 of them with two subsets; 3 fixed clusters; 10 inbound ones.
		assert.deepEqual({ cds: first.cds, eds: first.eds, rds: first.rds }, { cds: 40 + 16 + 3 + 10, eds: 40 + 16, rds: 10 });
		const more = encodesDuring(() => {
			for (let round = 0; round < 20; round++) serveAll(mesh, push, 10);
		});
		assert.deepEqual(more, { cds: 0, eds: 0, lds: 0, rds: 0 });
	});

	test("a VirtualService edit rebuilds its own virtual host and the tables that hold it", () => {
		serveAll(mesh, push, services);
		edit(mesh.editedVirtualService(5, 9));
		const builds = virtualHostStats.builds;
		const counts = encodesDuring(() => serveAll(mesh, push, services));
		assert.deepEqual({ cds: counts.cds, eds: counts.eds, lds: counts.lds }, { cds: 0, eds: 0, lds: 0 });
		assert.equal(counts.rds, 10, "one table for each of the ten namespaces");
		assert.ok(virtualHostStats.builds - builds <= 10, `built ${virtualHostStats.builds - builds} virtual hosts`);
	});

	test("an endpoint change rebuilds the assignments of its service alone", () => {
		serveAll(mesh, push, services);
		edit(mesh.editedServiceEntry(7, "10.250.0.1"));
		assert.deepEqual(
			encodesDuring(() => serveAll(mesh, push, services)),
			{ cds: 0, eds: 1, lds: 0, rds: 0 },
		);
		edit(mesh.editedServiceEntry(10, "10.250.0.2"));
		// A subset whose endpoints are the same is encoded again, but its version tells that nothing changed.
		assert.deepEqual(
			encodesDuring(() => serveAll(mesh, push, services)),
			{ cds: 0, eds: 3, lds: 0, rds: 0 },
		);
	});

	test("a policy changes the listeners of the workloads that it is for, and nothing else of anybody", () => {
		serveAll(mesh, push, services);
		const policy = (name: string, spec: object) =>
			({
				apiVersion: "security.istio.io/v1",
				kind: "AuthorizationPolicy",
				metadata: { name, namespace: "ns-3", labels: {}, annotations: {} },
				spec,
			}) as AnyConfig;
		edit(policy("one", { selector: { matchLabels: { app: "svc-13" } } }));
		assert.deepEqual(
			encodesDuring(() => serveAll(mesh, push, services)),
			{ cds: 0, eds: 0, lds: 1, rds: 0 },
		);
		edit(policy("all", { action: "DENY", rules: [{ to: [{ operation: { ports: ["99"] } }] }] }));
		assert.deepEqual(
			encodesDuring(() => serveAll(mesh, push, services)),
			{ cds: 0, eds: 0, lds: 4, rds: 0 },
		);
		edit(mesh.editedVirtualService(5, 9));
		assert.equal(encodesDuring(() => serveAll(mesh, push, services)).lds, 0);
	});

	test("an EnvoyFilter changes the resources that it is about, of the workloads that it is for", () => {
		serveAll(mesh, push, services);
		const filter = (labels: Readonly<Record<string, string>>) =>
			({
				apiVersion: "networking.istio.io/v1alpha3",
				kind: "EnvoyFilter",
				metadata: { name: "f", namespace: "ns-3", labels: {}, annotations: {} },
				spec: {
					workloadSelector: { labels },
					configPatches: [
						{
							applyTo: "CLUSTER",
							match: { context: "SIDECAR_OUTBOUND", cluster: { service: "svc-7.ns-7.svc.cluster.local" } },
							patch: { operation: "MERGE", value: { connectTimeout: "7s" } },
						},
					],
				},
			}) as unknown as AnyConfig;
		edit(filter({ app: "svc-13" }));
		assert.deepEqual(
			encodesDuring(() => serveAll(mesh, push, services)),
			{ cds: 1, eds: 0, lds: 0, rds: 0 },
		);
		const before = [13, 23].map((index) => resourceView(push, decodeNode(mesh.node(index), push)).revision("cds"));
		edit(mesh.editedServiceEntry(7, "10.250.0.9"));
		const after = [13, 23].map((index) => resourceView(push, decodeNode(mesh.node(index), push)).revision("cds"));
		assert.deepEqual(
			after.map((revision, i) => revision === before[i]),
			[true, true],
		);
	});

	test("a change of policies with hundreds of workloads builds the listeners of one", () => {
		const many = 530;
		mesh = syntheticMesh(many);
		store.replaceSource("test", mesh.objects);
		const policy = (index: number, ports: readonly string[]) =>
			({
				apiVersion: "security.istio.io/v1",
				kind: "AuthorizationPolicy",
				metadata: { name: `svc-${index}`, namespace: `ns-${index % 10}`, labels: {}, annotations: {} },
				spec: { selector: { matchLabels: { app: `svc-${index}` } }, rules: [{ to: [{ operation: { ports } }] }] },
			}) as AnyConfig;
		store.apply({ source: "test", upsert: Array.from({ length: many }, (_, index) => policy(index, ["80"])), remove: [] });
		rebuild();
		const serve = () => {
			for (let index = 0; index < many; index++) resourceView(push, decodeNode(mesh.node(index), push)).all("lds");
		};
		serve();
		edit(policy(3, ["81"]));
		assert.equal(encodesDuring(serve).lds, 1);
	});

	test("a snapshot with nothing new gives views with the same revisions", () => {
		const before = resourceView(push, decodeNode(mesh.node(3), push));
		const revisions = types.map((type) => before.revision(type));
		rebuild();
		const after = resourceView(push, decodeNode(mesh.node(3), push));
		for (const [index, type] of types.entries()) assert.equal(after.revision(type), revisions[index], type);
	});

	test("an endpoint change gives a new revision to assignments and to nothing else", () => {
		const before = resourceView(push, decodeNode(mesh.node(3), push));
		const revisions = types.map((type) => before.revision(type));
		edit(mesh.editedServiceEntry(7, "10.250.0.3"));
		const after = resourceView(push, decodeNode(mesh.node(3), push));
		assert.deepEqual(
			types.filter((type, index) => after.revision(type) !== revisions[index]),
			["eds"],
		);
		const name = "outbound|80||svc-7.ns-7.svc.cluster.local";
		assert.notEqual(after.get("eds", name)?.version, before.get("eds", name)?.version);
	});

	test("an endpoint change at the proxy itself changes what it serves, and nobody else's listeners", () => {
		const [own, other] = [decodeNode(mesh.node(3), push), decodeNode(mesh.node(4), push)];
		const late = (address: string) => ({
			...mesh.editedServiceEntry(7, address),
			metadata: { name: "late", namespace: "ns-3", labels: {}, annotations: {} },
			spec: {
				hosts: ["late.example"],
				ports: [{ number: 81, name: "http", protocol: "HTTP", targetPort: 9090 }],
				resolution: "STATIC",
				endpoints: [{ address }],
			},
		});
		edit(late("10.250.0.4") as AnyConfig);
		const before = [own, other].map((node) => resourceView(push, node).all("lds"));
		assert.equal(resourceView(push, own).get("cds", "inbound|9090||"), undefined);
		edit(late(own.ip) as AnyConfig);
		assert.ok(resourceView(push, own).get("cds", "inbound|9090||"));
		const after = [own, other].map((node) => resourceView(push, node).all("lds"));
		assert.notEqual(after[0], before[0]);
		assert.equal(after[1], before[1]);
		edit(late("10.250.0.4") as AnyConfig);
		assert.equal(resourceView(push, own).get("cds", "inbound|9090||"), undefined);
	});

	test("a pod whose status alone changes leaves every part of the snapshot what it was", () => {
		const pod = (ready: string) => ({
			apiVersion: "v1",
			kind: "Pod",
			metadata: { name: "a", namespace: "ns-1", labels: { app: "a" }, annotations: {} },
			spec: { containers: [{ name: "a", image: "a" }] },
			status: { podIP: "10.9.9.9", phase: "Running", conditions: [{ type: "Ready", status: ready }] },
		});
		edit(pod("False") as AnyConfig);
		const { workloads, endpoints, services, caches } = push;
		// Longer than anything unused is remembered.
		for (let i = 0; i < 12; i++) rebuild();
		edit(pod("True") as AnyConfig);
		assert.deepEqual(
			[push.workloads === workloads, push.endpoints === endpoints, push.services === services, push.caches.scopes === caches.scopes],
			[true, true, true, true],
		);
	});

	test("the same input gives the same bytes, whatever came before", () => {
		serveAll(mesh, push, services);
		edit(mesh.editedVirtualService(5, 9));
		const grown = translate(push, decodeNode(mesh.node(5), push));
		const other = createStore();
		other.replaceSource("test", store.snapshot().all("ServiceEntry").concat());
		other.apply({ source: "test", upsert: [...store.snapshot().all("VirtualService"), ...store.snapshot().all("DestinationRule")], remove: [] });
		const fresh = buildPush({ snapshot: other.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
		const cold = translate(fresh, decodeNode(mesh.node(5), fresh));
		const versions = (t: typeof cold) =>
			[...t.cds.resources.values(), ...t.lds.resources.values(), t.rds("80")].map((resource) => [resource?.name, resource?.version]);
		assert.deepEqual(versions(grown), versions(cold));
	});

	test("resources are sorted by name", () => {
		const { cds, lds } = translate(push, decodeNode(mesh.node(5), push));
		for (const { resources } of [cds, lds]) assert.deepEqual([...resources.keys()], [...resources.keys()].sort());
	});
});
