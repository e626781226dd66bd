import assert from "node:assert/strict";
import { connect, createServer, type Server } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { CheckRequest, CheckResponse } from "@weft/xds/generated/envoy/service/auth/v3/external_auth.ts";
import { grpcCluster, startService } from "./grpc-services.ts";
import { extension, fileLog, listener, loopback, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

type Json = Readonly<Record<string, unknown>>;

const filter = (name: string, message: string, fields: Json) => extension(name, `extensions.filters.network.${message}`, fields);
const rules = (action: string, permissions: readonly Json[], principals: readonly Json[] = [{ any: true }]) => ({
	action,
	policies: { p: { permissions, principals } },
});
const rbac = (config: Json) => filter("envoy.filters.network.rbac", "rbac.v3.RBAC", { stat_prefix: "tcp.", ...config });
const authz = (config: Json) =>
	filter("envoy.filters.network.ext_authz", "ext_authz.v3.ExtAuthz", {
		stat_prefix: "az",
		transport_api_version: "V3",
		grpc_service: { envoy_grpc: { cluster_name: "authz" }, timeout: "1s" },
		...config,
	});
const action = (name: string, verdict: string) => ({ action: extension("action", "config.rbac.v3.Action", { name, action: verdict }) });
const bySource = (map: Json, more: Json = {}) => ({
	matcher_tree: { input: extension("source", "extensions.matching.common_inputs.network.v3.SourceIPInput"), exact_match_map: { map } },
	...more,
});
const range = (address_prefix: string, prefix_len: number) => ({ address_prefix, prefix_len });

const chains: Readonly<Record<string, readonly object[]>> = {
	allowed: [rbac({ rules: rules("ALLOW", [{ any: true }], [{ direct_remote_ip: range("127.0.0.0", 8) }]) })],
	denied: [rbac({ rules: rules("DENY", [{ any: true }], [{ direct_remote_ip: range("127.0.0.0", 8) }]) })],
	"denied by default": [rbac({ rules: rules("ALLOW", [{ destination_port: 1 }]) })],
	"not authenticated": [rbac({ rules: rules("ALLOW", [{ any: true }], [{ authenticated: { principal_name: { prefix: "spiffe://" } } }]) })],
	shadow: [rbac({ shadow_rules: rules("DENY", [{ any: true }]), shadow_rules_stat_prefix: "istio_dry_run_deny_" })],
	"a matcher allows": [rbac({ matcher: bySource({ "127.0.0.1": action("local", "ALLOW") }) })],
	"a matcher denies": [rbac({ matcher: bySource({ "127.0.0.1": action("local", "DENY") }, { on_no_match: action("rest", "ALLOW") }) })],
	"no match denies": [rbac({ matcher: bySource({ "127.0.0.9": action("another", "ALLOW") }) })],
	"a matcher's last word": [rbac({ matcher: bySource({ "127.0.0.9": action("another", "DENY") }, { on_no_match: action("rest", "LOG") }) })],
	"a shadow matcher": [rbac({ shadow_matcher: bySource({ "127.0.0.1": action("local", "DENY") }), shadow_rules_stat_prefix: "dry_" })],
	"allowed by a service": [authz({})],
	"denied by a service": [authz({ grpc_service: { envoy_grpc: { cluster_name: "authz" }, initial_metadata: [{ key: "x-answer", value: "no" }] } })],
	"denied by a service that fails": [
		authz({ grpc_service: { envoy_grpc: { cluster_name: "authz" }, initial_metadata: [{ key: "x-answer", value: "fail" }] } }),
	],
	"allowed by a service that may fail": [authz({ failure_mode_allow: true, grpc_service: { envoy_grpc: { cluster_name: "nobody" } } })],
	"allowed by one service, denied by rules": [authz({}), rbac({ rules: rules("DENY", [{ any: true }]) })],
	// Envoy counts each read of a connection that it does not ask about.
	"not asked": [authz({ stat_prefix: "off", filter_enabled_metadata: { filter: "f", path: [{ key: "k" }], value: { string_match: { exact: "v" } } } })],
	limited: [
		filter("envoy.filters.network.local_ratelimit", "local_ratelimit.v3.LocalRateLimit", {
			stat_prefix: "lr",
			token_bucket: { max_tokens: 2, tokens_per_fill: 2, fill_interval: "3600s" },
		}),
	],
};

const service = await startService("/envoy.service.auth.v3.Authorization/Check", CheckRequest, CheckResponse, ({ attributes }, metadata) => {
	const answer = metadata.get("x-answer")[0];
	if (answer === "fail") return { code: 13, details: "no" };
	const isLocal = attributes?.source?.address?.socketAddress?.address === "127.0.0.1" && attributes.destination?.address?.socketAddress !== undefined;
	return CheckResponse.fromPartial({ status: { code: answer === "no" || !isLocal ? 7 : 0 } });
});
after(() => service.stop());

describe("network filters, beside a real Envoy", { skip: skipReason }, () => {
	let upstream: Server;
	let pair: readonly [Proxy, Proxy];

	before(async () => {
		upstream = createServer((socket) => socket.on("error", () => {}).on("data", (bytes) => socket.end(`echo ${bytes.toString()}`)));
		await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", () => resolve()));
		const address = upstream.address();
		const port = typeof address === "object" && address !== null ? address.port : 0;
		pair = await startPair((accessLog) => bootstrap(port, accessLog), Object.keys(chains));
	});
	after(async () => {
		upstream?.close();
		for (const proxy of pair ?? []) await proxy.stop();
	});

	for (const name of Object.keys(chains)) {
		test(name, async () => {
			const [envoy, weft] = await Promise.all(pair.map((proxy) => talk(proxy, name)));
			assert.deepEqual(weft, envoy);
			assert.ok(envoy !== undefined && envoy.length === 3);
		});
	}

	test("statistics", async () => {
		const [envoy, weft] = await Promise.all(pair.map((proxy) => proxy.stats(/^tcp\.rbac|local_rate_limit|^ext_authz\.az\./)));
		assert.deepEqual(weft?.toSorted(), envoy?.toSorted());
	});
});

/** What three clients, one after the other, got before their connections ended. */
async function talk(proxy: Proxy, listener: string): Promise<readonly string[]> {
	const heard: string[] = [];
	for (let i = 0; i < 3; i++) {
		heard.push(
			await new Promise<string>((resolve) => {
				let text = "";
				const socket = connect({ port: proxy.port(listener), host: "127.0.0.1" }, () => socket.write("hi"));
				socket.on("data", (bytes) => void (text += bytes.toString()));
				socket.on("error", () => {});
				socket.on("close", () => resolve(text));
			}),
		);
		await sleep(20);
	}
	return heard;
}

function bootstrap(port: number, accessLog: string): object {
	const log = fileLog(accessLog, { listener: "x", why: "%CONNECTION_TERMINATION_DETAILS%" });
	const proxy = filter("envoy.filters.network.tcp_proxy", "tcp_proxy.v3.TcpProxy", { stat_prefix: "t", cluster: "upstream", access_log: [log] });
	return {
		admin: { address: loopback(0) },
		static_resources: {
			listeners: Object.entries(chains).map(([name, filters]) => listener(name, [...filters, proxy])),
			clusters: [grpcCluster("authz", service.port), { name: "nobody", type: "STATIC", connect_timeout: "1s" }, staticCluster("upstream", port)],
		},
	};
}
