import assert from "node:assert/strict";
import { createServer, request, type Server } from "node:http";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Proxy, skipReason, startPair } from "./pair.ts";

type Json = Readonly<Record<string, unknown>>;

const types = "type.googleapis.com/envoy.extensions";
const cache = { name: "names", dns_lookup_family: "V4_ONLY", max_hosts: 4 };

/** `PORT` is that of the upstream. */
const cases: Readonly<Record<string, { readonly host: string; readonly path?: string }>> = {
	"an address": { host: "127.0.0.1:PORT" },
	"a name": { host: "localhost:PORT" },
	"a name that does not exist": { host: "no.such.name.invalid" },
	"the same again": { host: "no.such.name.invalid" },
	"nobody listens there": { host: "127.0.0.1:1" },
	"a route that says whom": { host: "no.such.name.invalid", path: "/rewritten" },
};

describe("the dynamic forward proxy, beside a real Envoy", { skip: skipReason }, () => {
	let upstream: Server;
	let port = 0;
	let pair: readonly [Proxy, Proxy];

	before(async () => {
		upstream = createServer((incoming, response) => response.end(`host ${incoming.headers.host}`));
		await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", () => resolve()));
		const address = upstream.address();
		port = typeof address === "object" && address !== null ? address.port : 0;
		pair = await startPair((accessLog) => bootstrap(port, accessLog), ["front"]);
	});
	after(async () => {
		upstream?.close();
		upstream?.closeAllConnections();
		for (const proxy of pair ?? []) await proxy.stop();
	});

	for (const [name, { host, path = "/" }] of Object.entries(cases)) {
		test(name, async () => {
			const [envoy, weft] = await Promise.all(pair.map((proxy) => ask(proxy, host.replace("PORT", String(port)), path)));
			assert.deepEqual(weft, envoy);
		});
	}

	test("more names than there is room for", async () => {
		const [envoy, weft] = await Promise.all(pair.map((proxy) => ask(proxy, "localhost:2", "/")));
		assert.deepEqual(weft, envoy);
		assert.match(envoy?.body ?? "", /overflow|connect/);
	});

	test("log lines", async () => {
		await sleep(1_500);
		const [envoy, weft] = pair.map((proxy) => proxy.log());
		assert.deepEqual(weft, envoy);
	});
});

function ask(proxy: Proxy, host: string, path: string): Promise<{ readonly status: number; readonly body: string }> {
	return new Promise((resolve, reject) => {
		const sent = request({ host: "127.0.0.1", port: proxy.port("front"), path, headers: { host }, agent: false }, (response) => {
			let body = "";
			response.on("data", (bytes: Buffer) => (body += bytes.toString()));
			// What the system calls a refusal is added by one of them.
			response.on("end", () => resolve({ status: response.statusCode ?? 0, body: body.replace(/, transport failure reason.*/s, "") }));
		});
		sent.on("error", reject);
		sent.end();
	});
}

function bootstrap(port: number, accessLog: string): Json {
	const manager = {
		"@type": `${types}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
		stat_prefix: "front",
		route_config: {
			virtual_hosts: [
				{
					name: "all",
					domains: ["*"],
					routes: [
						{
							match: { prefix: "/rewritten" },
							route: { cluster: "names" },
							typed_per_filter_config: {
								"envoy.filters.http.dynamic_forward_proxy": {
									"@type": `${types}.filters.http.dynamic_forward_proxy.v3.PerRouteConfig`,
									host_rewrite_literal: `127.0.0.1:${port}`,
								},
							},
						},
						{ match: { prefix: "/" }, route: { cluster: "names" } },
					],
				},
			],
		},
		http_filters: [
			{
				name: "envoy.filters.http.dynamic_forward_proxy",
				typed_config: { "@type": `${types}.filters.http.dynamic_forward_proxy.v3.FilterConfig`, dns_cache_config: cache },
			},
			{ name: "envoy.filters.http.router", typed_config: { "@type": `${types}.filters.http.router.v3.Router` } },
		],
		access_log: [
			{
				name: "envoy.access_loggers.file",
				typed_config: {
					"@type": `${types}.access_loggers.file.v3.FileAccessLog`,
					path: accessLog,
					log_format: { json_format: { status: "%RESPONSE_CODE%", flags: "%RESPONSE_FLAGS%", cluster: "%UPSTREAM_CLUSTER%", host: "%UPSTREAM_HOST%" } },
				},
			},
		],
	};
	const clusterConfig = { "@type": `${types}.clusters.dynamic_forward_proxy.v3.ClusterConfig`, dns_cache_config: cache };
	return {
		admin: { address: { socket_address: { address: "127.0.0.1", port_value: 0 } } },
		static_resources: {
			listeners: [
				{
					name: "front",
					address: { socket_address: { address: "127.0.0.1", port_value: 0 } },
					filter_chains: [{ filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }] }],
				},
			],
			clusters: [
				{
					name: "names",
					lb_policy: "CLUSTER_PROVIDED",
					connect_timeout: "1s",
					cluster_type: { name: "envoy.clusters.dynamic_forward_proxy", typed_config: clusterConfig },
				},
			],
		},
	};
}
