import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { resourceOf, resources } from "@weft/kube";
import { type FakeApiServer, until } from "@weft/kube/testing";
import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { ClustersConfigDump } from "@weft/xds/generated/envoy/admin/v3/config_dump_shared.ts";
import { ClientConfig, ConfigStatus } from "@weft/xds/generated/envoy/service/status/v3/csds.ts";
import { typeUrls } from "@weft/xds";
import {
	type AdsStream,
	openAds,
	requestCertificate,
	rootsOf,
	service,
	startTestApi,
	startTestControlPlane,
	systemNamespace,
	type TestControlPlane,
	token,
} from "./test-control-plane.ts";

let api: FakeApiServer;
let plane: TestControlPlane;
const streams: AdsStream[] = [];

before(async () => {
	api = await startTestApi();
	api.put(resourceOf("Service"), service("web"));
	plane = await startTestControlPlane(api);
	await until("roots are handed out", () => plane.rootsPem() !== "");
});

afterEach(() => {
	for (const stream of streams.splice(0)) stream.close();
});

after(async () => {
	await plane.stop();
	api.close();
});

const podToken = token({ ns: "default", sa: "web", pod: "web-1" });
const systemToken = token({ ns: systemNamespace, sa: "default" });

function ads(question: Parameters<typeof openAds>[1]): AdsStream {
	const stream = openAds(plane, question);
	streams.push(stream);
	return stream;
}

const clusterNames = (stream: AdsStream) => (stream.responses.at(-1)?.resources ?? []).map(({ value }) => Cluster.decode(value).name);
const readiness = async () => {
	const response = await fetch(`http://${plane.readyAddress}/ready`);
	return `${response.status} ${await response.text()}`;
};

test("it is ready when the cluster has been read", async () => {
	await until("it is ready", async () => (await readiness()) === "200 ready\n");
	assert.match(await (await fetch(`http://${plane.httpAddress}/version`)).text(), /^1\.\d+\.\d+-/);
});

describe("certificates", () => {
	test("a pod gets its own identity, whatever its CSR asks for", async () => {
		const chain = await requestCertificate(plane, podToken);
		assert.ok(Array.isArray(chain), String(chain));
		assert.equal(new X509Certificate(chain[0]).subjectAltName, "URI:spiffe://cluster.local/ns/default/sa/web");
		assert.equal(chain.at(-1), plane.rootsPem());
	});

	const refused = [
		{ name: "no token", bearer: undefined },
		{ name: "a forged token", bearer: podToken.replace(/\.[^.]+$/, ".Zm9yZ2Vk") },
		{ name: "a token for another audience", bearer: token({ ns: "default", sa: "web", pod: "web-1", aud: "https://kubernetes.default.svc" }) },
		{ name: "a token of no pod", bearer: token({ ns: "default", sa: "web" }) },
	];
	for (const { name, bearer } of refused) {
		test(`${name} gets none`, async () => {
			const refusal = await requestCertificate(plane, bearer);
			assert.ok("code" in refusal && refusal.code === status.UNAUTHENTICATED, String(refusal));
		});
	}
});

