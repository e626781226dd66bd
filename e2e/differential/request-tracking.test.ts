import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { httpFilter, httpListener, loopback, router, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

const calls: readonly (readonly [path: string, body: string, headers?: Readonly<Record<string, string>>])[] = [
	["/ok", ""],
	["/ok", "hello"],
	["/slow", ""],
	["/retried", ""],
	["/slow-tries", ""],
	["/direct", ""],
	["/svc.a/Get", "\0\0\0\0\0", { "content-type": "application/grpc" }],
	["/svc.b/Put", "\0\0\0\0\0", { "content-type": "application/grpc" }],
];

test("timeout budgets, sizes and the times of gRPC methods are kept where they are asked for", { skip: skipReason }, async (t) => {
	const upstream = createServer((incoming, response) => {
		incoming.resume().on("end", () => {
			const path = incoming.url ?? "";
			if (path.startsWith("/slow")) return undefined;
			if (path.startsWith("/svc")) {
				response.writeHead(200, { "content-type": "application/grpc", trailer: "grpc-status" });
				response.write("\0\0\0\0\0");
				response.addTrailers({ "grpc-status": "0" });
				return response.end();
			}
			return setTimeout(() => response.writeHead(path === "/retried" ? 503 : 200, { "content-length": 10 }).end("0123456789"), 60);
		});
	});
	await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
	upstream.unref();
	const route = (prefix: string, more: object) => ({ match: { prefix }, route: { cluster: "up", ...more } });
	const routes = [
		{ match: { prefix: "/direct" }, direct_response: { status: 200 } },
		route("/slow-tries", { timeout: "5s", retry_policy: { retry_on: "5xx", num_retries: 1, per_try_timeout: "0.2s" } }),
		route("/slow", { timeout: "0.2s" }),
		route("/retried", { timeout: "2s", retry_policy: { retry_on: "5xx", num_retries: 1, per_try_timeout: "1s" } }),
		route("/", { timeout: "1s" }),
	];
	const grpcStats = httpFilter("envoy.filters.http.grpc_stats", "grpc_stats.v3.FilterConfig", {
		individual_method_stats_allowlist: { services: [{ name: "svc.a", method_names: ["Get"] }] },
		enable_upstream_stats: true,
	});
	const proxies = await startPair(
		() => ({
			node: { id: "n", cluster: "c" },
			admin: { address: loopback(0) },
			stats_flush_interval: "0.3s",
			static_resources: {
				listeners: [httpListener("http", { http_filters: [grpcStats, router], route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] } })],
				clusters: [
					staticCluster("up", (upstream.address() as AddressInfo).port, {
						track_cluster_stats: { timeout_budgets: true, request_response_sizes: true },
						typed_extension_protocol_options: {
							"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
								"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
								explicit_http_config: { http_protocol_options: { enable_trailers: true } },
							},
						},
					}),
				],
			},
		}),
		["http"],
	);
	t.after(async () => {
		await Promise.all(proxies.map((proxy) => proxy.stop()));
		upstream.close().closeAllConnections();
	});
	for (const proxy of proxies) for (const [path, body, headers] of calls) await ask(proxy, path, body, headers);
	// Envoy shows histograms as they were when they were last flushed.
	let [envoy, weft]: readonly (readonly string[])[] = [];
	for (const end = performance.now() + 20_000; ; await sleep(300)) {
		[envoy, weft] = await Promise.all(proxies.map((proxy) => shown(proxy)));
		if ((envoy?.length ?? 0) >= 8 && JSON.stringify(weft) === JSON.stringify(envoy)) break;
		if (performance.now() > end) break;
	}
	assert.deepEqual(weft, envoy);
	assert.ok((envoy?.length ?? 0) >= 8, String(envoy));
});

/** How many there are. */
async function shown(proxy: Proxy): Promise<readonly string[]> {
	const lines = (await proxy.admin("/stats/prometheus")).split("\n");
	const wanted =
		/^envoy_cluster_(upstream_r[qs]_(body|headers)_size_count|upstream_rq_timeout_budget\w*_count|grpc_\w*upstream_rq_time_count|grpc_upstream_rq_time_count)/;
	return lines
		.filter((line) => wanted.test(line) && line.includes('"up"'))
		.map((line) => line.replace(/(\d)\.\d+$/, "$1"))
		.sort();
}

function ask(proxy: Proxy, path: string, body: string, headers: Readonly<Record<string, string>> = {}): Promise<void> {
	return new Promise((resolve, reject) => {
		const sent = request({ host: "127.0.0.1", port: proxy.port("http"), path, method: body === "" ? "GET" : "POST", headers }, (response) =>
			response.resume().on("end", resolve),
		);
		sent.on("error", reject).end(body);
	});
}
