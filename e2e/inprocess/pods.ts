import assert from "node:assert/strict";
import type { TestMesh } from "@weft/testkit";

type Pod = ReturnType<TestMesh["pods"]>[number];

/** The pods of a workload, at least one. */
export function podsOf(mesh: TestMesh, workload: string): readonly Pod[] {
	const pods = mesh.pods().filter((p) => p.workload === workload);
	assert.ok(pods.length > 0, `the mesh runs no ${workload}`);
	return pods;
}

export function podOf(mesh: TestMesh, workload: string): Pod {
	const [pod] = podsOf(mesh, workload);
	assert.ok(pod);
	return pod;
}

export async function adminText(pod: Pod, path: string): Promise<string> {
	return (await fetch(`http://${pod.adminAddress}${path}`)).text();
}

/** Where a pod's sidecar takes connections for its container: `ip:port`, past any other sidecar. The pod has one container port. */
export async function boundAddress(pod: Pod): Promise<string> {
	const lines = (await adminText(pod, "/listeners")).split("\n");
	const address = lines.find((line) => line.startsWith("inbound_"))?.split("::")[1];
	assert.ok(address, `no inbound listener among ${lines.join(", ")}`);
	return address;
}