describe("configuration", () => {
	test("goes to a pod's token, and follows the cluster", async () => {
		const stream = ads({ token: podToken, namespace: "default", serviceAccount: "web" });
		await until("the clusters are there", () => clusterNames(stream).includes("outbound|80||web.default.svc.cluster.local"));
		api.put(resourceOf("Service"), service("late"));
		await until("the new one is there", () => clusterNames(stream).includes("outbound|80||late.default.svc.cluster.local"));
		api.remove(resourceOf("Service"), "default", "late");
		await until("it is gone", () => !clusterNames(stream).includes("outbound|80||late.default.svc.cluster.local"));
	});

	const refused = [
		{ name: "another service account's", question: { token: podToken, namespace: "default", serviceAccount: "admin" }, code: status.PERMISSION_DENIED },
		{ name: "another namespace's", question: { token: podToken, namespace: systemNamespace, serviceAccount: "web" }, code: status.PERMISSION_DENIED },
		{ name: "anybody's without a token", question: { namespace: "default", serviceAccount: "web" }, code: status.PERMISSION_DENIED },
		{ name: "with a bad token", question: { token: "a.b.c", namespace: "default", serviceAccount: "web" }, code: status.UNAUTHENTICATED },
	];
	for (const { name, question, code } of refused) {
		test(`is not given: ${name}`, async () => {
			const stream = ads(question);
			await until("the stream is refused", () => stream.failure() !== undefined);
			assert.equal(stream.failure()?.code, code);
			assert.equal(stream.responses.length, 0);
		});
	}

	test("follows the mesh config without a restart; one with errors changes nothing", async () => {
		const stream = ads({ token: podToken, namespace: "default", serviceAccount: "web" });
		const timeout = () =>
			(stream.responses.at(-1)?.resources ?? []).map(({ value }) => Cluster.decode(value)).find(({ name }) => name.startsWith("outbound|80||web."))
				?.connectTimeout;
		await until("the default is there", () => Number(timeout()?.seconds) === 10);
		const write = (mesh: string) => api.put(resources.configMaps, { metadata: { name: "istio", namespace: systemNamespace }, data: { mesh } });
		write("connectTimeout: 3s\n");
		await until("the new one is there", () => Number(timeout()?.seconds) === 3);
		write("connectTimeout: soon\n");
		await until("the problem is told", () => plane.log.some((line) => line.includes("the mesh config has errors")));
		assert.equal(Number(timeout()?.seconds), 3);
		api.remove(resources.configMaps, systemNamespace, "istio");
		await until("the default is back", () => Number(timeout()?.seconds) === 10);
	});
});

describe("what istioctl asks over ADS", () => {
	test("proxy-status: every proxy with the state of each type, and who answers", async () => {
		const proxy = ads({ token: podToken, namespace: "default", serviceAccount: "web" });
		await until("the proxy has its clusters", () => proxy.responses.length > 0);
		const asking = () => ads({ token: systemToken, namespace: systemNamespace, serviceAccount: "default", typeUrl: "istio.io/debug/syncz" });
		let answer = asking();
		const config = () => answer.responses[0]?.resources.map(({ value }) => ClientConfig.decode(value)).find(({ node }) => node?.id === "web-1.default");
		await until("the proxy is synced", async () => {
			answer = asking();
			await until("there is an answer", () => answer.responses.length > 0);
			return config()?.genericXdsConfigs.find(({ typeUrl }) => typeUrl === typeUrls.cds)?.configStatus === ConfigStatus.SYNCED;
		});
		assert.equal(config()?.node?.metadata?.["CLUSTER_ID"], "Kubernetes");
		assert.deepEqual(
			config()?.genericXdsConfigs.map(({ typeUrl }) => typeUrl),
			[typeUrls.cds],
			"of what it has not asked for nothing is said",
		);
		const [response] = answer.responses;
		assert.equal(response?.typeUrl, "istio.io/debug/syncz");
		assert.equal(response?.resources[0]?.typeUrl, "type.googleapis.com/envoy.service.status.v3.ClientConfig");
		const instance = JSON.parse(response?.controlPlane?.identifier ?? "") as { Component: string; ID: string; Info: { version: string } };
		assert.deepEqual([instance.Component, instance.ID, instance.Info.version.split("-")[0]], ["istiod", "istiod-1", "1.30.3"]);
	});

	test("a question with a nonce, as istioctl asks it, is answered once: its acknowledgement is no question", async () => {
		const stream = ads({ token: systemToken, namespace: systemNamespace, serviceAccount: "default", typeUrl: "istio.io/debug/syncz", nonce: "now" });
		await until("there is an answer", () => stream.responses.length > 0);
		const other = ads({ token: systemToken, namespace: systemNamespace, serviceAccount: "default", typeUrl: "istio.io/debug/syncz" });
		await until("another is answered after it", () => other.responses.length > 0);
		assert.equal(stream.responses.length, 1);
	});

	test("config_dump: what one proxy should have; nothing for a stranger", async () => {
		const proxy = ads({ token: podToken, namespace: "default", serviceAccount: "web" });
		await until("the proxy is connected", () => proxy.responses.length > 0);
		const ask = (name: string, bearer = systemToken) =>
			ads({ token: bearer, namespace: systemNamespace, serviceAccount: "default", typeUrl: "istio.io/debug/config_dump", names: [name] });
		const dump = ask("web-1.default");
		await until("the dump is there", () => dump.responses.length > 0);
		const parts = dump.responses[0]?.resources ?? [];
		assert.deepEqual(
			parts.map(({ typeUrl }) => typeUrl.split(".").at(-1)),
			["Bootstrap", "Clusters", "Listeners", "ScopedRoutes", "Routes", "Secrets", "Ecds"].map((section) => `${section}ConfigDump`),
		);
		const clusters = ClustersConfigDump.decode(parts[1]?.value ?? new Uint8Array()).dynamicActiveClusters.map(
			({ cluster }) => Cluster.decode(cluster?.value ?? new Uint8Array()).name,
		);
		assert.ok(clusters.includes("outbound|80||web.default.svc.cluster.local"));
		for (const none of [ask("web-2.default"), ask("web-1.default", token({ ns: "other", sa: "spy", pod: "p" }))]) {
			await until("the answer is there", () => none.responses.length > 0);
			assert.deepEqual(none.responses[0]?.resources, []);
		}
	});

	test("without a token there is no answer", async () => {
		const stream = ads({ namespace: systemNamespace, serviceAccount: "default", typeUrl: "istio.io/debug/syncz" });
		await until("the stream is refused", () => stream.failure() !== undefined);
		assert.equal(stream.failure()?.code, status.UNAUTHENTICATED);
	});
});

