import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createStore, decodeYaml } from "@weft/galley";
import type { SpiffeId } from "@weft/pki";
import { createLogger } from "@weft/runtime";
import { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import { HealthStatus } from "@weft/xds/generated/envoy/config/core/v3/health_check.ts";
import { buildPush } from "../model/build-push.ts";
import { decodeNode } from "../model/node.ts";
import { manualClock } from "../test-clock.ts";
import { resourceView } from "../translator/resource-view.ts";
import { decodeInstance, type InstanceRequest } from "./instance-request.ts";
import { registeredWorkloads } from "./registered-workloads.ts";
import { createRegistrations, type Registered, type Refusal } from "./registrations.ts";
import { createStoreEntries, type WorkloadEntries } from "./workload-entries.ts";

const mesh = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {selector: {app: reviews}, ports: [{name: http, port: 80, targetPort: 9080}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ledger, namespace: shop}
spec:
  hosts: [ledger.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: ledger}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: ledger, namespace: shop}
spec: {metadata: {labels: {app: ledger}}, template: {serviceAccount: ledger}}
---
apiVersion: v1
kind: Service
metadata: {name: bare, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
`;
const web: SpiffeId = { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" };
const ttlMs = 30_000;
const startMs = Date.UTC(2027, 0, 1);

function createMesh({ limits = {}, yaml = mesh, entries: wrap = (entries: WorkloadEntries) => entries } = {}) {
	const clock = manualClock(startMs);
	const store = createStore();
	store.replaceSource("files", decodeYaml(yaml, "f.yaml").objects);
	const entries = wrap(createStoreEntries(store));
	const create = () => createRegistrations({ entries, snapshot: () => store.snapshot(), clock, logger: createLogger({ level: "none" }), ...limits });
	return {
		clock,
		store,
		entries,
		create,
		registrations: create(),
		workloads: () => registeredWorkloads(store.snapshot().all("WorkloadEntry")).map(({ name, health, message }) => `${name} ${health} ${message}`.trim()),
		/** Of `outbound|80||reviews…` as a proxy gets them. */
		endpoints() {
			const push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
			const node = decodeNode({ id: "sidecar~10.0.0.1~a.shop~shop.svc.cluster.local" }, push);
			const resource = resourceView(push, node).get("eds", "outbound|80||reviews.shop.svc.cluster.local");
			assert.ok(resource);
			return ClusterLoadAssignment.decode(resource.bytes).endpoints.flatMap(({ lbEndpoints }) =>
				lbEndpoints.map(({ endpoint, healthStatus }) => {
					const { address, portValue } = endpoint?.address?.socketAddress ?? {};
					return `${address}:${portValue}${healthStatus === HealthStatus.DRAINING ? " DRAINING" : ""}`;
				}),
			);
		},
	};
}

const request = (parts: object = {}): InstanceRequest => {
	const decoded = decodeInstance(JSON.stringify({ service: "reviews", address: "10.0.0.9", ...parts }), { namespace: "shop", allowsLoopback: false });
	assert.ok(decoded.ok, decoded.ok ? "" : decoded.reason);
	return decoded.value;
};
const reason = (outcome: Registered | Refusal | { readonly ok: true }) => (outcome.ok ? "ok" : `${outcome.code}: ${outcome.reason}`);

describe("the body of a registration", () => {
	const decode = (body: unknown, allowsLoopback = false) => {
		const text = typeof body === "string" ? body : JSON.stringify({ service: "reviews", address: "10.0.0.9", ...(body as object) });
		const decoded = decodeInstance(text, { namespace: "shop", allowsLoopback });
		return decoded.ok ? decoded.value : decoded.reason;
	};
	test("is the fields of a WorkloadEntry, and what else there is to say", () => {
		const body = { name: "r1", ports: { http: 1 }, labels: { a: "b" }, locality: "r/z", weight: 2, ttl: "1m", healthy: false, message: "full" };
		assert.deepEqual(decode(body), {
			service: "reviews",
			name: "r1",
			spec: { address: "10.0.0.9", ports: { http: 1 }, labels: { a: "b" }, locality: "r/z", weight: 2 },
			ttlMs: 60_000,
			problem: "full",
		});
	});
	test("an address of this machine itself only where all of the mesh is one machine", () => {
		assert.match(String(decode({ address: "127.0.0.1" })), /every machine itself/);
		assert.notEqual(typeof decode({ address: "127.0.0.1" }, true), "string");
	});
	const bad: readonly (readonly [unknown, RegExp])[] = [
		["{", /no JSON/],
		["[]", /no JSON object/],
		[{ port: 1 }, /no field port; there are service/],
		[{ service: "" }, /service:/],
		[{ name: 1 }, /name:/],
		[{ healthy: "yes" }, /healthy:/],
		[{ message: 1 }, /message:/],
		[{ ttl: "1s" }, /ttl: a duration from 5s to 600s/],
		[{ ttl: "1h" }, /ttl:/],
		[{ ttl: 30 }, /ttl:/],
		[{ address: "host.example" }, /address: an IP address/],
		[{ address: "fe80::1%eth0" }, /address:/],
		[{ address: "169.254.169.254" }, /nobody's own/],
		[{ address: "::ffff:169.254.169.254" }, /nobody's own/],
		[{ address: "0.0.0.0" }, /nobody's own/],
		[{ address: "255.255.255.255" }, /nobody's own/],
		[{ address: "::ffff:127.0.0.1" }, /every machine itself/],
		[{ ports: { http: 70_000 } }, /port/],
		[{ labels: { "a b": "c" } }, /label/],
		[{ weight: -1 }, /weight/],
	];
	for (const [body, message] of bad) test(`${JSON.stringify(body)} is refused`, () => assert.match(String(decode(body)), message));
});

describe("registering", () => {
	test("makes an instance of the service under the caller's identity, and an endpoint", async () => {
		const { registrations, store, endpoints } = createMesh();
		assert.deepEqual(await registrations.register(web, "shop", undefined, request({ ports: { http: 8080 }, labels: { version: "v9" } })), {
			ok: true,
			name: "reviews-10.0.0.9-8080",
			created: true,
			ttlMs,
		});
		const entry = store.snapshot().get("WorkloadEntry", "shop", "reviews-10.0.0.9-8080");
		assert.deepEqual(entry?.spec, {
			address: "10.0.0.9",
			ports: { http: 8080 },
			labels: { "security.istio.io/tlsMode": "disabled", version: "v9", app: "reviews" },
			serviceAccount: "web",
		});
		assert.equal(entry?.metadata.annotations["weft.dev/registered-by"], "spiffe://cluster.local/ns/shop/sa/web");
		assert.deepEqual(endpoints(), ["10.0.0.9:8080"]);
	});

	test("again is a heartbeat: nothing of the mesh changes", async () => {
		const { registrations, store, clock } = createMesh();
		await registrations.register(web, "shop", "r1", request());
		const before = store.snapshot();
		await clock.advance(10_000);
		assert.deepEqual(await registrations.register(web, "shop", "r1", request()), { ok: true, name: "r1", created: false, ttlMs });
		assert.equal(store.snapshot(), before);
	});

	test("with something else changes the instance", async () => {
		const { registrations, endpoints } = createMesh();
		await registrations.register(web, "shop", "r1", request({ labels: { old: "1" } }));
		await registrations.register(web, "shop", "r1", request({ address: "10.0.0.10" }));
		assert.deepEqual(endpoints(), ["10.0.0.10:9080"]);
	});

	test("an instance that says it is not healthy is not served, until it says it is", async () => {
		const { registrations, endpoints, workloads } = createMesh();
		await registrations.register(web, "shop", "r1", request({ healthy: false, message: "disk full" }));
		assert.deepEqual(endpoints(), []);
		assert.deepEqual(workloads(), ["r1 UNHEALTHY disk full"]);
		await registrations.register(web, "shop", "r1", request());
		assert.deepEqual(endpoints(), ["10.0.0.9:9080"]);
		assert.deepEqual(workloads(), ["r1 HEALTHY"]);
	});

	test("a host names a ServiceEntry, and a Service", async () => {
		const { registrations } = createMesh();
		const ledger = { ...web, serviceAccount: "ledger" };
		assert.equal(reason(await registrations.register(ledger, "shop", "l1", request({ service: "ledger.example" }))), "ok");
		assert.equal(reason(await registrations.register(web, "shop", "r1", request({ service: "reviews.shop.svc.cluster.local" }))), "ok");
	});
});

describe("who may", () => {
	const other: SpiffeId = { ...web, serviceAccount: "other" };
	const pod = `
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-1, namespace: shop, labels: {app: reviews}}
spec: {serviceAccountName: reviews, containers: []}
`;

	test("nobody in another namespace, nor for another service account", async () => {
		const { registrations } = createMesh();
		assert.match(reason(await registrations.register({ ...web, namespace: "evil" }, "shop", "r1", request())), /^forbidden: .*namespace evil/);
		assert.match(
			reason(await registrations.register(web, "shop", "r1", request({ serviceAccount: "reviews" }))),
			/^forbidden: .*account web registers nothing for reviews/,
		);
	});

	test("the owner alone renews and deregisters", async () => {
		const { registrations } = createMesh();
		await registrations.register(web, "shop", "r1", request());
		assert.match(reason(await registrations.register(other, "shop", "r1", request())), /^forbidden: .*sa\/web's/);
		assert.match(reason(await registrations.deregister(other, { namespace: "shop", name: "r1" })), /^forbidden/);
		assert.match(reason(await registrations.deregister({ ...web, namespace: "evil" }, { namespace: "shop", name: "r1" })), /^notFound/);
		assert.equal(reason(await registrations.deregister(web, { namespace: "shop", name: "r1" })), "ok");
		assert.match(reason(await registrations.deregister(web, { namespace: "shop", name: "r1" })), /^notFound/);
	});

	test("an identity that the service's own instances do not have takes no place among them", async () => {
		const { registrations } = createMesh({ yaml: mesh + pod });
		assert.match(
			reason(await registrations.register(web, "shop", "r1", request())),
			/^forbidden: instances of Service shop\/reviews run as reviews, not as web/,
		);
		assert.equal(reason(await registrations.register({ ...web, serviceAccount: "reviews" }, "shop", "r1", request())), "ok");
	});

	test("nor by labels that another service selects", async () => {
		const { registrations } = createMesh();
		const sneaky = request({ labels: { app: "ledger" } });
		assert.equal(reason(await registrations.register(web, "shop", "r1", sneaky)), "ok", "the selector of the service itself wins");
		const both = mesh.replace("selector: {app: reviews}", "selector: {role: reviews}");
		const denied = await createMesh({ yaml: both }).registrations.register(web, "shop", "r1", sneaky);
		assert.match(reason(denied), /^forbidden: instances of ServiceEntry shop\/ledger run as ledger/);
	});

	test("the annotation of the service decides where there is one, with the next heartbeat", async () => {
		const annotated = (accounts: string) =>
			mesh.replace(
				"{name: reviews, namespace: shop}",
				`{name: reviews, namespace: shop, annotations: {weft.dev/registration-service-accounts: "${accounts}"}}`,
			) + pod;
		const { registrations, store } = createMesh({ yaml: annotated("reviews, web") });
		assert.equal(reason(await registrations.register(web, "shop", "r1", request())), "ok");
		store.replaceSource("files", decodeYaml(annotated("reviews"), "f.yaml").objects);
		assert.match(reason(await registrations.register(web, "shop", "r1", request())), /takes registrations of reviews, not as web/);
		store.replaceSource("files", decodeYaml(annotated("*"), "f.yaml").objects);
		assert.equal(reason(await registrations.register(web, "shop", "r1", request())), "ok");
	});

	test("an entry that was not registered is not taken over", async () => {
		const { registrations, entries } = createMesh();
		await entries.create({
			apiVersion: "networking.istio.io/v1",
			kind: "WorkloadEntry",
			metadata: { name: "r1", namespace: "shop", labels: {}, annotations: {} },
			spec: { address: "10.0.0.1" },
		});
		assert.match(reason(await registrations.register(web, "shop", "r1", request())), /^conflict/);
		assert.match(reason(await registrations.deregister(web, { namespace: "shop", name: "r1" })), /^conflict/);
	});

	test("what a pod or a WorkloadEntry is already is not registered; declared later, it ends the registration", async () => {
		const declared = (name: string, extra: string) =>
			`---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: ${name}, namespace: shop}\nspec: {address: 10.0.0.9, labels: {app: reviews}${extra}}\n`;
		const { registrations, store, entries } = createMesh();
		assert.equal(reason(await registrations.register(web, "shop", "r1", request())), "ok");
		store.replaceSource("files", decodeYaml(mesh + declared("by-hand", ""), "f.yaml").objects);
		assert.equal(
			reason(await registrations.register(web, "shop", "r1", request())),
			"conflict: 10.0.0.9 is an instance already, by WorkloadEntry shop/by-hand",
		);
		assert.ok(await entries.read({ namespace: "shop", name: "r1" }), "it drains without heartbeats");
		store.replaceSource("files", decodeYaml(mesh + declared("by-hand", ", ports: {http: 1}"), "f.yaml").objects);
		assert.equal(reason(await registrations.register(web, "shop", "r1", request())), "ok", "two processes of one machine");
		const running = pod.replace("reviews, containers: []}", "web, containers: []}\nstatus: {podIP: 10.0.0.9}");
		store.replaceSource("files", decodeYaml(mesh + running, "f.yaml").objects);
		assert.equal(reason(await registrations.register(web, "shop", "r1", request())), "conflict: 10.0.0.9 is an instance already, by Pod shop/reviews-1");
		assert.equal(reason(await registrations.register(web, "shop", "r1", request({ address: "10.0.0.10" }))), "ok");
	});

	test("only so many instances", async () => {
		const { registrations } = createMesh({ limits: { instancesMax: 2, totalMax: 3 } });
		for (const name of ["r1", "r2"]) assert.equal(reason(await registrations.register(web, "shop", name, request())), "ok");
		assert.match(reason(await registrations.register(web, "shop", "r3", request())), /^tooMany: .*has 2 instances/);
		assert.equal(reason(await registrations.register(web, "shop", "r2", request())), "ok", "a heartbeat is no new one");
		assert.equal(reason(await registrations.register(other, "shop", "r3", request())), "ok");
		assert.match(reason(await registrations.register(other, "shop", "r4", request())), /^tooMany: there are 3/);
	});

	test("only so many at one time, too", async () => {
		const { registrations, store } = createMesh({ limits: { instancesMax: 2 } });
		const outcomes = await Promise.all(Array.from({ length: 10 }, (_, i) => registrations.register(web, "shop", `r${i}`, request({ address: `10.0.1.${i}` }))));
		assert.equal(outcomes.filter(({ ok }) => ok).length, 2);
		assert.equal(store.snapshot().all("WorkloadEntry").length, 2);
	});

	const invalid: readonly (readonly [string, string | undefined, object, RegExp])[] = [
		["an unknown service", "r1", { service: "x" }, /^invalid: there is no Service or ServiceEntry x in namespace shop/],
		["a service without a selector", "r1", { service: "bare" }, /^invalid: Service shop\/bare selects no workloads/],
		["a name that is none", "R_1", {}, /^invalid: name/],
		["a name that is a path", "../r", {}, /^invalid: name/],
	];
	for (const [what, name, parts, message] of invalid) {
		test(`${what} is refused`, async () => assert.match(reason(await createMesh().registrations.register(web, "shop", name, request(parts))), message));
	}
});

describe("without heartbeats", () => {
	test("an instance drains after its TTL, and is removed after another", async () => {
		const { registrations, clock, endpoints, workloads } = createMesh();
		await registrations.register(web, "shop", "r1", request());
		await registrations.sweep();
		await clock.advance(ttlMs - 1);
		await registrations.sweep();
		assert.deepEqual(endpoints(), ["10.0.0.9:9080"]);
		await clock.advance(1);
		await registrations.sweep();
		assert.deepEqual(endpoints(), ["10.0.0.9:9080 DRAINING"]);
		assert.deepEqual(workloads(), ["r1 DRAINING no heartbeat for 30s"]);
		await clock.advance(ttlMs - 1);
		await registrations.sweep();
		assert.deepEqual(endpoints(), ["10.0.0.9:9080 DRAINING"]);
		await clock.advance(1);
		await registrations.sweep();
		assert.deepEqual(endpoints(), []);
		assert.deepEqual(workloads(), []);
	});

	test("one heartbeat ends the draining", async () => {
		const { registrations, clock, endpoints } = createMesh();
		await registrations.register(web, "shop", "r1", request());
		await clock.advance(ttlMs);
		await registrations.sweep();
		assert.deepEqual(endpoints(), ["10.0.0.9:9080 DRAINING"]);
		await registrations.register(web, "shop", "r1", request());
		assert.deepEqual(endpoints(), ["10.0.0.9:9080"]);
		await clock.advance(ttlMs - 1);
		await registrations.sweep();
		assert.deepEqual(endpoints(), ["10.0.0.9:9080"]);
	});

	test("heartbeats that another replica takes count; after a restart there is a whole TTL", async () => {
		const { create, registrations: first, clock, workloads } = createMesh();
		await first.register(web, "shop", "r1", request());
		const second = create();
		await clock.advance(ttlMs);
		await second.sweep();
		assert.deepEqual(workloads(), ["r1 HEALTHY"], "it was not looked at before");
		await clock.advance(ttlMs / 2);
		await first.register(web, "shop", "r1", request());
		await clock.advance(ttlMs / 2);
		await second.sweep();
		assert.deepEqual(workloads(), ["r1 HEALTHY"], "another has heard of it");
		await clock.advance(ttlMs);
		await second.sweep();
		assert.deepEqual(workloads(), ["r1 DRAINING no heartbeat for 30s"]);
	});

	test("where entries cannot be written the sweep goes on with the others, and comes back", async () => {
		let isAway = true;
		const { registrations, clock, workloads } = createMesh({
			entries: (entries) => ({
				...entries,
				setConditions: async (ref, conditions) => {
					if (isAway && ref.name === "r1" && conditions.some(({ type }) => type === "Draining")) throw new Error("away");
					return entries.setConditions(ref, conditions);
				},
			}),
		});
		for (const name of ["r1", "r2"]) await registrations.register(web, "shop", name, request());
		await clock.advance(ttlMs);
		await registrations.sweep();
		assert.deepEqual(workloads(), ["r1 HEALTHY", "r2 DRAINING no heartbeat for 30s"]);
		isAway = false;
		await registrations.sweep();
		assert.deepEqual(workloads()[0], "r1 DRAINING no heartbeat for 30s");
	});

	test("after a restart that forgot everything the next heartbeat registers anew", async () => {
		const { registrations, workloads, clock } = createMesh();
		const again = createMesh();
		await registrations.register(web, "shop", "r1", request());
		await clock.advance(10_000);
		assert.deepEqual(await again.registrations.register(web, "shop", "r1", request()), { ok: true, name: "r1", created: true, ttlMs });
		assert.deepEqual(again.workloads(), workloads());
	});
});
