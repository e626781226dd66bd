import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createStore, decodeYaml } from "@weft/galley";
import { Registry } from "prom-client";
import { type AdmissionRequest, type AdmissionResponse, nestingMax } from "./admission-review.ts";
import { createValidateHandler } from "./validate.ts";

const store = createStore();
store.replaceSource(
	"test",
	decodeYaml("apiVersion: v1\nkind: Service\nmetadata: {name: reviews, namespace: default}\nspec: {ports: [{port: 80, name: http}]}\n", "test").objects,
);
const registry = new Registry();
const handler = createValidateHandler({ snapshot: () => store.snapshot(), nowMs: () => 1_800_000_000_000, registry });
const url = new URL("https://localhost/validate");

async function post(body: string): Promise<{ readonly status: number; readonly body: string }> {
	return handler.handle({ body, url });
}

async function review(request: Partial<AdmissionRequest>): Promise<AdmissionResponse> {
	const answer = await post(
		JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: { uid: "u1", operation: "CREATE", ...request } }),
	);
	assert.equal(answer.status, 200, answer.body);
	const { kind, response } = JSON.parse(answer.body) as { readonly kind: string; readonly response: AdmissionResponse };
	assert.equal(kind, "AdmissionReview");
	assert.equal(response.uid, "u1");
	return response;
}

const rule = (spec: object, extra: object = {}) => ({
	apiVersion: "networking.istio.io/v1",
	kind: "VirtualService",
	metadata: { name: "reviews", namespace: "default", ...extra },
	spec,
});
const good = { hosts: ["reviews"], http: [{ route: [{ destination: { host: "reviews" } }] }] };
const bad = { hosts: ["reviews"], http: [{ route: [{ destination: { host: "reviews" }, weight: -1 }], timeout: "soon" }] };

describe("the verdict", () => {
	test("a good object passes", async () => {
		assert.deepEqual(await review({ object: rule(good) }), { uid: "u1", allowed: true });
	});

	test("a bad one is refused with every problem, its field and the way to mend it", async () => {
		const { allowed, status } = await review({ object: rule(bad) });
		assert.equal(allowed, false);
		assert.equal(status?.code, 400);
		assert.match(status?.message ?? "", /^spec\.http\[0\]\.timeout: "soon" is no duration; write it.*; spec\.http\[0\]\.route\[0\]\.weight: /);
	});

	test("an unknown field is told with the name that is near", async () => {
		const { status } = await review({ object: rule({ ...good, http: [{ rout: [] }] }) });
		assert.match(status?.message ?? "", /spec\.http\[0\]\.rout: unknown field "rout".*route/);
	});

	test("a reference to nothing passes with a warning", async () => {
		const { allowed, warnings } = await review({ object: rule({ hosts: ["reviews"], http: [{ route: [{ destination: { host: "nothing" } }] }] }) });
		assert.equal(allowed, true);
		assert.match(warnings?.[0] ?? "", /destination\.host: .*nothing.*IST0101/);
	});

	test("what Pilot will leave out of an object is a warning", async () => {
		const configPatches = [{ applyTo: "CLUSTER", patch: { operation: "MERGE", value: { noSuchField: 1 } } }];
		const object = { apiVersion: "networking.istio.io/v1alpha3", kind: "EnvoyFilter", metadata: { name: "e", namespace: "default" }, spec: { configPatches } };
		const { allowed, warnings } = await review({ object });
		assert.equal(allowed, true);
		assert.match(warnings?.join() ?? "", /noSuchField.*\[WEFT-V011\]/);
	});

	for (const [name, request] of [
		["what is deleted", { operation: "DELETE", object: undefined, oldObject: rule(bad) }],
		["what is going, so that its finalizers can be taken off", { operation: "UPDATE", object: rule(bad, { deletionTimestamp: "2026-01-01T00:00:00Z" }) }],
	] as const) {
		test(`${name} is never refused`, async () => {
			assert.equal((await review(request)).allowed, true);
		});
	}

	test("so many problems are told shortly", async () => {
		const http = Array.from({ length: 60 }, () => ({ route: [{ destination: { host: "reviews" }, weight: -1 }] }));
		const { status } = await review({ object: rule({ hosts: ["reviews"], http }) });
		assert.match(status?.message ?? "", /and \d+ more problems$/);
		assert.ok((status?.message.length ?? 0) < 4_000);
	});

	test("it is counted under Istio's names", async () => {
		const text = await registry.metrics();
		assert.match(text, /^galley_validation_passed\{/m);
		assert.match(text, /^galley_validation_failed\{.*reason="invalid_resource"\}/m);
	});
});

describe("what is no AdmissionReview is refused with a reason", () => {
	const deep = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"CREATE","object":${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}}}`;
	const cases: readonly (readonly [string, string, RegExp])[] = [
		["nothing", "", /no JSON/],
		["half a body", '{"apiVersion":"admission.k8s.io/v1","kind":"Admi', /no JSON/],
		["a list", "[]", /no AdmissionReview/],
		["null", "null", /no AdmissionReview/],
		[
			"another version",
			'{"apiVersion":"admission.k8s.io/v2","kind":"AdmissionReview","request":{"uid":"u","operation":"CREATE"}}',
			/v2.*is not admission\.k8s\.io\/v1/,
		],
		["no request", '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', /no request/],
		["a deep one", deep, new RegExp(`deeper than ${nestingMax}`)],
		["deep lists", "[".repeat(1_000_000), /deeper than/],
	];
	for (const [name, body, reason] of cases) {
		test(name, async () => {
			const answer = await post(body);
			assert.equal(answer.status, 400);
			assert.match(answer.body, reason);
		});
	}

	test("brackets inside texts are no nesting", async () => {
		const object = rule({ ...good, http: [{ ...good.http[0], name: '{["\\'.repeat(500) }] });
		assert.equal((await review({ object })).allowed, true);
	});

	for (const object of [undefined, null, 7, "text", [], {}]) {
		test(`an object that is ${JSON.stringify(object)}`, async () => {
			assert.equal((await review({ object })).allowed, false);
		});
	}
});
