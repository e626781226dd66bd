import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { PatchOperation } from "./json-patch.ts";
import { pathEnvironment, reviewInjection } from "./review.ts";
import { decodeInjectorSettings } from "./settings/settings.ts";

const { value: settings } = decodeInjectorSettings({ valuesJson: "", configYaml: "", meshConfig: {}, revision: "" });
const facts = { factsOf: (name: string) => ({ namespace: { name, labels: { "istio-injection": "enabled" } }, hasNativeSidecars: false }) };
const pod = { metadata: { generateName: "web-", managedFields: [{ manager: "m" }] }, spec: { containers: [{ name: "app", image: "i" }] } };

function review(request: object, { apiVersion = "admission.k8s.io/v1", path = "/inject" } = {}) {
	const answer = reviewInjection({ body: JSON.stringify({ apiVersion, kind: "AdmissionReview", request }), path }, settings, facts);
	return { answer, review: answer.status === 200 ? (JSON.parse(answer.body) as { apiVersion: string; response: Record<string, unknown> }) : undefined };
}

const request = { uid: "u1", kind: { group: "", version: "v1", kind: "Pod" }, operation: "CREATE", namespace: "shop", object: pod };
const patchOf = (response: Record<string, unknown> | undefined) =>
	JSON.parse(Buffer.from(String(response?.["patch"]), "base64").toString()) as readonly PatchOperation[];

suite("admission reviews", () => {
	for (const apiVersion of ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"]) {
		test(`a pod is injected by a patch (${apiVersion})`, () => {
			const { review: out, answer } = review(request, { apiVersion });
			assert.equal(out?.apiVersion, apiVersion);
			assert.deepEqual([out?.response["uid"], out?.response["allowed"], out?.response["patchType"]], ["u1", true, "JSONPatch"]);
			const patch = patchOf(out?.response);
			assert.ok(patch.every(({ op }) => op === "add"));
			assert.ok(patch.some(({ path }) => path === "/spec/containers/1"));
			assert.ok(!JSON.stringify(patch).includes("managedFields"));
			assert.equal(answer.subject, "shop/web-*");
		});
	}
	test("a pod that istioctl kube-inject asks about, in its own words", () => {
		const kind = { group: "admission.k8s.io", version: "v1", kind: "AdmissionRequest" };
		const { review: out } = review({ uid: "", kind, resource: { group: "", version: "", resource: "" }, operation: "", namespace: "shop", object: pod });
		assert.ok(patchOf(out?.response).some(({ path }) => path === "/spec/containers/1"));
	});
	test("what the API server's selectors matched is not judged again by labels that may be old", () => {
		const stale = { factsOf: (name: string) => ({ namespace: { name, labels: {} }, hasNativeSidecars: false }) };
		const body = JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request });
		assert.equal(reviewInjection({ body, path: "/inject" }, settings, stale).outcome.kind, "injected");
	});
	test("a skipped pod is allowed, with the reason", () => {
		const { review: out, answer } = review({ ...request, object: { ...pod, spec: { ...pod.spec, hostNetwork: true } } });
		assert.equal(out?.response["allowed"], true);
		assert.equal(out?.response["patch"], undefined);
		assert.equal(answer.outcome.kind, "skipped");
		assert.deepEqual(out?.response["auditAnnotations"], { "injection-skipped": "host network" });
	});
	test("other kinds and operations are allowed untouched", () => {
		for (const other of [{ kind: { kind: "Service", group: "" } }, { operation: "UPDATE" }, { subResource: "status" }]) {
			const { review: out } = review({ ...request, ...other });
			assert.deepEqual([out?.response["allowed"], out?.response["patch"]], [true, undefined]);
		}
	});
	test("invalid annotations are refused with what is wrong", () => {
		const { review: out } = review({ ...request, object: { ...pod, metadata: { annotations: { "sidecar.istio.io/interceptionMode": "SOME" } } } });
		assert.equal(out?.response["allowed"], false);
		assert.match(JSON.stringify(out?.response["status"]), /interceptionMode invalid, use REDIRECT,TPROXY,NONE: SOME/);
	});
	for (const [name, object, message] of [
		["no object", undefined, /a pod is an object/],
		["no containers", { spec: {} }, /spec.containers: expected a list/],
		["a container without a name", { spec: { containers: [{}] } }, /spec.containers\[0\].name: expected a string/],
		["a label that is a number", { metadata: { labels: { a: 1 } }, spec: pod.spec }, /metadata.labels: expected text values/],
		["env that is an object", { spec: { containers: [{ name: "a", env: {} }] } }, /spec.containers\[0\].env: expected a list/],
		["a probe without a port", { spec: { containers: [{ name: "a", livenessProbe: { httpGet: {} } }] } }, /livenessProbe.httpGet.port: expected a port/],
	] as const) {
		test(`refuses ${name}`, () => {
			const { review: out } = review({ ...request, object });
			assert.equal(out?.response["allowed"], false);
			assert.match(JSON.stringify(out?.response["status"]), message);
		});
	}
	for (const [name, body, status, message] of [
		["an empty body", " ", 400, /no body found/],
		["truncated JSON", '{"kind":"AdmissionReview","request":{"obj', 400, /could not decode body/],
		["another kind", '{"apiVersion":"v1","kind":"Pod"}', 400, /unsupported Pod of v1/],
		["no request", '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', 400, /has no request/],
		["a deeply nested body", `{"a":${"[".repeat(50_000)}${"]".repeat(50_000)}}`, 400, /nested 50001 deep, at most 100/],
		["a huge body", `"${"x".repeat(6 * 1024 * 1024)}"`, 413, /at most 6291456 are read/],
	] as const) {
		test(`answers ${name} with ${status}`, () => {
			const answer = reviewInjection({ body, path: "/inject" }, settings, facts);
			assert.equal(answer.status, status);
			assert.match(answer.body, message);
		});
	}
	test("the path names cluster and network", () => {
		const { review: out } = review(request, { path: "/inject/cluster/c1/net/n--slash--1/" });
		const patch = JSON.stringify(patchOf(out?.response));
		assert.match(patch, /\{"name":"ISTIO_META_CLUSTER_ID","value":"c1"\},\{"name":"ISTIO_META_NETWORK","value":"n\/1"\}/);
		assert.match(patch, /"topology.istio.io\/network":"n\/1"/);
		assert.equal(patch.split('"ISTIO_META_CLUSTER_ID"').length, 2, "once");
	});
	for (const [path, expected] of [
		["/inject", {}],
		["/inject/", {}],
		["/inject/cluster", {}],
		["/inject/cluster/a/odd", { ISTIO_META_CLUSTER_ID: "a" }],
		["/inject/my_key/v", { MY_KEY: "v" }],
		["/inject/a b/v", {}],
		["/other/cluster/a", {}],
	] as const) {
		test(`variables of ${path}`, () => assert.deepEqual(pathEnvironment(path), expected));
	}
});
