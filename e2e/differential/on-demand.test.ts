import assert from "node:assert/strict";
import { createServer, get } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type handleBidiStreamingCall, Server } from "@grpc/grpc-js";
import { fromJson, messageFns, typeUrls } from "@weft/xds";
import { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { registerImplemented } from "../../packages/proxy/src/config/decode/index.ts";
import { ads } from "./ads-server.ts";
import { httpFilter, httpListener, loopback, router, staticCluster } from "./config.ts";
import { bindServer, deltaMethod } from "./grpc-method.ts";
import { grpcCluster } from "./grpc-services.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

/** A control plane that gives virtual hosts by name alone, to those who ask. */
class OnDemandServer {
	/** Names of virtual hosts that were asked for. */
	readonly asked: string[] = [];
	readonly #server = new Server();
	readonly #listener: object;

	constructor(listener: object) {
		this.#listener = listener;
	}

	start(): Promise<number> {
		const stream: handleBidiStreamingCall<DeltaDiscoveryRequest, DeltaDiscoveryResponse> = (call) => {
			let nonce = 0;
			call.on("error", () => undefined).on("end", () => call.end());
			call.on("data", (request: DeltaDiscoveryRequest) => {
				const resources = this.#answer(request);
				if (resources !== undefined)
					call.write(
						DeltaDiscoveryResponse.fromPartial({ typeUrl: request.typeUrl, nonce: String(++nonce), systemVersionInfo: "1", resources: [...resources] }),
					);
			});
		};
		this.#server.addService({ stream: deltaMethod() }, { stream });
		return bindServer(this.#server);
	}

	stop(): void {
		this.#server.forceShutdown();
	}

	#answer({ typeUrl, resourceNamesSubscribe, responseNonce }: DeltaDiscoveryRequest) {
		switch (typeUrl) {
			case typeUrls.lds:
				return responseNonce === "" ? [resource(typeUrl, "http", "envoy.config.listener.v3.Listener", this.#listener)] : undefined;
			case typeUrls.cds:
				return responseNonce === "" ? [] : undefined;
			case typeUrls.rds:
				return resourceNamesSubscribe.includes("table") ? [resource(typeUrl, "table", "envoy.config.route.v3.RouteConfiguration", discovered)] : undefined;
			case typeUrls.vhds: {
				const names = resourceNamesSubscribe.filter((name) => name.includes("/"));
				this.asked.push(...names);
				if (resourceNamesSubscribe.length === 0) return undefined;
				return names.map((name) => hostOf(name));
			}
		}
		return undefined;
	}
}

function hostOf(name: string) {
	const domain = name.slice(name.indexOf("/") + 1);
	// Nothing but its name: there is none.
	if (!domain.endsWith(".example")) return { name, version: "1", aliases: [name] };
	const host = {
		name,
		domains: [domain],
		routes: [{ match: { prefix: "/" }, route: { cluster: "up" }, response_headers_to_add: [{ header: { key: "x-host", value: domain } }] }],
	};
	return { ...resource(typeUrls.vhds, name, "envoy.config.route.v3.VirtualHost", host), aliases: [name] };
}

function resource(typeUrl: string, name: string, typeName: string, json: object) {
	const value = messageFns(typeName)?.encode(fromJson(typeName, json)).finish() ?? new Uint8Array();
	return { name, version: "1", resource: { typeUrl, value } };
}

const discovered = { name: "table", vhds: { config_source: { ...ads, initial_fetch_timeout: "0.5s" } } };

for (const [where, routes] of Object.entries({
	"of a table by RDS": { rds: { route_config_name: "table", config_source: ads } },
	"of a table in line": { route_config: discovered },
}))
	test(`requests wait for virtual hosts ${where} that the control plane gives by name`, { skip: skipReason }, (t) => checkOnDemand(t, routes));

async function checkOnDemand(t: TestContext, routes: object): Promise<void> {
	registerImplemented();
	const upstream = createServer((incoming, response) => incoming.pipe(response));
	await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
	upstream.unref();
	const listener = httpListener("http", {
		...routes,
		http_filters: [httpFilter("envoy.filters.http.on_demand", "on_demand.v3.OnDemand"), router],
	});
	const servers = [new OnDemandServer(listener), new OnDemandServer(listener)] as const;
	const ports = [await servers[0].start(), await servers[1].start()] as const;
	t.after(() => {
		for (const server of servers) server.stop();
		upstream.close().closeAllConnections();
	});
	const proxies = await startPair(
		(_log, name) => ({
			node: { id: "n", cluster: "c" },
			admin: { address: loopback(0) },
			dynamic_resources: {
				ads_config: { api_type: "DELTA_GRPC", transport_api_version: "V3", grpc_services: [{ envoy_grpc: { cluster_name: "xds" } }] },
				lds_config: ads,
				cds_config: ads,
			},
			static_resources: {
				clusters: [grpcCluster("xds", ports[name === "envoy" ? 0 : 1]), staticCluster("up", (upstream.address() as AddressInfo).port)],
			},
		}),
		["http"],
	);
	t.after(() => Promise.all(proxies.map((proxy) => proxy.stop())));
	// Envoy shows a port before anybody listens there.
	for (const proxy of proxies) while (!(await proxy.admin("/ready")).startsWith("LIVE")) await sleep(50);
	const observe = async (proxy: Proxy) => {
		const together = await Promise.all(["a.example", "a.example", "B.example"].map((host) => ask(proxy, host)));
		const later = [await ask(proxy, "a.example"), await ask(proxy, "absent"), await ask(proxy, "c.example")];
		return [...together, ...later, await shownDomains(proxy)];
	};
	const [envoy, weft] = [await observe(proxies[0]), await observe(proxies[1])];
	assert.deepEqual(weft, envoy);
	assert.deepEqual(weft, [
		"200 a.example",
		"200 a.example",
		"200 b.example",
		"200 a.example",
		"404 ",
		"200 c.example",
		["a.example", "b.example", "c.example"],
	]);
	const distinct = ({ asked }: OnDemandServer) => [...new Set(asked)].sort();
	assert.deepEqual(distinct(servers[1]), distinct(servers[0]));
	assert.equal(servers[1].asked.length, 4, "each name is asked for once");
}

/** Of the one table in /config_dump. */
async function shownDomains(proxy: Proxy): Promise<readonly string[]> {
	const dump = JSON.parse(await proxy.admin("/config_dump")) as Dump;
	const tables = dump.configs.flatMap(({ static_route_configs = [], dynamic_route_configs = [] }) => [...static_route_configs, ...dynamic_route_configs]);
	return tables.flatMap(({ route_config }) => (route_config.virtual_hosts ?? []).flatMap(({ domains }) => domains)).sort();
}

interface Dump {
	readonly configs: readonly Partial<Record<"static_route_configs" | "dynamic_route_configs", readonly Table[]>>[];
}

interface Table {
	readonly route_config: { readonly virtual_hosts?: readonly { readonly domains: readonly string[] }[] };
}

function ask(proxy: Proxy, host: string): Promise<string> {
	return new Promise((resolve, reject) => {
		get({ host: "127.0.0.1", port: proxy.port("http"), headers: { host } }, (response) => {
			response.resume().on("end", () => resolve(`${response.statusCode} ${String(response.headers["x-host"] ?? "")}`));
		}).on("error", reject);
	});
}
