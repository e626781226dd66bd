import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { apply, eventually, kubectl, run } from "../kubectl.ts";
import { clusterMissing, deploy, example, freshNamespace, installMesh, removeNamespace } from "../mesh.ts";

const namespace = "e2e-analyze";
const program = join(import.meta.dirname, "../../../packages/cli/bin/weft.mjs");

interface Message {
	readonly code: string;
	readonly level: string;
	readonly origin: string;
}

const analyze = (...args: readonly string[]) => run(process.execPath, [program, "analyze", "-n", namespace, "-o", "json", ...args]);
const briefly = (text: string) => (JSON.parse(text) as readonly Message[]).map(({ level, code, origin }) => `${level} [${code}] ${origin}`);

/** The answer once it is this; while pods come and go there is more to say. */
function expectMessages(what: string, expected: readonly string[], ...args: readonly string[]): Promise<void> {
	return eventually(what, async () => {
		const { status, stdout, stderr } = await analyze(...args);
		assert.ok(status === 0 || status === 79, stderr);
		assert.deepEqual(briefly(stdout), expected);
		assert.equal(status, expected.some((line) => line.startsWith("Error")) ? 79 : 0, stderr);
	});
}

describe("weft analyze", { skip: clusterMissing }, () => {
	before(async () => {
		await installMesh();
		await freshNamespace(namespace);
		await deploy(namespace, "bookinfo/bookinfo.yaml");
	});
	after(() => removeNamespace(namespace));

	test("Bookinfo is clean, a route to a host that is not there is an error, and a file mends it", async () => {
		await apply(namespace, example("bookinfo/networking/destination-rule-all.yaml"));
		await apply(namespace, example("bookinfo/networking/virtual-service-all-v1.yaml"));
		await expectMessages("nothing to say of Bookinfo", []);
		const route = { hosts: ["stars"], http: [{ route: [{ destination: { host: "stars" } }] }] };
		await apply(namespace, [{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata: { name: "stars" }, spec: route }]);
		const fault = `Error [IST0101] VirtualService ${namespace}/stars`;
		await expectMessages("the fault", [fault]);
		await expectMessages("the fault, suppressed", [], "-S", `IST0101=VirtualService stars.${namespace}`);
		const service = { apiVersion: "v1", kind: "Service", metadata: { name: "stars" }, spec: { ports: [{ name: "http", port: 80 }] } };
		const mended = await run(process.execPath, [program, "analyze", "-n", namespace, "-"], { input: JSON.stringify(service) });
		assert.deepEqual([mended.status, mended.stdout], [0, "\n"], mended.stderr);
		await kubectl("delete", "virtualservice", "-n", namespace, "stars");
		await expectMessages("nothing to say once it is gone", []);
	});

	test("a pod that was made without a proxy is found", async () => {
		const labels = { app: "bare" };
		const containers = [{ name: "app", image: "weft.dev/none:0", ports: [{ name: "http", containerPort: 80 }] }];
		// The webhook leaves it alone, and what it is labelled then is what counts.
		const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "bare", labels: { ...labels, "sidecar.istio.io/inject": "false" } }, spec: { containers } };
		await apply(namespace, [pod]);
		await expectMessages("nothing to say of a pod that wants none", []);
		await kubectl("label", "pod", "-n", namespace, "bare", "sidecar.istio.io/inject-");
		await expectMessages("the pod", [`Warning [IST0103] Pod ${namespace}/bare`]);
	});
});
