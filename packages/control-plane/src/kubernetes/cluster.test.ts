import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { createKubeClient, createKubeTransport, resourceOf, resources } from "@weft/kube";
import { connectTestCluster, noTestCluster, type TestCluster, until } from "@weft/kube/testing";
import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { openAds, requestCertificate, serverName, startOver, type TestControlPlane } from "./test-control-plane.ts";

describe("over a real API server", { skip: noTestCluster }, () => {
	let cluster: TestCluster;
	let planes: TestControlPlane[];
	let roots = "";

	before(async () => {
		cluster = await connectTestCluster("weft-plane");
		// Replicas that start together, one of them behind a network that breaks.
		const start = async (name: string, client: TestCluster["client"]) => {
			const plane = await startOver(client, { POD_NAMESPACE: cluster.namespace, POD_NAME: name, SERVICE_ACCOUNT: "default", ISTIOD_CUSTOM_HOST: serverName });
			return { ...plane, rootsPem: () => roots };
		};
		const clients = [cluster.proxied, cluster.proxied].map((connection) => createKubeClient(createKubeTransport(connection)));
		planes = await Promise.all(clients.map((client, i) => start(`istiod-${i}`, client)));
		await until("roots are handed out", async () => {
			const object = await cluster.client.get(resources.configMaps, cluster.namespace, "istio-ca-root-cert");
			roots = (object?.["data"] as { readonly "root-cert.pem"?: string } | undefined)?.["root-cert.pem"] ?? "";
			return roots !== "";
		});
	});

	after(async () => {
		await Promise.all(planes.map((plane) => plane.stop()));
		await cluster.close();
	});

	const plane = () => planes[0] as TestControlPlane;

	test("two replicas have one root, and one of them leads", async () => {
		const pod = await cluster.createPod("web-1", "web");
		for (const each of planes) {
			const chain = await requestCertificate(each, await cluster.token("web", "istio-ca", pod));
			assert.ok(Array.isArray(chain), String(chain));
			assert.equal(chain.at(-1), roots);
			assert.equal(new X509Certificate(chain[0]).subjectAltName, `URI:spiffe://cluster.local/ns/${cluster.namespace}/sa/web`);
		}
		assert.equal(planes.filter(({ log }) => log.some((line) => line.includes("\tleading\tlease=istio-namespace-controller-election\t"))).length, 1);
	});

	test("a token for somebody else, of no pod, or of a pod that is gone gets no certificate", async () => {
		const pod = await cluster.createPod("gone-1", "gone");
		const ofGone = await cluster.token("gone", "istio-ca", pod);
		const path = `/api/v1/namespaces/${cluster.namespace}/pods/gone-1`;
		await cluster.client.transport.request({ method: "DELETE", path, query: { gracePeriodSeconds: "0" } });
		await until("the pod is gone", async () => (await cluster.client.get(resourceOf("Pod"), cluster.namespace, "gone-1")) === undefined);
		// The API server itself remembers verdicts for ten seconds; it has given none yet.
		for (const bearer of [await cluster.token("gone", "vault"), await cluster.token("gone", "istio-ca"), ofGone]) {
			const refusal = await requestCertificate(plane(), bearer);
			assert.ok("code" in refusal && refusal.code === status.UNAUTHENTICATED, String(refusal));
		}
	});

	test("configuration follows the cluster within a second, and an outage changes nothing", async () => {
		const { client, namespace, proxy } = cluster;
		const services = resourceOf("Service");
		const spec = { selector: { app: "web" }, ports: [{ name: "http", port: 80 }] };
		await client.create(services, namespace, { metadata: { name: "web" }, spec });
		const stream = openAds(plane(), { token: await cluster.token("default", "istio-ca"), namespace, serviceAccount: "default" });
		const has = (name: string) =>
			(stream.responses.at(-1)?.resources ?? []).some(({ value }) => Cluster.decode(value).name === `outbound|80||${name}.${namespace}.svc.cluster.local`);
		await until("the service is there", () => has("web"));
		proxy.set("refuse");
		await client.create(services, namespace, { metadata: { name: "late" }, spec });
		await client.remove(services, namespace, "web");
		await until("the outage is told", () => plane().log.some((line) => line.includes("the API server does not answer")));
		assert.ok(has("web"));
		assert.match(await (await fetch(`http://${plane().readyAddress}/ready`)).text(), /^ready/);
		proxy.set("pass");
		await until("the truth is back", () => has("late") && !has("web"));
		stream.close();
	});

	test("roots that somebody changes are mended", async () => {
		await cluster.client.patch(resources.configMaps, cluster.namespace, "istio-ca-root-cert", "merge", { data: { "root-cert.pem": "mine" } });
		await until("they are mended", async () => {
			const object = await cluster.client.get(resources.configMaps, cluster.namespace, "istio-ca-root-cert");
			return (object?.["data"] as Readonly<Record<string, string>> | undefined)?.["root-cert.pem"] === roots;
		});
	});
});
