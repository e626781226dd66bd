import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { fromJson, type Json, registerMessages, toJson } from "@weft/xds";
import { DiscoveryRequest, DiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { allMessages } from "@weft/xds/registry";
import { apply, eventually, forwardPort, kubectl, kubectlJson } from "../kubectl.ts";
import { clusterMissing, deploy, example, freshNamespace, installMesh, pods, removeNamespace, systemNamespace } from "../mesh.ts";

const namespace = "e2e-stock-tools";
const image = process.env["WEFT_E2E_ENVOY_IMAGE"];

type Row = { readonly [key: string]: Json };
type Dump = { readonly configs: readonly Row[] };

// What tools that were made for Istio ask of a control plane and its proxies, asked as istioctl does.
describe("stock tools", { skip: clusterMissing }, () => {
	const stop = new AbortController();
	let istiod = "";

	before(async () => {
		registerMessages(allMessages);
		await installMesh();
		await freshNamespace(namespace);
		await deploy(namespace, "bookinfo/bookinfo.yaml");
		await apply(namespace, example("bookinfo/networking/destination-rule-all.yaml"));
		istiod = (await pods(systemNamespace, "app=istiod"))[0]?.metadata.name ?? "";
	});
	after(async () => {
		stop.abort();
		await removeNamespace(namespace);
	});

	const ports = new Map<string, Promise<number>>();
	const forwarded = (of: string, pod: string, port: number): Promise<number> => {
		const key = `${of}/${pod}:${port}`;
		const known = ports.get(key) ?? forwardPort(of, pod, port, stop.signal);
		ports.set(key, known);
		return known;
	};
	const get = async (port: number, path: string, init: RequestInit = {}) => {
		const response = await fetch(`http://127.0.0.1:${port}${path}`, { ...init, headers: { connection: "close" } });
		return { status: response.status, text: await response.text() };
	};

	/** One question of `istioctl x internal-debug`: over TLS, with a token of a service account. */
	async function ask(account: string, of: string, name: string): Promise<{ readonly text: string } | { readonly error: string }> {
		const roots = await kubectlJson<{ data: Record<string, string> }>("get", "configmap", "-n", systemNamespace, "istio-ca-root-cert");
		const token = (await kubectl("create", "token", account, "-n", of, "--audience", "istio-ca")).trim();
		const metadata = new Metadata();
		metadata.set("authorization", `Bearer ${token}`);
		const target = `127.0.0.1:${await forwarded(systemNamespace, istiod, 15_012)}`;
		const client = new Client(target, credentials.createSsl(Buffer.from(roots.data["root-cert.pem"] ?? "")), {
			"grpc.ssl_target_name_override": `istiod.${systemNamespace}.svc`,
			"grpc.max_receive_message_length": -1,
		});
		const stream = client.makeBidiStreamRequest(
			"/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
			(message: object) => Buffer.from(DiscoveryRequest.encode(DiscoveryRequest.fromPartial(message)).finish()),
			(bytes: Buffer) => DiscoveryResponse.decode(bytes),
			metadata,
		);
		try {
			return await new Promise((resolve) => {
				stream.on("data", ({ resources: [found] }: DiscoveryResponse) => resolve({ text: Buffer.from(found?.value ?? "").toString() }));
				stream.on("error", (error: Error) => resolve({ error: error.message }));
				stream.write({ node: { id: "debug~0.0.0.0~istioctl~cluster.local" }, typeUrl: "istio.io/debug", resourceNames: [name] });
			});
		} finally {
			stream.cancel();
			client.close();
		}
	}

	test("debug questions over ADS: all for the system's namespace, the own proxies for others", async () => {
		await eventually("every proxy is synced", async () => {
			const answer = await ask("default", systemNamespace, `syncz?namespace=${namespace}`);
			assert.ok("text" in answer, JSON.stringify(answer));
			const rows = JSON.parse(answer.text) as readonly Record<string, string>[];
			assert.equal(rows.length, (await pods(namespace)).length);
			for (const row of rows) for (const type of ["cluster", "listener", "route", "endpoint"]) assert.equal(row[`${type}_acked`], row[`${type}_sent`]);
		});
		const [pod] = await pods(namespace, "app=productpage");
		const question = `edsz?proxyID=${pod?.metadata.name}.${namespace}`;
		for (const [account, of] of [
			["default", systemNamespace],
			["bookinfo-productpage", namespace],
		] as const) {
			const answer = await ask(account, of, question);
			assert.ok("text" in answer && answer.text.includes(`outbound|9080||reviews.${namespace}.svc.cluster.local`), JSON.stringify(answer).slice(0, 300));
		}
		const stranger = await ask("default", "default", question);
		assert.match("text" in stranger ? stranger.text : "", /^Proxy not connected/);
		assert.match(JSON.stringify(await ask("bookinfo-productpage", namespace, "syncz")), /PERMISSION_DENIED/);
	});

	/** The dynamic resources of a dump, by section and name, as `istioctl proxy-status POD` compares them: without versions and times, in order of names. */
	function resourcesOf(text: string): ReadonlyMap<string, Json> {
		const { configs } = toJson("envoy.admin.v3.ConfigDump", fromJson("envoy.admin.v3.ConfigDump", JSON.parse(text))) as unknown as Dump;
		const found = new Map<string, Json>();
		const add = (resource: Json | undefined) => {
			const { "@type": type, name, virtualHosts, ...rest } = resource as Row;
			const hosts = (virtualHosts ?? []) as readonly Row[];
			const sorted = hosts.toSorted((a, b) => (String(a["name"]) < String(b["name"]) ? -1 : 1));
			found.set(`${String(type).split(".").at(-1)} ${String(name)}`, { ...rest, ...(virtualHosts !== undefined && { virtualHosts: sorted }) });
		};
		for (const section of configs) {
			for (const { cluster } of (section["dynamicActiveClusters"] ?? []) as readonly Row[]) add(cluster);
			for (const { activeState } of (section["dynamicListeners"] ?? []) as readonly Row[]) add((activeState as Row)["listener"]);
			for (const { routeConfig } of (section["dynamicRouteConfigs"] ?? []) as readonly Row[]) add(routeConfig);
		}
		return found;
	}

	async function assertMatches(selector: string): Promise<void> {
		await eventually(`${selector} has what the control plane wants`, async () => {
			const [pod] = await pods(namespace, selector);
			const name = pod?.metadata.name ?? "";
			const wanted = await get(await forwarded(systemNamespace, istiod, 15_014), `/debug/config_dump?proxyID=${name}.${namespace}`);
			const present = await get(await forwarded(namespace, name, 15_000), "/config_dump");
			assert.deepEqual([wanted.status, present.status], [200, 200]);
			const [theirs, ours] = [resourcesOf(wanted.text), resourcesOf(present.text)];
			assert.ok(theirs.size > 10);
			assert.deepEqual([...ours.keys()].sort(), [...theirs.keys()].sort());
			for (const [key, value] of theirs) assert.deepEqual(ours.get(key), value, key);
		});
	}

	test("the control plane's dump of a proxy is the proxy's own: idle, after edits, and with filters of an EnvoyFilter", async () => {
		await assertMatches("app=productpage");
		await apply(namespace, example("bookinfo/networking/virtual-service-reviews-90-10.yaml"));
		await assertMatches("app=productpage");
		const buffer = { "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer", max_request_bytes: 1_000_000 };
		const discovery = { config_source: { ads: {}, resource_api_version: "V3" }, type_urls: [buffer["@type"]] };
		const router = { filterChain: { filter: { name: "envoy.filters.network.http_connection_manager", subFilter: { name: "envoy.filters.http.router" } } } };
		const configPatches = [
			{ applyTo: "EXTENSION_CONFIG", patch: { operation: "ADD", value: { name: "limit", typed_config: buffer } } },
			{
				applyTo: "HTTP_FILTER",
				match: { context: "SIDECAR_OUTBOUND", listener: router },
				patch: { operation: "INSERT_BEFORE", value: { name: "limit", config_discovery: discovery } },
			},
			{ applyTo: "VIRTUAL_HOST", match: { context: "SIDECAR_OUTBOUND" }, patch: { operation: "MERGE", value: { request_headers_to_remove: ["x-gone"] } } },
		];
		await apply(namespace, [{ apiVersion: "networking.istio.io/v1alpha3", kind: "EnvoyFilter", metadata: { name: "limit" }, spec: { configPatches } }]);
		await assertMatches("app=productpage");
	});

	test("and so it is with an Envoy under the agent", {
		skip: image === undefined ? "no image of Envoy was built: npm run peers, then npm run e2e" : false,
	}, async () => {
		const template = { metadata: { annotations: { "sidecar.istio.io/proxyImage": image } } };
		await kubectl("patch", "deployment", "reviews-v1", "-n", namespace, "-p", JSON.stringify({ spec: { template } }));
		await kubectl("rollout", "status", "deployment/reviews-v1", "-n", namespace, "--timeout=180s");
		await assertMatches("app=reviews,version=v1");
	});

	test("log levels of the control plane, as istioctl admin log sets them", async () => {
		const port = await forwarded(systemNamespace, istiod, 9876);
		const level = async () => {
			const scopes = JSON.parse((await get(port, "/scopej")).text) as readonly { readonly name: string; readonly output_level: string }[];
			return scopes.find(({ name }) => name === "ads")?.output_level;
		};
		const set = (output_level: string) => get(port, "/scopej/ads", { method: "PUT", body: JSON.stringify({ name: "ads", output_level }) });
		const before = (await level()) ?? "";
		assert.equal((await set("debug")).status, 202);
		assert.equal(await level(), "debug");
		assert.equal((await set(before)).status, 202);
	});
});
