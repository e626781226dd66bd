import assert from "node:assert/strict";
import { createServer, get, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type handleBidiStreamingCall, Server, type ServerDuplexStream } from "@grpc/grpc-js";
import { LoadStatsRequest, LoadStatsResponse } from "@weft/xds/generated/envoy/service/load_stats/v3/lrs.ts";
import { httpListener, loopback, staticCluster } from "./config.ts";
import { bindServer, grpcMethod } from "./grpc-method.ts";
import { grpcCluster } from "./grpc-services.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

type Stream = ServerDuplexStream<LoadStatsRequest, LoadStatsResponse>;

/** A management server that keeps what one proxy tells it. */
class LoadService {
	readonly requests: LoadStatsRequest[] = [];
	/** Streams so far. */
	opened = 0;
	readonly #streams = new Set<Stream>();
	readonly #server = new Server();

	start(): Promise<number> {
		const stream: handleBidiStreamingCall<LoadStatsRequest, LoadStatsResponse> = (call) => {
			this.opened++;
			this.#streams.add(call);
			call.on("data", (request: LoadStatsRequest) => this.requests.push(request)).on("error", () => undefined);
			call.on("end", () => call.end()).on("close", () => this.#streams.delete(call));
		};
		const definition = grpcMethod("/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats", "bidirectional", LoadStatsRequest, LoadStatsResponse);
		this.#server.addService({ stream: definition }, { stream });
		return bindServer(this.#server);
	}

	ask(clusters: readonly string[], more: Partial<LoadStatsResponse> = {}): void {
		const asked = LoadStatsResponse.fromPartial({ clusters: [...clusters], loadReportingInterval: { seconds: 0n, nanos: 300_000_000 }, ...more });
		for (const stream of this.#streams) stream.write(asked);
	}

	breakOff(): void {
		for (const stream of this.#streams) stream.emit("error", { code: 14, details: "moved" });
	}

	stop(): void {
		this.#server.forceShutdown();
	}

	/** Everything reported of a cluster, added up by priority and zone; what is under way as it was last. */
	sums(cluster: string): Readonly<Record<string, Readonly<Record<string, number>>>> {
		const sums: Record<string, Record<string, number>> = {};
		for (const stats of this.requests.flatMap(({ clusterStats }) => clusterStats).filter(({ clusterName }) => clusterName === cluster)) {
			for (const { locality, priority, upstreamEndpointStats, ...locals } of stats.upstreamLocalityStats) {
				const own = (sums[`${priority} ${locality?.zone}`] ??= {});
				for (const [name, value] of Object.entries(locals)) {
					if (typeof value !== "bigint" || (value === 0n && own[name] === undefined)) continue;
					own[name] = name.endsWith("InProgress") || name.endsWith("ActiveConnections") ? Number(value) : (own[name] ?? 0) + Number(value);
				}
				if (own["totalRequestsInProgress"] === 0) delete own["totalRequestsInProgress"];
				own["endpoints"] = Math.max(own["endpoints"] ?? 0, upstreamEndpointStats.length);
			}
		}
		return sums;
	}

	/** Requests that came to no host of a cluster: all, and by category. */
	drops(cluster: string): Readonly<Record<string, number>> {
		const drops: Record<string, number> = { all: 0 };
		for (const stats of this.requests.flatMap(({ clusterStats }) => clusterStats).filter(({ clusterName }) => clusterName === cluster)) {
			drops["all"] = (drops["all"] ?? 0) + Number(stats.totalDroppedRequests);
			for (const { category, droppedCount } of stats.droppedRequests) drops[category] = (drops[category] ?? 0) + Number(droppedCount);
		}
		return drops;
	}
}

const requests = ["/ok", "/ok", "/500", "/404", "/503-then-ok", "/grpc-ok", "/grpc-unavailable", "/grpc-not-found", "/dead", "/slow", "/reset"];

test("load reports are Envoy's", { skip: skipReason }, async (t) => {
	const services = [new LoadService(), new LoadService()] as const;
	const lrsPorts = [await services[0].start(), await services[1].start()] as const;
	const upstreams: HttpServer[] = [];
	for (let i = 0; i < 2; i++) {
		const upstream = createServer((incoming, response) => {
			incoming.resume();
			const path = incoming.url ?? "";
			const grpc = { "grpc-ok": "0", "grpc-unavailable": "14", "grpc-not-found": "5" }[path.slice(1)];
			if (grpc !== undefined) {
				response.writeHead(200, { "content-type": "application/grpc", trailer: "grpc-status" });
				response.write("x");
				response.addTrailers({ "grpc-status": grpc });
				return response.end();
			}
			if (path === "/slow") return undefined;
			if (path === "/reset") return incoming.socket.destroy();
			return response.writeHead({ "/500": 500, "/404": 404, "/503-then-ok": 503 }[path] ?? 200).end("ok");
		});
		await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
		upstream.unref();
		upstreams.push(upstream);
	}
	const ports = upstreams.map((upstream) => (upstream.address() as AddressInfo).port);
	const endpoint = (port: number) => ({ endpoint: { address: loopback(port) } });
	const localities = [
		{ locality: { region: "r", zone: "a" }, priority: 0, lb_endpoints: [endpoint(ports[0] as number)] },
		{ locality: { region: "r", zone: "b" }, priority: 1, lb_endpoints: [endpoint(ports[1] as number)] },
	];
	const trailers = {
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
			"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			explicit_http_config: { http_protocol_options: { enable_trailers: true } },
		},
	};
	const routes = [
		{ match: { prefix: "/dead" }, route: { cluster: "dead" } },
		{ match: { prefix: "/503-then-ok" }, route: { cluster: "up", retry_policy: { retry_on: "5xx", num_retries: 1 } } },
		{ match: { prefix: "/slow" }, route: { cluster: "up", timeout: "0.2s" } },
		{ match: { prefix: "/shed" }, route: { cluster: "shed" } },
		{ match: { prefix: "/full" }, route: { cluster: "full" } },
		{ match: { prefix: "/other" }, route: { cluster: "other" } },
		{ match: { prefix: "/" }, route: { cluster: "up" } },
	];
	const proxies = await startPair(
		(_log, name) => ({
			node: { id: "n", cluster: "c" },
			admin: { address: loopback(0) },
			cluster_manager: { load_stats_config: { api_type: "GRPC", transport_api_version: "V3", grpc_services: [{ envoy_grpc: { cluster_name: "lrs" } }] } },
			static_resources: {
				listeners: [httpListener("http", { route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] } })],
				clusters: [
					{ ...staticCluster("up", [], { typed_extension_protocol_options: trailers }), load_assignment: { cluster_name: "up", endpoints: localities } },
					staticCluster("dead", 1),
					staticCluster("shed", ports[1] as number, {
						load_assignment: {
							cluster_name: "shed",
							endpoints: [{ lb_endpoints: [endpoint(ports[1] as number)] }],
							policy: { drop_overloads: [{ category: "too much", drop_percentage: { numerator: 100 } }] },
						},
					}),
					staticCluster("full", ports[1] as number, { circuit_breakers: { thresholds: [{ max_requests: 0 }] } }),
					staticCluster("other", ports[1] as number),
					grpcCluster("lrs", lrsPorts[name === "envoy" ? 0 : 1]),
				],
			},
		}),
		["http"],
	);
	t.after(async () => {
		await Promise.all(proxies.map((proxy) => proxy.stop()));
		for (const upstream of upstreams) upstream.close().closeAllConnections();
		for (const service of services) service.stop();
	});

	await t.test("the first request says who reports", async () => {
		for (const { requests: seen } of services) {
			await until(() => seen.length > 0);
			assert.deepEqual([seen[0]?.node?.id, seen[0]?.node?.cluster, seen[0]?.clusterStats], ["n", "c", []]);
			assert.ok(seen[0]?.node?.clientFeatures.includes("envoy.lrs.supports_send_all_clusters"));
		}
	});

	await t.test("what came of requests, by locality", async () => {
		// What was before it asked is not reported.
		for (const proxy of proxies) await ask(proxy, "/ok");
		for (const service of services) {
			service.ask(["up", "dead", "absent", "shed", "full"]);
			await until(() => service.requests.length > 2);
			assert.deepEqual(service.sums("up"), {});
		}
		for (const proxy of proxies) for (const path of requests) await ask(proxy, path);
		for (const proxy of proxies) for (const path of ["/other", "/shed", "/shed", "/full"]) await ask(proxy, path);
		const issued = (service: LoadService) => service.sums("up")["0 a"]?.["totalIssuedRequests"];
		await until(() => services.every((service) => issued(service) === requests.length));
		// One more period, in which nothing happens.
		const before = services[1].requests.length;
		await until(() => services[1].requests.length > before + 1);
		for (const cluster of ["up", "dead", "other", "absent"]) assert.deepEqual(services[1].sums(cluster), services[0].sums(cluster), cluster);
		for (const cluster of ["up", "shed", "full"]) assert.deepEqual(services[1].drops(cluster), services[0].drops(cluster), cluster);
		assert.deepEqual(services[1].drops("shed"), { all: 2, "too much": 2 });
	});

	await t.test("all clusters, and each host by itself", async () => {
		for (const service of services) {
			service.requests.length = 0;
			service.ask([], { sendAllClusters: true, reportEndpointGranularity: true });
			await until(() => service.requests.length > 1);
		}
		for (const proxy of proxies) for (const path of ["/ok", "/other"]) await ask(proxy, path);
		await until(() => services.every((service) => service.sums("other")["0 "]?.["totalIssuedRequests"] === 1));
		assert.deepEqual(services[1].sums("up"), services[0].sums("up"));
		assert.equal(services[1].sums("other")["0 "]?.["endpoints"], 1);
	});

	await t.test("a stream that ends is opened again", async () => {
		for (const service of services) {
			service.breakOff();
			await until(() => service.opened === 2);
			service.requests.length = 0;
			service.ask(["up"]);
			await until(() => service.requests.some(({ node, clusterStats }) => node?.id === "n" && clusterStats.some(({ clusterName }) => clusterName === "up")));
		}
		for (const proxy of proxies) assert.ok(((await proxy.counters(/^load_reporter\.(retries|errors)/)).get("load_reporter.retries") ?? 0) > 0);
	});

	await t.test("the admin page has the same of each host", async () => {
		const linesOf = async (proxy: Proxy) =>
			(await proxy.admin("/clusters"))
				.split("\n")
				.filter((line) => /^(up|other|dead)::127.0.0.1:\d+::(rq|cx_total|cx_connect_fail)/.test(line))
				.sort();
		const [envoy, weft] = [await linesOf(proxies[0]), await linesOf(proxies[1])];
		assert.deepEqual(weft, envoy);
	});
});

async function until(isTrue: () => boolean): Promise<void> {
	for (const end = performance.now() + 20_000; !isTrue(); await sleep(20)) assert.ok(performance.now() < end, "it did not come to that");
}

function ask(proxy: Proxy, path: string): Promise<void> {
	return new Promise((resolve) => {
		const headers = path.startsWith("/grpc") ? { "content-type": "application/grpc" } : {};
		get({ host: "127.0.0.1", port: proxy.port("http"), path, headers }, (response) => response.resume().on("end", resolve)).on("error", () => resolve());
	});
}
