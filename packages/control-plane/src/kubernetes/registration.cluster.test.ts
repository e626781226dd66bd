import assert from "node:assert/strict";
import { request } from "node:https";
import { after, before, describe, test } from "node:test";
import { crdYaml, type Kind } from "@weft/api";
import { hasStatus, type KubeObject, resourceOf, resources } from "@weft/kube";
import { connectTestCluster, noTestCluster, type TestCluster, until } from "@weft/kube/testing";
import { parse } from "yaml";
import { type AdsStream, openAds, requestCertificate, serverName, startOver, type TestControlPlane } from "./test-control-plane.ts";

// What only a real API server decides: subresources, preconditions, owner references, the CRD's schema, unbound tokens.
describe("registrations over a real API server", { skip: noTestCluster }, () => {
	const crds = {
		group: "apiextensions.k8s.io",
		version: "v1",
		plural: "customresourcedefinitions",
		kind: "CustomResourceDefinition",
		namespaced: false,
	} as const;
	const entryType = resourceOf("WorkloadEntry");
	const created: string[] = [];
	const streams: AdsStream[] = [];
	let cluster: TestCluster;
	let plane: TestControlPlane;
	let roots = "";

	before(async () => {
		cluster = await connectTestCluster("weft-registration");
		const { client, namespace } = cluster;
		for (const kind of ["WorkloadEntry", "WorkloadGroup", "ServiceEntry"] as const satisfies readonly Kind[]) {
			const crd = parse(crdYaml(kind)) as KubeObject;
			const isThere = await client.create(crds, "", crd).then(
				() => false,
				(error: unknown) => hasStatus(error, 409),
			);
			if (!isThere) created.push(crd.metadata.name);
			await until(`${kind} is served`, async () =>
				client.list(resourceOf(kind)).then(
					() => true,
					() => false,
				),
			);
		}
		await client.create(resourceOf("ServiceAccount"), namespace, { metadata: { name: "reviews" } });
		await client.create(resourceOf("WorkloadGroup"), namespace, {
			metadata: { name: "reviews" },
			spec: { metadata: { labels: { app: "reviews" } }, template: { serviceAccount: "reviews" } },
		});
		await client.create(resourceOf("ServiceEntry"), namespace, {
			metadata: { name: "reviews" },
			spec: {
				hosts: ["reviews.example"],
				location: "MESH_INTERNAL",
				resolution: "STATIC",
				ports: [{ number: 80, name: "http", protocol: "HTTP" }],
				workloadSelector: { labels: { app: "reviews" } },
			},
		});
		const environment = { POD_NAMESPACE: namespace, SERVICE_ACCOUNT: "default", ISTIOD_CUSTOM_HOST: serverName, PILOT_WORKLOAD_ENTRY_GRACE_PERIOD: "500ms" };
		plane = { ...(await startOver(client, environment)), rootsPem: () => roots };
		await until("roots are handed out", async () => {
			const object = await client.get(resources.configMaps, namespace, "istio-ca-root-cert");
			roots = (object?.["data"] as { readonly "root-cert.pem"?: string } | undefined)?.["root-cert.pem"] ?? "";
			return roots !== "";
		});
	});

	after(async () => {
		for (const stream of streams) stream.close();
		await plane?.stop();
		for (const name of created) await cluster.client.remove(crds, "", name);
		await cluster.close();
	});

	const entry = (name: string) => cluster.client.get(entryType, cluster.namespace, name);
	const conditionsOf = async (name: string) =>
		(
			(await entry(name))?.["status"] as
				| { readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[] }
				| undefined
		)?.conditions ?? [];

	test("a machine gets its certificate by an unbound token, an entry that its group owns, health in its status, and is forgotten", async () => {
		const bearer = await cluster.token("reviews", "istio-ca");
		assert.ok(Array.isArray(await requestCertificate(plane, bearer)));
		const metadata = { AUTO_REGISTER_GROUP: "reviews", INSTANCE_IPS: "10.9.0.1", PROXY_CONFIG: { readinessProbe: { tcpSocket: { port: 80 } } } };
		const machine = openAds(plane, { token: bearer, namespace: cluster.namespace, serviceAccount: "reviews", pod: "vm-1", metadata });
		streams.push(machine);
		await until("the entry is there", async () => (await entry("reviews-10.9.0.1")) !== undefined || machine.failure() !== undefined);
		assert.equal(machine.failure(), undefined);
		const group = await cluster.client.get(resourceOf("WorkloadGroup"), cluster.namespace, "reviews");
		const [owner] = ((await entry("reviews-10.9.0.1"))?.metadata["ownerReferences"] ?? []) as readonly { readonly uid: string; readonly kind: string }[];
		assert.deepEqual([owner?.kind, owner?.uid], ["WorkloadGroup", group?.metadata.uid]);
		machine.health("connection refused");
		await until("it is unhealthy", async () =>
			(await conditionsOf("reviews-10.9.0.1")).some((one) => one.status === "False" && one.message === "connection refused"),
		);
		machine.health(undefined);
		await until("it is healthy", async () => (await conditionsOf("reviews-10.9.0.1")).some((one) => one.status === "True"));
		machine.close();
		await until("its entry is removed", async () => (await entry("reviews-10.9.0.1")) === undefined);
	});

	test("an instance registers over HTTPS, is changed and renewed, drains and is removed", async () => {
		const bearer = await cluster.token("reviews", "istio-ca");
		const put = (body: object): Promise<number> =>
			new Promise((resolve, reject) => {
				const sent = request(
					{
						host: "127.0.0.1",
						port: plane.webhookAddress.split(":").at(-1),
						method: "PUT",
						path: `/registration/v1/namespaces/${cluster.namespace}/instances/r1`,
						ca: roots,
						servername: serverName,
						agent: false,
						headers: { authorization: `Bearer ${bearer}` },
					},
					(response) => {
						response.resume();
						response.on("end", () => resolve(response.statusCode ?? 0));
					},
				);
				sent.on("error", reject);
				sent.end(JSON.stringify({ service: "reviews", ttl: "5s", ...body }));
			});
		assert.equal(await put({ address: "10.9.0.2", labels: { old: "1" } }), 201);
		assert.equal(await put({ address: "10.9.0.3", ports: { http: 8080 } }), 200);
		const changed = await entry("r1");
		assert.deepEqual(changed?.["spec"], {
			address: "10.9.0.3",
			ports: { http: 8080 },
			labels: { app: "reviews", "security.istio.io/tlsMode": "disabled" },
			serviceAccount: "reviews",
		});
		assert.equal(changed.metadata.labels?.["old"], undefined);
		await until("it drains", async () => (await conditionsOf("r1")).some((one) => one.type === "Draining" && one.status === "True"));
		assert.equal(await put({ address: "10.9.0.3", ports: { http: 8080 } }), 200);
		assert.deepEqual(
			(await conditionsOf("r1")).map(({ type, status }) => `${type} ${status}`),
			["Healthy True"],
		);
		await until("it is removed", async () => (await entry("r1")) === undefined);
	});
});
