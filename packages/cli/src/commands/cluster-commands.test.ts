import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import type { AuthorityStatus } from "@weft/citadel";
import { resourceOf, resources } from "@weft/kube";
import { type FakeApiServer, startFakeApiServer } from "@weft/kube/testing";
import { registerMessages } from "@weft/xds";
import { allMessages } from "@weft/xds/registry";
import { clusterTarget } from "../authz/cluster-target.ts";
import { mergeTraffic, parseClients } from "../authz/clients.ts";
import { clusterDump } from "../authz/live-dump.ts";
import type { Cluster } from "../kube/cluster.ts";
import { renderAuthzCheck } from "./authz-check.ts";
import { clusterAuthority, renderAuthority } from "./ca.ts";
import { clusterMetrics, renderMtlsCheck } from "./mtls-check.ts";

// Commands that look into a cluster, over an API server of the tests' own; `pages` is what its pods answer.

registerMessages(allMessages);

let api: FakeApiServer;
/** By `pod.namespace:port/path`. */
let pages: Map<string, string | (() => string)>;

beforeEach(async () => {
	api = await startFakeApiServer();
	pages = new Map();
});
afterEach(() => api.close());

const cluster = (): Cluster => ({
	client: api.client,
	namespace: "shop",
	async get({ name, namespace }, port, path) {
		const page = pages.get(`${name}.${namespace}:${port}${path}`);
		if (page === undefined) throw new Error(`nothing answers at ${name}.${namespace}:${port}${path}`);
		return typeof page === "string" ? page : page();
	},
});

function pod(name: string, namespace: string, labels: Readonly<Record<string, string>>, phase = "Running"): void {
	const containers = [{ name: "app", ports: [{ name: "web", containerPort: 8080 }] }];
	api.put(resourceOf("Pod"), { metadata: { name, namespace, labels }, spec: { containers }, status: { phase, podIP: "10.0.0.7" } });
}

describe("weft ca in a cluster", () => {
	const status = (change: Partial<AuthorityStatus> = {}): AuthorityStatus =>
		({
			kind: "self-signed",
			trustDomain: "cluster.local",
			phase: "steady",
			reason: "",
			bundleId: "b1",
			signer: { subject: "O=cluster.local", notAfter: "2036-01-01T00:00:00Z" },
			roots: [],
			proxies: { connected: 3, haveBundle: 2, silent: 1 },
			...change,
		}) as AuthorityStatus;
	const page = "istiod-1.istio-system:15014/debug/ca";
	const authority = () => clusterAuthority(cluster(), "istio-system", { takeUpMs: 400, lookMs: 5 });
	const annotations = () => api.get(resources.secrets, "istio-system", "istio-ca-secret")?.metadata.annotations ?? {};

	beforeEach(() => {
		pod("istiod-0", "istio-system", { app: "istiod" }, "Pending");
		pod("istiod-1", "istio-system", { app: "istiod" });
		api.put(resources.secrets, { metadata: { name: "istio-ca-secret", namespace: "istio-system" }, data: {} });
	});

	test("status is what a running control plane says", async () => {
		pages.set(page, JSON.stringify(status()));
		const text = renderAuthority(await authority().status(), Date.UTC(2027, 0, 1));
		assert.match(text, /^self-signed authority of cluster\.local, phase steady\n/);
		assert.match(text, /2 of 3 proxies have bundle b1; 1 cannot confirm it/);
	});

	test("without a control plane it says where none was found", async () => {
		const elsewhere = clusterAuthority(cluster(), "mesh");
		await assert.rejects(elsewhere.status(), /no control plane \(label app=istiod\) in namespace mesh: weft install/);
	});

	test("rotate asks on the Secret, and returns once the control plane hands out another bundle", async () => {
		let looks = 0;
		pages.set(page, () =>
			JSON.stringify(annotations()["weft.dev/rotate-root"] !== undefined && ++looks > 2 ? status({ bundleId: "b2", phase: "distribute" }) : status()),
		);
		await authority().rotate();
		assert.match(annotations()["weft.dev/rotate-root"] ?? "", /^\d{4}-\d\d-\d\dT/);
	});

	test("rotate refuses where it is not the control plane's to do, and changes nothing", async () => {
		pages.set(page, JSON.stringify(status({ kind: "plugged-in" })));
		await assert.rejects(authority().rotate(), /the CA is plugged in: put the new one into the Secret cacerts/);
		pages.set(page, JSON.stringify(status({ phase: "distribute" })));
		await assert.rejects(authority().rotate(), /a root rotation is under way already/);
		assert.deepEqual(annotations(), {});
	});

	test("a request that nobody takes up, or that the API server refuses, is told", async () => {
		pages.set(page, JSON.stringify(status()));
		await assert.rejects(authority().rotate(), /has not taken up the request \(annotation weft\.dev\/rotate-root of istio-ca-secret\) within 0\.4 s/);
		api.forbidden.add("secrets");
		await assert.rejects(authority().rotate(), /secrets is forbidden/);
	});
});

