import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { resourceOf, resources } from "@weft/kube";
import { type FakeApiServer, until } from "@weft/kube/testing";
import { typeUrls } from "@weft/xds";
import { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import {
	type AdsStream,
	bearer,
	connect,
	openAds,
	service,
	startTestApi,
	startTestControlPlane,
	systemNamespace,
	type TestControlPlane,
	token,
} from "../kubernetes/test-control-plane.ts";

type Row = Readonly<Record<string, unknown>>;

const web = { token: token({ ns: "default", sa: "web", pod: "web-1" }), namespace: "default", serviceAccount: "web" };
const systemToken = token({ ns: systemNamespace, sa: "default" });
const endpoints = "outbound|80||web.default.svc.cluster.local";

const objects = [
	[
		"VirtualService",
		{ apiVersion: "networking.istio.io/v1", metadata: { name: "web", labels: { a: "b" } }, spec: { hosts: ["web"], http: [{ timeout: "3s" }] } },
	],
	["AuthorizationPolicy", { apiVersion: "security.istio.io/v1", metadata: { name: "deny" }, spec: { action: "DENY", rules: [{}] } }],
	["Telemetry", { apiVersion: "telemetry.istio.io/v1", metadata: { name: "logs" }, spec: { accessLogging: [{ providers: [{ name: "envoy" }] }] } }],
] as const;

let api: FakeApiServer;
let plane: TestControlPlane;
const proxies: AdsStream[] = [];

before(async () => {
	api = await startTestApi();
	api.put(resourceOf("Service"), service("web"));
	for (const [kind, { apiVersion, metadata, spec }] of objects) {
		const route = kind === "VirtualService" ? { ...spec, http: [{ timeout: "3s", route: [{ destination: { host: "web" } }] }] } : spec;
		api.put(resourceOf(kind), { apiVersion, kind, metadata: { ...metadata, namespace: "default" }, spec: route });
	}
	const secret = {
		metadata: { name: "hidden", namespace: "default" },
		type: "kubernetes.io/tls",
		data: { "tls.key": Buffer.from("a key").toString("base64") },
	};
	api.put(resources.secrets, secret);
	plane = await startTestControlPlane(api);
	await until("roots are handed out", () => plane.rootsPem() !== "");
	for (const question of [
		{ typeUrl: typeUrls.cds },
		{ pod: "web-2", typeUrl: typeUrls.eds, names: [endpoints] },
		{ pod: "web-3", typeUrl: typeUrls.rds, names: ["80"] },
	])
		proxies.push(openAds(plane, { ...web, ...question }));
	await until("they are served", () => proxies.every(({ responses }) => responses.length > 0));
});

after(async () => {
	for (const proxy of proxies) proxy.close();
	await plane.stop();
	api.close();
});

const get = (path: string) => fetch(`http://${plane.httpAddress}/debug/${path}`);
const json = async <T = Row>(path: string): Promise<T> => {
	const response = await get(path);
	assert.equal(response.status, 200, path);
	assert.equal(response.headers.get("content-type"), "application/json");
	return (await response.json()) as T;
};

describe("the shapes of istiod's pages", () => {
	test("syncz: nonces by type, of one namespace if asked", async () => {
		await until("the first is synced", async () => {
			const [row] = await json<readonly Row[]>("syncz");
			return row?.["cluster_sent"] !== undefined && row["cluster_sent"] === row["cluster_acked"];
		});
		const [row] = await json<readonly Row[]>("syncz");
		assert.deepEqual(
			{ ...row, cluster_sent: "", cluster_acked: "", resources: Object.keys(row?.["resources"] as object) },
			{
				cluster_id: "Kubernetes",
				proxy: "web-1.default",
				proxy_type: "sidecar",
				istio_version: "1.30.3",
				cluster_sent: "",
				cluster_acked: "",
				resources: [typeUrls.cds],
			},
		);
		assert.deepEqual(await json("syncz?namespace=other"), []);
	});

	test("adsz and connections: who is connected and asks for what", async () => {
		const { totalClients, clients } = await json<{ totalClients: number; clients: readonly Row[] }>("adsz");
		assert.equal(totalClients, 3);
		assert.deepEqual(
			clients.map(({ watches }) => watches),
			[{ [typeUrls.cds]: [] }, { [typeUrls.eds]: [endpoints] }, { [typeUrls.rds]: ["80"] }],
		);
		assert.equal((clients[0]?.["metadata"] as Row | undefined)?.["SERVICE_ACCOUNT"], "web");
		assert.match(String(clients[0]?.["connectionId"]), /^web-1\.default-\d+$/);
		assert.equal((await json<{ totalClients: number }>("adsz?proxyID=web-2")).totalClients, 1);
		assert.deepEqual(Object.keys((await json<{ clients: readonly Row[] }>("connections")).clients[0] ?? {}), ["connectionId", "connectedAt", "address"]);
		assert.equal(await (await get("adsz?push=true")).text(), "Pushed to 3 servers\n");
	});

	test("config_dump: Envoy's sections, endpoints only when asked for, or the resources of some types", async () => {
		const { configs } = await json<{ configs: readonly Row[] }>("config_dump?proxyID=web-1.default");
		const names = (of: readonly Row[]) => of.map((section) => String(section["@type"]).split(".").at(-1));
		assert.deepEqual(
			names(configs),
			["Bootstrap", "Clusters", "Listeners", "ScopedRoutes", "Routes", "Secrets", "Ecds"].map((name) => `${name}ConfigDump`),
		);
		const clusters = configs[1]?.["dynamicActiveClusters"] as readonly { readonly cluster: Row }[];
		assert.ok(clusters.some(({ cluster }) => cluster["name"] === endpoints));
		const more = await json<{ configs: readonly Row[] }>("config_dump?proxyID=web-2.default&include_eds");
		assert.equal(names(more.configs)[2], "EndpointsConfigDump");
		for (const path of ["edsz?proxyID=web-2.default", "config_dump?proxyID=web-2&types=eds", `config_dump?proxyID=web-2&types=${typeUrls.eds}`]) {
			const [assignment] = (await json<{ configs: readonly Row[] }>(path)).configs;
			assert.equal(assignment?.["clusterName"], endpoints, path);
		}
		assert.deepEqual(await json("ndsz?proxyID=web-2"), {});
	});

	test("a proxy must be named, and be connected here", async () => {
		for (const page of ["config_dump", "edsz", "sidecarz"]) {
			const [unnamed, unknown] = [await get(page), await get(`${page}?proxyID=nobody`)];
			assert.deepEqual([unnamed.status, await unnamed.text()], [400, "You must provide a proxyID in the query string\n"]);
			assert.equal(unknown.status, 404);
			assert.match(await unknown.text(), /^Proxy not connected to this Pilot instance/);
		}
	});

	test("configz: objects as Kubernetes has them, and none of its Secrets", async () => {
		const all = await json<readonly Row[]>("configz");
		assert.deepEqual(
			all.map(({ kind }) => kind),
			["AuthorizationPolicy", "Telemetry", "VirtualService"],
		);
		assert.equal(all[2]?.["apiVersion"], "networking.istio.io/v1");
		assert.deepEqual((all[2]?.["metadata"] as Row | undefined)?.["labels"], { a: "b" });
		const kinds = (await json<readonly Row[]>("resourcesz")).map(({ kind, group }) => `${group}/${kind}`);
		for (const kind of ["networking.istio.io/Gateway", "gateway.networking.k8s.io/Gateway", "security.istio.io/PeerAuthentication"])
			assert.ok(kinds.includes(kind), kind);
		assert.ok(!kinds.some((kind) => kind.endsWith("/Secret")));
	});

	test("registryz, instancesz and sidecarz: services as istiod's model has them", async () => {
		const [found] = await json<readonly Row[]>("registryz");
		const { hostname, ports, clusterVIPs, Resolution, Attributes } = found as Record<string, Row>;
		assert.deepEqual(
			[hostname, ports, clusterVIPs, Resolution],
			["web.default.svc.cluster.local", [{ name: "http", port: 80, protocol: "HTTP" }], { Addresses: { Kubernetes: ["10.96.0.9"] } }, 0],
		);
		assert.deepEqual([Attributes?.["Name"], Attributes?.["LabelSelectors"]], ["web", { app: "web" }]);
		const scope = await json<{ services: readonly Row[]; namespace: string }>("sidecarz?proxyID=web-1");
		assert.deepEqual([scope.namespace, scope.services], ["default", [found]]);
		assert.deepEqual(Object.keys(await json("instancesz")), ["web-1.default", "web-2.default", "web-3.default"]);
	});

	test("policies", async () => {
		const deny = { name: "deny", namespace: "default", annotations: {}, spec: { action: "DENY", rules: [{}] } };
		const policies = { namespace_to_policies: { default: [deny] }, root_namespace: "istio-system" };
		assert.deepEqual(await json("authorizationz"), { authorization_policies: policies });
		assert.deepEqual((await json("pushcontext"))["AuthorizationPolicies"], policies);
		const logging = [{ providers: [{ name: "envoy" }] }];
		const of = {
			namespace_to_telemetries: { default: [{ name: "logs", namespace: "default", spec: { accessLogging: logging } }] },
			root_namespace: "istio-system",
		};
		assert.deepEqual(await json("telemetryz"), { telemetries: of });
		const level = { Root: { Namespace: "", Name: "" }, Namespace: { Namespace: "default", Name: "logs" }, Workload: { Namespace: "", Name: "" } };
		assert.deepEqual(await json("telemetryz?proxyID=web-1"), { ...level, Metrics: [], Logging: [{ ...level, Logging: logging }], Tracing: [] });
	});

	test("clusterz: the one cluster", async () => assert.deepEqual(await json("clusterz"), [{ id: "Kubernetes", secretName: "", syncStatus: "synced" }]));

	test("mesh: with its defaults", async () => assert.equal((await json("mesh"))["trustDomain"], "cluster.local"));

	test("what is not here says why; what nobody knows is refused in the words that istioctl knows", async () => {
		for (const page of ["ambientz", "krtz", "inject", "pprof/heap", "cachez?clear=true"]) {
			const response = await get(page);
			assert.equal(response.status, 501, page);
			assert.match(await response.text(), /^not here: ./);
		}
		const unknown = await get("constructor");
		assert.deepEqual([unknown.status, await unknown.text()], [404, "404 page not found\n"]);
		assert.match(await (await fetch(`http://${plane.httpAddress}/debug`)).text(), /href="\/debug\/syncz"/);
		assert.match(await (await get("mesh?pretty")).text(), /^\{\n {2}"/);
	});

	test("no page has a private key", async () => {
		for (const page of await json<readonly string[]>("list")) {
			const text = await (await get(`${page}${page.includes("?") ? "&" : "?"}proxyID=web-1`)).text();
			assert.ok(!text.includes(Buffer.from("a key").toString("base64")) && !text.includes("PRIVATE KEY"), page);
		}
	});
});

describe("the same over ADS, as istioctl asks", () => {
	const ask = async (token: string | undefined, namespace: string, ...names: readonly string[]) => {
		const stream = openAds(plane, {
			...(token !== undefined && { token }),
			namespace,
			serviceAccount: "default",
			pod: "istioctl",
			typeUrl: "istio.io/debug",
			names,
		});
		await until("there is an answer", () => stream.responses.length > 0 || stream.failure() !== undefined);
		stream.close();
		const failure = stream.failure();
		return failure === undefined || stream.responses.length > 0
			? { text: String(Buffer.from(stream.responses[0]?.resources[0]?.value ?? "")) }
			: { code: failure.code };
	};

	test("a page and its query are one name; the answer is the page", async () => {
		const { text } = await ask(systemToken, systemNamespace, "list");
		assert.deepEqual(JSON.parse(text ?? ""), await json("list"));
		const dump = await ask(systemToken, systemNamespace, "edsz?proxyID=web-2.default");
		assert.match(dump.text ?? "", /ClusterLoadAssignment/);
		assert.equal((await ask(systemToken, systemNamespace, "nothing")).text, "404 page not found\n");
	});

	test("by the delta protocol as well, once: an acknowledgement is no question", async () => {
		const client = connect(plane.secureAddress, plane.rootsPem());
		const stream = client.makeBidiStreamRequest(
			"/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
			(message: object) => Buffer.from(DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(message)).finish()),
			(bytes: Buffer) => DeltaDiscoveryResponse.decode(bytes),
			bearer(systemToken),
		);
		stream.on("error", () => undefined);
		const responses: DeltaDiscoveryResponse[] = [];
		stream.on("data", (response: DeltaDiscoveryResponse) => void responses.push(response));
		const typeUrl = "istio.io/debug";
		stream.write({ typeUrl, resourceNamesSubscribe: ["clusterz"] });
		await until("there is an answer", () => responses.length === 1);
		const [{ resources: [found] = [], nonce = "" } = {}] = responses;
		assert.deepEqual([found?.name, found?.resource?.typeUrl], ["clusterz", typeUrl]);
		assert.deepEqual(JSON.parse(String(Buffer.from(found?.resource?.value ?? ""))), await json("clusterz"));
		stream.write({ typeUrl, responseNonce: nonce });
		stream.write({ typeUrl, resourceNamesSubscribe: ["mcsz"] });
		await until("the next is answered", () => responses.length > 1);
		assert.deepEqual(
			responses.map(({ resources: all }) => all[0]?.name),
			["clusterz", "mcsz"],
		);
		stream.cancel();
		client.close();
	});

	test("exactly one name", async () => {
		assert.deepEqual(await ask(systemToken, systemNamespace), { code: status.INVALID_ARGUMENT });
		assert.deepEqual(await ask(systemToken, systemNamespace, "syncz", "adsz"), { code: status.INVALID_ARGUMENT });
	});

	test("others than the control plane's namespace: three pages, about proxies of their own", async () => {
		const own = token({ ns: "default", sa: "web", pod: "web-1" });
		const spy = token({ ns: "other", sa: "spy", pod: "p" });
		for (const page of ["syncz", "adsz", "configz", "list", "config_dump/../syncz"])
			assert.deepEqual(await ask(own, "default", page), { code: status.PERMISSION_DENIED }, page);
		assert.match((await ask(own, "default", "config_dump?proxyID=web-1.default")).text ?? "", /ClustersConfigDump/);
		assert.match((await ask(spy, "other", "config_dump?proxyID=web-1.default")).text ?? "", /^Proxy not connected/);
	});

	test("nobody", async () => assert.deepEqual(await ask(undefined, systemNamespace, "syncz"), { code: status.UNAUTHENTICATED }));
});
