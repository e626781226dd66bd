import assert from "node:assert/strict";
import { test } from "node:test";
import { type AnyConfig, diagnosticCodes } from "@weft/api";
import { createStore } from "@weft/galley";
import { type ObservedObject, resourceOf } from "@weft/kube";
import { buildPush, type Distribution, noSpread, type Spread } from "@weft/pilot";
import { invalidStatus, type StatusRound, type WantedStatus, wantedStatus } from "./wanted-status.ts";

const object = {
	apiVersion: "networking.istio.io/v1",
	kind: "VirtualService",
	metadata: { name: "a", namespace: "default", labels: {}, annotations: {}, generation: 2 },
	spec: { hosts: ["a"], http: [{ route: [{ destination: { host: "a" } }] }] },
} as unknown as AnyConfig;
const store = createStore();
store.apply({ source: "test", upsert: [object], remove: [] });
const push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });

const round = (spread: Spread, others: Spread = noSpread): StatusRound => ({
	push,
	distribution: { of: () => spread } satisfies Distribution,
	others: () => others,
	findings: () => [],
	now: "2026-01-01T00:00:00Z",
});
const all = (seeing: number): Spread => ({ seeing, inForce: seeing, refusal: undefined });
const observed = (parts: Partial<ObservedObject> = {}): ObservedObject => ({
	type: resourceOf("VirtualService"),
	namespace: "default",
	name: "a",
	uid: "u",
	generation: 2,
	status: undefined,
	diagnostics: [],
	...parts,
});

interface Status {
	readonly conditions: readonly { readonly type: string; readonly status: string; readonly reason: string; readonly message: string }[];
	readonly observedGeneration: number;
}
const statusOf = (wanted: WantedStatus | undefined) => wanted?.write.status as Status | undefined;
const reconciled = (wanted: WantedStatus | undefined) => statusOf(wanted)?.conditions.find(({ type }) => type === "Reconciled");
const error = { severity: "error", code: diagnosticCodes.schema, path: "spec.hosts", message: "must be a list" } as const;

test("the proxies of all replicas are counted", () => {
	const wanted = wantedStatus(round(all(2), { seeing: 3, inForce: 2, refusal: "x refused rds 80: no" }), object, observed());
	assert.equal(reconciled(wanted)?.message, "4/5 proxies up to date. x refused rds 80: no");
	assert.equal(statusOf(wanted)?.observedGeneration, 2);
	assert.equal(wanted?.write.uid, "u");
});

test("nothing is written that the cluster says already, nor of content that is not in a push yet", () => {
	const first = wantedStatus(round(all(2)), object, observed());
	assert.ok(first);
	assert.equal(wantedStatus(round(all(2)), object, observed({ status: first.write.status })), undefined);
	assert.equal(wantedStatus(round(all(2)), object, observed({ generation: 3 })), undefined);
});

test("content that is not valid is told of at once, whether something older is in force or not", () => {
	const latest = observed({ generation: 3, diagnostics: [error] });
	for (const [wanted, message] of [
		[wantedStatus(round(all(2)), object, latest), "2/2 proxies up to date. The last valid content is in force."],
		[invalidStatus(round(noSpread), "VirtualService", latest), "0/0 proxies up to date."],
	] as const) {
		assert.deepEqual(
			statusOf(wanted)?.conditions.map(({ type, status, reason }) => [type, status, reason]),
			[
				["PassedValidation", "False", "Invalid"],
				["Reconciled", "False", "Invalid"],
			],
		);
		assert.equal(reconciled(wanted)?.message, message);
		assert.equal(statusOf(wanted)?.observedGeneration, 3);
		assert.equal(wanted?.delayMs, 0);
	}
});

test("how long a status may wait", () => {
	const present = wantedStatus(round(all(2)), object, observed())?.write.status;
	assert.ok(present);
	const older = { ...present, observedGeneration: 1 };
	const refused: Spread = { seeing: 2, inForce: 1, refusal: "x refused rds 80: no" };
	const cases: readonly { readonly name: string; readonly spread: Spread; readonly status: object | undefined; readonly delayMs: number }[] = [
		{ name: "a first status", spread: all(2), status: undefined, delayMs: 0 },
		{ name: "new content that proxies have", spread: all(2), status: older, delayMs: 0 },
		{ name: "new content that they have not answered", spread: { ...all(2), inForce: 1 }, status: older, delayMs: 2_000 },
		{ name: "a proxy more that has nothing yet", spread: { ...all(3), inForce: 2 }, status: present, delayMs: 10_000 },
		{ name: "a proxy more", spread: all(3), status: present, delayMs: 30_000 },
		{ name: "a refusal", spread: refused, status: present, delayMs: 0 },
	];
	for (const { name, spread, status, delayMs } of cases) assert.equal(wantedStatus(round(spread), object, observed({ status }))?.delayMs, delayMs, name);
});