describe("roots", () => {
	test("are in every namespace but the system's, also in one that comes later, and are mended", async () => {
		api.put(resourceOf("Namespace"), { metadata: { name: "team" } });
		await until("the new namespace has them", () => rootsOf(api, "team") === plane.rootsPem());
		assert.equal(rootsOf(api, "kube-system"), undefined);
		api.put(resources.configMaps, { metadata: { name: "istio-ca-root-cert", namespace: "team" }, data: { "root-cert.pem": "mine" } });
		await until("they are mended", () => rootsOf(api, "team") === plane.rootsPem());
		api.remove(resources.configMaps, "team", "istio-ca-root-cert");
		await until("they are written again", () => rootsOf(api, "team") === plane.rootsPem());
	});
});

test("while the API server is away, proxies are served from memory, and tokens that nobody can verify get no certificate", async () => {
	const known = ads({ token: podToken, namespace: "default", serviceAccount: "web" });
	await until("the clusters are there", () => known.responses.length > 0);
	api.away = true;
	api.endWatches("destroy");
	try {
		await until("the outage is told", () => plane.log.some((line) => line.includes("the API server does not answer")));
		const again = ads({ token: podToken, namespace: "default", serviceAccount: "web" });
		await until("a pod whose token was verified is served", () => clusterNames(again).includes("outbound|80||web.default.svc.cluster.local"));
		const strange = token({ ns: "default", sa: "other", pod: "other-1" });
		const refusal = await requestCertificate(plane, strange);
		assert.ok("code" in refusal && refusal.code === status.UNAVAILABLE, String(refusal));
		assert.match(refusal.details, /API server does not answer/);
		assert.match(await readiness(), /^200/, "an outage of the API server takes no replica out of service");
	} finally {
		api.away = false;
	}
	api.put(resourceOf("Service"), service("after"));
	await until("it goes on where it was", () => clusterNames(known).includes("outbound|80||after.default.svc.cluster.local"));
});