const dump = (policy: string) => {
	const rules = { action: "DENY", policies: { [policy]: { permissions: [{ any: true }], principals: [{ any: true }] } } };
	const rbac = { name: "envoy.filters.http.rbac", typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC", rules } };
	const manager = {
		"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
		stat_prefix: "x",
		http_filters: [rbac],
	};
	const listener = {
		name: "virtualInbound",
		traffic_direction: "INBOUND",
		filter_chains: [{ filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }] }],
	};
	const listeners = [{ name: listener.name, active_state: { listener } }];
	return JSON.stringify({ configs: [{ "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump", dynamic_listeners: listeners }] });
};

describe("weft authz check and can-i in a cluster", () => {
	const labels = { app: "web" };

	test("a pod, a pod of another namespace, a Deployment's running pod", async () => {
		pod("web-0", "shop", labels, "Failed");
		pod("web-1", "shop", labels);
		api.put(resourceOf("Deployment"), { metadata: { name: "web", namespace: "shop" }, spec: { selector: { matchLabels: labels } } });
		pages.set("web-1.shop:15000/config_dump", dump("ns[shop]-policy[no]-rule[0]"));
		for (const name of ["web-1", "web-1.shop", "deployment/web", "deploy/web.shop"]) {
			const { listeners } = await clusterDump(cluster(), name);
			assert.equal(renderAuthzCheck(listeners, "table"), "ACTION   AuthorizationPolicy   RULES\nDENY     no.shop               1\n", name);
		}
		await assert.rejects(clusterDump(cluster(), "deployment/none"), /there is no Deployment shop\/none/);
		await assert.rejects(clusterDump(cluster(), "service/web"), /write POD, POD\.NAMESPACE or deployment\/NAME/);
		await assert.rejects(clusterDump(cluster(), "web-2"), /nothing answers at web-2\.shop/);
	});

	test("a Service's pods with the port that theirs is, by number and by name", async () => {
		pod("web-1", "shop", labels);
		pod("web-2", "shop", labels);
		for (const name of ["web-1", "web-2"]) pages.set(`${name}.shop:15000/config_dump`, dump("ns[shop]-policy[no]-rule[0]"));
		const ports = [{ port: 80, targetPort: "web" }, { port: 81, targetPort: 9000 }, { port: 82 }];
		api.put(resourceOf("Service"), { metadata: { name: "web", namespace: "shop" }, spec: { selector: labels, ports } });
		const ask = (servicePort: number, host = "web") => clusterTarget(cluster(), { host, servicePort, namespace: "shop" });
		assert.deepEqual([(await ask(80)).port, (await ask(81)).port, (await ask(82)).port], [8080, 9000, 82]);
		const target = await ask(80, "web.shop.svc.cluster.local");
		assert.deepEqual(
			[target.hostname, target.pods.map(({ name, ip }) => `${name} ${ip}`)],
			["web.shop.svc.cluster.local", ["web-1.shop 10.0.0.7", "web-2.shop 10.0.0.7"]],
		);
		await assert.rejects(ask(99), /Service shop\/web has no port 99; it has 80, 81, 82/);
		await assert.rejects(ask(80, "none"), /there is no Service shop\/none/);
		api.put(resourceOf("Service"), { metadata: { name: "bare", namespace: "shop" }, spec: { ports } });
		await assert.rejects(ask(80, "bare"), /has no selector: which pods it leads to is not known/);
		api.put(resourceOf("Service"), { metadata: { name: "idle", namespace: "shop" }, spec: { selector: { app: "idle" }, ports } });
		await assert.rejects(ask(80, "idle"), /has no running pod/);
	});
});

test("weft mtls check in a cluster asks the proxies of the namespace, and no pod without one", async () => {
	const read = clusterMetrics(cluster(), "shop");
	pod("plain", "shop", { app: "plain" });
	await assert.rejects(read(), /no running pod of namespace shop has a proxy \(label security\.istio\.io\/tlsMode=istio\)/);
	pod("web-1", "shop", { "security.istio.io/tlsMode": "istio" });
	const labels =
		'reporter="destination",source_workload="unknown",source_workload_namespace="unknown",source_principal="unknown",destination_workload="web",destination_workload_namespace="shop",response_code="200",connection_security_policy="none"';
	pages.set("web-1.shop:15000/stats/prometheus", `istio_requests_total{${labels}} 4\n`);
	const found = await read();
	assert.deepEqual([...found.keys()], ["web-1"]);
	const traffic = mergeTraffic([...found.values()].flatMap((text) => parseClients(text)));
	assert.match(renderMtlsCheck("shop", traffic), /web\.shop +unknown +- +plain text +4 +REFUSED/);
});
