import assert from "node:assert/strict";
import { createServer, get, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type handleBidiStreamingCall, Server as GrpcServer } from "@grpc/grpc-js";
import { typeUrls } from "@weft/xds";
import { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { RateLimitRequest, RateLimitResponse } from "@weft/xds/generated/envoy/service/ratelimit/v3/rls.ts";
import { Runtime } from "@weft/xds/generated/envoy/service/runtime/v3/rtds.ts";
import { extension, fileLog, httpFilter, httpListener, loopback, router, staticCluster } from "./config.ts";
import { bindServer, deltaMethod } from "./grpc-method.ts";
import { grpcCluster, startService } from "./grpc-services.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

type Layer = Record<string, unknown>;

/** A control plane that has one layer of the runtime, and gives it when it is told to. */
class RuntimeServer {
	port = 0;
	readonly #server = new GrpcServer();
	#give: ((layer: Layer | undefined) => void) | undefined;
	refusals = 0;

	async start(): Promise<void> {
		const stream: handleBidiStreamingCall<DeltaDiscoveryRequest, DeltaDiscoveryResponse> = (call) => {
			let nonce = 0;
			call.on("error", () => undefined).on("end", () => call.end());
			call.on("data", ({ errorDetail, resourceNamesSubscribe, typeUrl }: DeltaDiscoveryRequest) => {
				if (errorDetail !== undefined) this.refusals++;
				if (typeUrl !== typeUrls.rtds || !resourceNamesSubscribe.includes("mesh")) return;
				this.#give = (layer) => {
					const value = layer && Runtime.encode({ name: "mesh", layer }).finish();
					const resources = value === undefined ? [] : [{ name: "mesh", version: String(++nonce), resource: { typeUrl, value } }];
					call.write(DeltaDiscoveryResponse.fromPartial({ typeUrl, nonce: String(nonce), resources, removedResources: layer === undefined ? ["mesh"] : [] }));
				};
			});
		};
		const all = deltaMethod();
		const own = deltaMethod("/envoy.service.runtime.v3.RuntimeDiscoveryService/DeltaRuntime");
		this.#server.addService({ all, own }, { all: stream, own: stream });
		this.port = await bindServer(this.#server);
	}

	/** undefined: it is no more. Waits for somebody to ask. */
	async give(layer: Layer | undefined): Promise<void> {
		while (this.#give === undefined) await sleep(20);
		this.#give(layer);
	}

	stop(): void {
		this.#server.forceShutdown();
	}
}

const share = (runtime_key: string, numerator = 0) => ({ default_value: { numerator, denominator: "HUNDRED" }, runtime_key });

async function ask(proxy: Proxy, path: string, headers: Record<string, string> = {}): Promise<number> {
	return new Promise((resolve, reject) => {
		get({ host: "127.0.0.1", port: proxy.port("http"), path, headers, agent: false }, (response) => {
			response.resume().on("end", () => resolve(response.statusCode ?? 0));
		}).on("error", reject);
	});
}

async function both<T>(pair: readonly [Proxy, Proxy], observe: (proxy: Proxy) => Promise<T>): Promise<T> {
	const [envoy, weft] = [await observe(pair[0]), await observe(pair[1])];
	assert.deepEqual(weft, envoy);
	return envoy;
}

const api = { api_type: "DELTA_GRPC", transport_api_version: "V3", grpc_services: [{ envoy_grpc: { cluster_name: "xds" } }] };
const sources = { ADS: { ads: {} }, "a stream of its own": { api_config_source: api } } as const;

for (const [title, source] of Object.entries(sources)) {
	void describe(`a layer of the runtime over ${title}, beside a real Envoy`, { skip: skipReason }, () => {
		const servers = { envoy: new RuntimeServer(), weft: new RuntimeServer() };
		let pair: readonly [Proxy, Proxy];
		before(async () => {
			for (const server of Object.values(servers)) await server.start();
			const routes = [
				{ match: { prefix: "/", runtime_fraction: share("mesh.share") }, direct_response: { status: 200 } },
				{ match: { prefix: "/" }, direct_response: { status: 404 } },
			];
			pair = await startPair(
				(_, name) => ({
					node: { id: "node", cluster: "service" },
					admin: { address: loopback(0) },
					...("ads" in source && { dynamic_resources: { ads_config: api } }),
					layered_runtime: {
						layers: [
							{ name: "base", static_layer: { mesh: { share: 0, other: 1 } } },
							{ name: "discovered", rtds_layer: { name: "mesh", rtds_config: { resource_api_version: "V3", ...source, initial_fetch_timeout: "30s" } } },
						],
					},
					static_resources: {
						listeners: [httpListener("http", { route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] } })],
						clusters: [grpcCluster("xds", servers[name].port)],
					},
				}),
				[],
			);
		});
		after(async () => {
			for (const proxy of pair ?? []) await proxy.stop();
			for (const server of Object.values(servers)) server.stop();
		});
		const until = async (isTrue: () => Promise<boolean>) => {
			for (const end = performance.now() + 15_000; !(await isTrue()); await sleep(20)) assert.ok(performance.now() < end, "it did not come to that");
		};
		const shown = async (proxy: Proxy) =>
			JSON.parse(await proxy.admin("/runtime")) as { readonly entries: Readonly<Record<string, { readonly final_value: string }>> };
		const give = async (proxy: Proxy, layer: Layer | undefined) => servers[proxy.name].give(layer);
		const counts = async (proxy: Proxy) =>
			(await proxy.admin("/stats?filter=^runtime\\.(update_(attempt|success|rejected|failure)|init_fetch|num_)")).split("\n");

		test("nobody is served before it is there", async () => {
			await both(pair, async (proxy) => {
				await sleep(500);
				const isReady = (await proxy.admin("/ready")).startsWith("LIVE");
				await give(proxy, { mesh: { share: 100 } });
				await until(async () => (await proxy.admin("/ready")).startsWith("LIVE"));
				return [isReady, await shown(proxy), await counts(proxy)];
			});
		});

		test("what comes later counts from then on, what is wrong does not", async () => {
			const ports = await Promise.all(pair.map(async (proxy) => portOf(await proxy.admin("/listeners?format=json"))));
			const status = async (proxy: Proxy) => (await fetch(`http://127.0.0.1:${ports[pair.indexOf(proxy)]}/`)).status;
			assert.equal(await both(pair, status), 200);
			await both(pair, async (proxy) => {
				await give(proxy, { mesh: { share: 0, fresh: true } });
				await until(async () => (await shown(proxy)).entries["mesh.fresh"] !== undefined);
				await sleep(50);
				const before = await status(proxy);
				await give(proxy, { mesh: { share: 100, list: [1] } });
				await until(async () => servers[proxy.name].refusals > 0);
				return [before, await status(proxy), await shown(proxy), await counts(proxy)];
			});
		});

		test("one that is removed leaves the layers below it", async () => {
			await both(pair, async (proxy) => {
				await give(proxy, undefined);
				await until(async () => (await shown(proxy)).entries["mesh.fresh"] === undefined);
				return [await shown(proxy), await counts(proxy)];
			});
		});
	});
}

