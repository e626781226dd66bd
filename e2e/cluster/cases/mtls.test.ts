import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { apply, eventually } from "../kubectl.ts";
import { client, clusterMissing, deploy, freshNamespace, installMesh, pods, removeNamespace, rolledOut } from "../mesh.ts";
import { curlFrom } from "../traffic.ts";

const namespace = "e2e-mtls";
const outside = "e2e-mtls-outside";
const peerAuthentication = (mode: string) => [
	{ apiVersion: "security.istio.io/v1", kind: "PeerAuthentication", metadata: { name: "default" }, spec: { mtls: { mode } } },
];

describe("mutual TLS", { skip: clusterMissing }, () => {
	before(async () => {
		await installMesh();
		await freshNamespace(namespace);
		await freshNamespace(outside, { "istio-injection": "disabled" });
		await deploy(namespace, "httpbin/httpbin.yaml", "sleep/sleep.yaml");
		// Two that are in the mesh and go around their own sidecar: by its user, and by an excluded port.
		const asProxy = client("as-proxy", (yaml) => yaml.replace("imagePullPolicy:", "securityContext: { runAsUser: 1337 }\n          imagePullPolicy:"));
		const excluded = client("excluded", (yaml) =>
			yaml.replace(/(template:\n\s+metadata:\n)(\s+)/, '$1$2annotations: { traffic.sidecar.istio.io/excludeOutboundPorts: "8000" }\n$2'),
		);
		await apply(namespace, asProxy);
		await apply(namespace, excluded);
		await rolledOut(namespace);
		await deploy(outside, "sleep/sleep.yaml");
	});
	after(async () => {
		await removeNamespace(namespace);
		await removeNamespace(outside);
	});

	const url = `http://httpbin.${namespace}:8000/headers`;
	const everybody: readonly (readonly [string, string, string])[] = [
		["meshed", namespace, "deploy/sleep"],
		["by uid 1337", namespace, "deploy/as-proxy"],
		["by an excluded port", namespace, "deploy/excluded"],
		["without a sidecar", outside, "deploy/sleep"],
	];

	test("PERMISSIVE takes both, and tells who called where there was a certificate", async () => {
		await apply(namespace, peerAuthentication("PERMISSIVE"));
		for (const [who, home, pod] of everybody) await eventually(who, async () => assert.equal((await curlFrom(home, pod, url)).status, 200));
		const { body } = await curlFrom(namespace, "deploy/sleep", url);
		assert.match(body, new RegExp(`URI=spiffe://cluster\\.local/ns/${namespace}/sa/sleep`));
		assert.doesNotMatch((await curlFrom(outside, "deploy/sleep", url)).body, /spiffe:/);
	});

	test("STRICT takes the meshed one and nobody else", async () => {
		await apply(namespace, peerAuthentication("STRICT"));
		await eventually("the first refusal", async () => assert.equal((await curlFrom(outside, "deploy/sleep", url)).status, 0));
		for (const [who, home, pod] of everybody.slice(1)) {
			const { status, exit } = await curlFrom(home, pod, url);
			assert.equal(status, 0, who);
			// Connection reset or empty reply: refused, not unreachable.
			assert.ok(exit === 56 || exit === 52, `${who}: curl ended with ${exit}`);
		}
		assert.equal((await curlFrom(namespace, "deploy/sleep", url)).status, 200);
	});

	test("going to the pod's own address is no way around it", async () => {
		const [pod] = await pods(namespace, "app=httpbin");
		assert.equal((await curlFrom(outside, "deploy/sleep", `http://${pod?.status.podIP}:8080/headers`)).status, 0);
	});
});
