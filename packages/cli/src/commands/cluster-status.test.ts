import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { resourceOf } from "@weft/kube";
import { type FakeApiServer, startFakeApiServer } from "@weft/kube/testing";
import { clusterStatusOf, renderClusterStatus } from "./cluster-status.ts";

let api: FakeApiServer;

before(async () => {
	api = await startFakeApiServer();
});
after(() => api.close());

const cluster = () => ({ client: api.client, namespace: "default", get: () => Promise.reject(new Error("nothing is asked of a pod")) });

test("control planes and registered workloads of a cluster, as the API server knows them", async () => {
	await assert.rejects(clusterStatusOf(cluster(), "istio-system"), /there is no control plane \(label app=istiod\) in namespace istio-system/);
	const status = (ready: string) => ({ conditions: [{ type: "Ready", status: ready }], containerStatuses: [{ restartCount: 2 }] });
	api.put(resourceOf("Pod"), { metadata: { name: "istiod-1", namespace: "istio-system", labels: { app: "istiod" } }, status: status("True") });
	api.put(resourceOf("Pod"), { metadata: { name: "istiod-2", namespace: "istio-system", labels: { app: "istiod" } }, status: status("False") });
	const entry = (name: string, annotations: Readonly<Record<string, string>>, conditions: readonly object[]) =>
		api.put(resourceOf("WorkloadEntry"), { metadata: { name, namespace: "shop", annotations }, spec: { address: "10.0.0.9" }, status: { conditions } });
	entry("by-hand", {}, []);
	entry("vm", { "istio.io/autoRegistrationGroup": "reviews", "proxy.istio.io/health-checks-enabled": "true" }, [
		{ type: "Healthy", status: "False", message: "HTTP status 503" },
	]);
	entry("gone", { "istio.io/autoRegistrationGroup": "reviews", "istio.io/disconnectedAt": "2027-01-01T00:00:00Z" }, []);
	entry("r1", { "weft.dev/registered-by": "spiffe://cluster.local/ns/shop/sa/web" }, [{ type: "Draining", status: "True", message: "no heartbeat for 30s" }]);
	const text = renderClusterStatus(await clusterStatusOf(cluster(), "istio-system"));
	const rows = text.split("\n").map((line) => line.trim().split(/ {2,}/));
	assert.deepEqual(
		rows.filter(([first]) => first !== ""),
		[
			["NAMESPACE", "CONTROL PLANE", "STATUS", "RESTARTS"],
			["istio-system", "istiod-1", "Ready", "2"],
			["istio-system", "istiod-2", "NOT READY", "2"],
			["NAMESPACE", "WORKLOAD", "HEALTH", "ADDRESS", "REGISTERED BY", "REASON"],
			["shop", "vm", "UNHEALTHY", "10.0.0.9", "WorkloadGroup reviews", "HTTP status 503"],
			["shop", "gone", "DISCONNECTED", "10.0.0.9", "WorkloadGroup reviews", "since 2027-01-01T00:00:00Z"],
			["shop", "r1", "DRAINING", "10.0.0.9", "spiffe://cluster.local/ns/shop/sa/web", "no heartbeat for 30s"],
		],
	);
});

test("without the CRD there are no workloads", async () => {
	api.missing.add("workloadentries");
	assert.deepEqual((await clusterStatusOf(cluster(), "istio-system")).workloads, []);
});