function portOf(page: string): number {
	const { listener_statuses } = JSON.parse(page) as {
		readonly listener_statuses: readonly { readonly local_address: { readonly socket_address: { readonly port_value: number } } }[];
	};
	return listener_statuses[0]?.local_address.socket_address.port_value ?? 0;
}

void describe("filters that ask services, as the runtime says, beside a real Envoy", { skip: skipReason }, () => {
	let upstream: Server;
	let limits: { readonly port: number; stop(): void };
	let pair: readonly [Proxy, Proxy];
	before(async () => {
		upstream = createServer((incoming, response) => {
			response.statusCode = incoming.url === "/check/denied" ? 403 : 200;
			response.end();
		});
		await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
		limits = await startService("/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit", RateLimitRequest, RateLimitResponse, () =>
			RateLimitResponse.fromPartial({ overallCode: 2 }),
		);
		const { port } = upstream.address() as AddressInfo;
		const off = (name: string, message: string) => ({
			[`envoy.filters.http.${name}`]: { "@type": `type.googleapis.com/envoy.extensions.filters.http.${message}`, disabled: true },
		});
		const limited = { route: { cluster: "up", rate_limits: [{ disable_key: "mine", actions: [{ generic_key: { descriptor_value: "v" } }] }] } };
		const routes = [
			{ match: { prefix: "/limited" }, ...limited, typed_per_filter_config: off("ext_authz", "ext_authz.v3.ExtAuthzPerRoute") },
			{ match: { prefix: "/traced" }, route: { cluster: "up" }, typed_per_filter_config: off("ext_authz", "ext_authz.v3.ExtAuthzPerRoute") },
			{ match: { prefix: "/" }, route: { cluster: "up" } },
		];
		const filters = [
			httpFilter("envoy.filters.http.ext_authz", "ext_authz.v3.ExtAuthz", {
				http_service: { server_uri: { uri: "http://up", cluster: "up", timeout: "1s" }, path_prefix: "/check" },
				filter_enabled: share("authz.enabled", 100),
				deny_at_disable: { default_value: false, runtime_key: "authz.deny" },
			}),
			httpFilter("envoy.filters.http.ratelimit", "ratelimit.v3.RateLimit", {
				domain: "d",
				timeout: "1s",
				rate_limit_service: { transport_api_version: "V3", grpc_service: { envoy_grpc: { cluster_name: "limits" } } },
			}),
			router,
		];
		const tracing = {
			provider: extension("envoy.tracers.zipkin", "config.trace.v3.ZipkinConfig", {
				collector_cluster: "up",
				collector_endpoint: "/api/v2/spans",
				collector_endpoint_version: "HTTP_JSON",
			}),
		};
		pair = await startPair(
			(log) => ({
				admin: { address: loopback(0) },
				layered_runtime: { layers: [{ name: "admin", admin_layer: {} }] },
				static_resources: {
					listeners: [
						httpListener("http", {
							access_log: [fileLog(log, { code: "%RESPONSE_CODE%", flags: "%RESPONSE_FLAGS%", details: "%RESPONSE_CODE_DETAILS%", id: "%REQ(X-REQUEST-ID)%" })],
							http_filters: filters,
							route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
							tracing,
						}),
					],
					clusters: [staticCluster("up", port), grpcCluster("limits", limits.port)],
				},
			}),
			["http"],
		);
	});
	after(async () => {
		for (const proxy of pair ?? []) await proxy.stop();
		limits?.stop();
		upstream?.close().closeAllConnections();
	});

	/** The request's line in the log, of its id what says whether it is traced. */
	const lineOf = async (proxy: Proxy, path: string, headers: Record<string, string> = {}) => {
		const before = proxy.log().length;
		const status = await ask(proxy, path, headers);
		for (const end = performance.now() + 10_000; proxy.log().length === before; await sleep(20)) assert.ok(performance.now() < end, "a line in the log");
		const { id, ...line } = proxy.log().at(-1) ?? {};
		return { status, ...line, reason: String(id)[14] };
	};
	const withAndWithout = async (keys: Readonly<Record<string, number | string>>, path: string, headers: Record<string, string> = {}) =>
		both(pair, async (proxy) => {
			const modify = async (entries: readonly (readonly [string, string | number])[]) => {
				await proxy.askAdmin(`/runtime_modify?${entries.map(([key, value]) => `${key}=${value}`).join("&")}`, "POST");
				await sleep(50);
			};
			await modify(Object.entries(keys));
			const set = await lineOf(proxy, path, headers);
			await modify(Object.keys(keys).map((key) => [key, ""]));
			return { set, unset: await lineOf(proxy, path, headers) };
		});

	test("authorization", async () => {
		const { set, unset } = await withAndWithout({ "authz.enabled": 0 }, "/denied");
		assert.deepEqual([set.status, unset.status], [200, 403]);
		await withAndWithout({ "authz.enabled": 0, "authz.deny": "true" }, "/fine");
		await both(pair, (proxy) => proxy.stats(/ext_authz\./));
	});

	test("limits of a service", async () => {
		for (const key of ["ratelimit.http_filter_enabled", "ratelimit.http_filter_enforcing", "ratelimit.mine.http_filter_enabled"]) {
			const { set, unset } = await withAndWithout({ [key]: 0 }, "/limited");
			assert.deepEqual([set.status, unset.status], [200, 429], key);
		}
		await withAndWithout({ "ratelimit.other.http_filter_enabled": 0 }, "/limited");
		await both(pair, (proxy) => proxy.stats(/^cluster\.up\.(ratelimit\.|upstream_rq_429)/));
	});

	test("traces", async () => {
		const { set, unset } = await withAndWithout({ "tracing.random_sampling": 0 }, "/traced");
		assert.deepEqual([set.reason, unset.reason], ["4", "9"]);
		await withAndWithout({ "tracing.global_enabled": 0 }, "/traced");
		await withAndWithout({ "tracing.client_enabled": 0, "tracing.random_sampling": 0 }, "/traced", { "x-client-trace-id": "c" });
		await withAndWithout({ "tracing.random_sampling": 0 }, "/traced", { "x-client-trace-id": "c" });
	});
});
