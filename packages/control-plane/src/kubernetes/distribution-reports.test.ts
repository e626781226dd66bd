import assert from "node:assert/strict";
import { test } from "node:test";
import type { AnyConfig } from "@weft/api";
import { createStore, type Store } from "@weft/galley";
import { resources } from "@weft/kube";
import { type FakeApiServer, startFakeApiServer, until } from "@weft/kube/testing";
import { buildPush, noSpread, type Spread } from "@weft/pilot";
import { createLogger, systemClock } from "@weft/runtime";
import { runDistributionReports, watchDistributionReports } from "./distribution-reports.ts";

const namespace = "istio-system";
const key = "DestinationRule/default/a";
// Five seconds between reports are for a cluster.
const clock = { ...systemClock, sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(Math.min(ms, 20), signal) };
const logger = createLogger({ level: "none" });
const kinds = ["DestinationRule"] as const;

const pod = (name: string): AnyConfig =>
	({
		apiVersion: "v1",
		kind: "Pod",
		metadata: { name, namespace, labels: {}, annotations: {}, uid: `uid of ${name}` },
		spec: { containers: [] },
	}) as unknown as AnyConfig;
const rule = {
	apiVersion: "networking.istio.io/v1",
	kind: "DestinationRule",
	metadata: { name: "a", namespace: "default", labels: {}, annotations: {} },
	spec: { host: "a" },
} as unknown as AnyConfig;

/** A replica with so many proxies. */
function replica(api: FakeApiServer, store: Store, podName: string, signal: AbortSignal) {
	let spread: Spread = noSpread;
	let revision = 0;
	let isLeading = false;
	const push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
	const discovery = {
		push,
		distribution: () => ({ of: () => spread }),
		get revision() {
			return revision;
		},
	};
	const options = { client: api.client, store, kinds, discovery, namespace, podName, clock, logger, signal, isSilent: () => isLeading };
	return {
		done: runDistributionReports(options),
		set(next: Spread) {
			spread = next;
			revision++;
		},
		lead: () => void (isLeading = true),
	};
}

test("the leader knows the proxies of the replicas that are there", async () => {
	const api = await startFakeApiServer();
	const stop = new AbortController();
	const store = createStore();
	store.apply({ source: "test", upsert: [rule, pod("one"), pod("two"), pod("three")], remove: [] });
	const [one, two, three] = ["one", "two", "three"].map((name) => replica(api, store, name, stop.signal));
	assert.ok(one && two && three);
	one.lead();
	const reports = watchDistributionReports({ client: api.client, store, namespace, podName: "one", clock: systemClock, logger, signal: stop.signal });
	try {
		assert.deepEqual(reports.of(key), noSpread);
		one.set({ seeing: 9, inForce: 9, refusal: undefined });
		two.set({ seeing: 2, inForce: 2, refusal: undefined });
		three.set({ seeing: 3, inForce: 1, refusal: "x refused cds c: no" });
		await until("both are counted", () => reports.of(key).seeing === 5);
		assert.deepEqual(reports.of(key), { seeing: 5, inForce: 3, refusal: "x refused cds c: no" });
		assert.equal(api.get(resources.configMaps, namespace, "one-distribution"), undefined, "who leads reports to nobody");
		assert.deepEqual(api.get(resources.configMaps, namespace, "two-distribution")?.metadata["ownerReferences"], [
			{ apiVersion: "v1", kind: "Pod", name: "two", uid: "uid of two" },
		]);
		const before = reports.revision;
		store.apply({ source: "test", upsert: [], remove: [{ kind: "Pod", namespace, name: "three" }] });
		assert.deepEqual(reports.of(key), { seeing: 2, inForce: 2, refusal: undefined });
		assert.notEqual(reports.revision, before);
		two.set(noSpread);
		await until("it has none any more", () => reports.of(key).seeing === 0);
	} finally {
		stop.abort();
		await Promise.all([one.done, two.done, three.done, reports.done]);
		api.close();
	}
});

test("what is no report is none", async () => {
	const api = await startFakeApiServer();
	const stop = new AbortController();
	const store = createStore();
	store.apply({ source: "test", upsert: [pod("two"), pod("three")], remove: [] });
	const put = (name: string, data: object) =>
		api.put(resources.configMaps, { metadata: { name: `${name}-distribution`, namespace, labels: { "internal.istio.io/distribution-report": "true" } }, data });
	put("two", { pod: "two", "distribution-report": "no JSON" });
	put("three", { pod: "three", "distribution-report": JSON.stringify({ [key]: [1, 1] }) });
	const reports = watchDistributionReports({ client: api.client, store, namespace, podName: "one", clock: systemClock, logger, signal: stop.signal });
	try {
		await until("the other one is read", () => reports.of(key).seeing === 1);
		assert.deepEqual(reports.of("constructor"), noSpread);
	} finally {
		stop.abort();
		await reports.done;
		api.close();
	}
});
