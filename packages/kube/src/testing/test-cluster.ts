import { systemClock } from "@weft/runtime";
import { createKubeClient, type KubeClient } from "../client.ts";
import { type KubeConnection, kubeconfigConnection } from "../connection.ts";
import { type KubeObject, pathOf, resourceOf, resources } from "../resource.ts";
import { createKubeTransport } from "../transport.ts";
import { type FaultProxy, startFaultProxy } from "./fault-proxy.ts";

const file = process.env["WEFT_TEST_KUBECONFIG"];

/** Why tests of a real cluster are skipped, for `test({ skip })`; false where there is one. */
export const noTestCluster: string | false =
	file === undefined
		? "no cluster: WEFT_TEST_KUBECONFIG=FILE npm test -- packages/kube/src/cluster.test.ts packages/control-plane/src/kubernetes/{cluster,registration.cluster}.test.ts"
		: false;

/** A real API server, the way to it past every fault, and one through a proxy that breaks on demand. */
export interface TestCluster {
	readonly client: KubeClient;
	readonly proxy: FaultProxy;
	readonly proxied: KubeConnection;
	/** A namespace of the test's own. */
	readonly namespace: string;
	/** A token of a service account, as TokenRequest issues it; with a pod, bound to that. */
	token(serviceAccount: string, audience: string, pod?: KubeObject): Promise<string>;
	/** A pod that nobody needs to run. */
	createPod(name: string, serviceAccount: string): Promise<KubeObject>;
	close(): Promise<void>;
}

export async function connectTestCluster(name: string): Promise<TestCluster> {
	const connection = await kubeconfigConnection({ ...(file !== undefined && { file }), clock: systemClock });
	const client = createKubeClient(createKubeTransport(connection));
	const proxy = await startFaultProxy(connection.server);
	const namespace = `${name}-${process.pid}`;
	await client.create(resources.namespaces, "", { metadata: { name: namespace } });
	const accounts = resourceOf("ServiceAccount");
	return {
		client,
		proxy,
		proxied: { ...connection, server: new URL(`https://127.0.0.1:${proxy.port}`) },
		namespace,
		async token(serviceAccount, audience, pod) {
			const boundObjectRef = pod && { kind: "Pod", apiVersion: "v1", name: pod.metadata.name, uid: pod.metadata.uid };
			const body = JSON.stringify({ apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { audiences: [audience], boundObjectRef } });
			const response = await client.transport.request({ method: "POST", path: pathOf(accounts, namespace, serviceAccount, "token"), body });
			return (JSON.parse(response.body) as { readonly status: { readonly token: string } }).status.token;
		},
		async createPod(podName, serviceAccount) {
			if (!(await client.get(accounts, namespace, serviceAccount))) await client.create(accounts, namespace, { metadata: { name: serviceAccount } });
			const spec = { serviceAccountName: serviceAccount, nodeName: "nowhere", containers: [{ name: "app", image: "localhost/none:1" }] };
			return client.create(resourceOf("Pod"), namespace, { metadata: { name: podName }, spec });
		},
		async close() {
			proxy.close();
			await client.remove(resources.namespaces, "", namespace);
			client.transport.close();
		},
	};
}
