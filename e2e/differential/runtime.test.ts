import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, request, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { extension, fileLog, httpFilter, httpListener, listener, loopback, router, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-runtime-"));
const never = (runtime_key: string) => ({ default_value: { numerator: 0, denominator: "HUNDRED" }, runtime_key });
const always = (runtime_key: string) => ({ default_value: { numerator: 100, denominator: "HUNDRED" }, runtime_key });

/** Envoy sees what is moved into its place. */
function writeFile(path: string, text: string): void {
	mkdirSync(dirname(path), { recursive: true });
	writeFileSync(`${path}.new`, text);
	renameSync(`${path}.new`, path);
}

const discoveredFile = (name: Proxy["name"]) => join(folder, name, "rtds", "runtime.json");
let versions = 0;
function discover(name: Proxy["name"], layer: object): void {
	const resources = [{ "@type": "type.googleapis.com/envoy.service.runtime.v3.Runtime", name: "mesh", layer }];
	writeFile(discoveredFile(name), JSON.stringify({ version_info: `v${++versions}`, resources }));
}

/** Another tree under the link that the layers go by. */
function swap(name: Proxy["name"], version: string, files: Readonly<Record<string, string>>): void {
	const root = join(folder, name, "disk");
	for (const [path, text] of Object.entries(files)) writeFile(join(root, version, path), text);
	symlinkSync(join(root, version), join(root, "next"));
	renameSync(join(root, "next"), join(root, "current"));
}

const layers = (name: Proxy["name"]) => [
	{
		name: "base",
		static_layer: {
			health: { a: 5, b: { c: true } },
			health_check: { max_interval: 100, verify_cluster: 0 },
			text: "plain",
			"share.static": 100,
			numbers: { large: 1234567, huge: 1e20, small: 0.0000123, tenth: 0.1, negative: -3 },
		},
	},
	{ name: "root", disk_layer: { symlink_root: join(folder, name, "disk", "current"), subdirectory: "envoy" } },
	{ name: "override", disk_layer: { symlink_root: join(folder, name, "disk", "current"), subdirectory: "override", append_service_cluster: true } },
	{ name: "discovered", rtds_layer: { name: "mesh", rtds_config: { resource_api_version: "V3", path_config_source: { path: discoveredFile(name) } } } },
	{ name: "admin", admin_layer: {} },
];

const direct = (prefix: string, status: number, match: object = {}) => ({ match: { prefix, ...match }, direct_response: { status } });
const forward = (prefix: string, action: object = {}, more: object = {}) => ({ match: { prefix }, route: { cluster: "up", ...action }, ...more });
const perFilter = (name: string, message: string, fields: object) => ({
	typed_per_filter_config: { [`envoy.filters.http.${name}`]: { "@type": `type.googleapis.com/envoy.extensions.filters.http.${message}`, ...fields } },
});

const routes = [
	direct("/share", 200, { runtime_fraction: never("share.route") }),
	direct("/share", 404),
	direct("/static", 200, { runtime_fraction: never("share.static") }),
	direct("/static", 404),
	direct("/disk", 200, { runtime_fraction: never("share.disk") }),
	direct("/disk", 404),
	direct("/rtds", 200, { runtime_fraction: never("share.rtds") }),
	direct("/rtds", 404),
	forward("/mirrored", { request_mirror_policies: [{ cluster: "mirror", runtime_fraction: always("share.mirror") }] }),
	forward("/weighted", {
		cluster: undefined,
		weighted_clusters: {
			runtime_key_prefix: "weights",
			clusters: [
				{ name: "up", weight: 100 },
				{ name: "other", weight: 0 },
			],
		},
	}),
	forward(
		"/fault",
		{},
		perFilter("fault", "fault.v3.HTTPFault", {
			abort: { http_status: 418, percentage: { numerator: 0, denominator: "HUNDRED" } },
			delay: { fixed_delay: "0.001s", percentage: { numerator: 0, denominator: "HUNDRED" } },
			response_rate_limit: { fixed_limit: { limit_kbps: 1000 }, percentage: { numerator: 0, denominator: "HUNDRED" } },
		}),
	),
	forward(
		"/own-fault",
		{},
		perFilter("fault", "fault.v3.HTTPFault", {
			abort: { grpc_status: 5, percentage: { numerator: 0, denominator: "HUNDRED" } },
			abort_percent_runtime: "own.percent",
			abort_grpc_status_runtime: "own.grpc_status",
		}),
	),
	forward("/csrf", {}, perFilter("csrf", "csrf.v3.CsrfPolicy", { filter_enabled: never("csrf.enabled"), shadow_enabled: never("csrf.shadow") })),
	forward("/cors", {}, perFilter("cors", "cors.v3.CorsPolicy", { allow_origin_string_match: [{ exact: "http://a" }], filter_enabled: never("cors.enabled") })),
	forward(
		"/limited",
		{},
		perFilter("local_ratelimit", "local_ratelimit.v3.LocalRateLimit", {
			stat_prefix: "limited",
			token_bucket: { max_tokens: 1, fill_interval: "3600s" },
			filter_enabled: never("limit.enabled"),
			filter_enforced: never("limit.enforced"),
		}),
	),
	forward(
		"/slow",
		{},
		perFilter("bandwidth_limit", "bandwidth_limit.v3.BandwidthLimit", {
			stat_prefix: "slow",
			enable_mode: "REQUEST_AND_RESPONSE",
			limit_kbps: 1000,
			runtime_enabled: { default_value: false, runtime_key: "slow.enabled" },
		}),
	),
	forward("/failing", { retry_policy: { retry_on: "5xx", num_retries: 2 } }),
	forward("/brittle", { cluster: "brittle" }),
	forward("/"),
];

const logFilter = {
	and_filter: {
		filters: [
			{ runtime_filter: { runtime_key: "log.sampled", percent_sampled: { numerator: 100, denominator: "HUNDRED" } } },
			{ status_code_filter: { comparison: { op: "GE", value: { default_value: 100, runtime_key: "log.status" } } } },
		],
	},
};

function bootstrap(log: string, name: Proxy["name"], ports: readonly [number, number]): object {
	const manager = {
		access_log: [
			{ ...fileLog(log, { code: "%RESPONSE_CODE%", flags: "%RESPONSE_FLAGS%", details: "%RESPONSE_CODE_DETAILS%", path: "%REQ(:PATH)%" }), filter: logFilter },
		],
		http_filters: [
			httpFilter("envoy.filters.http.fault", "fault.v3.HTTPFault"),
			httpFilter("envoy.filters.http.cors", "cors.v3.Cors"),
			httpFilter("envoy.filters.http.csrf", "csrf.v3.CsrfPolicy", { filter_enabled: never("none") }),
			httpFilter("envoy.filters.http.local_ratelimit", "local_ratelimit.v3.LocalRateLimit", { stat_prefix: "none" }),
			httpFilter("envoy.filters.http.bandwidth_limit", "bandwidth_limit.v3.BandwidthLimit", { stat_prefix: "none" }),
			router,
		],
		route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
	};
	const tcp = extension("envoy.filters.network.tcp_proxy", "extensions.filters.network.tcp_proxy.v3.TcpProxy", { stat_prefix: "tcp", cluster: "up" });
	const limit = extension("envoy.filters.network.local_ratelimit", "extensions.filters.network.local_ratelimit.v3.LocalRateLimit", {
		stat_prefix: "connections",
		token_bucket: { max_tokens: 1, fill_interval: "3600s" },
		runtime_enabled: { default_value: false, runtime_key: "tcp.limited" },
	});
	return {
		node: { id: "node", cluster: "service" },
		admin: { address: loopback(0) },
		layered_runtime: { layers: layers(name) },
		static_resources: {
			listeners: [httpListener("http", manager), listener("tcp", [limit, tcp])],
			clusters: [
				staticCluster("up", ports[0]),
				staticCluster("other", ports[1]),
				staticCluster("mirror", ports[1]),
				staticCluster("checked", ports[0], {
					health_checks: [
						{
							timeout: "1s",
							interval: "60s",
							no_traffic_interval: "60s",
							unhealthy_threshold: 1,
							healthy_threshold: 1,
							http_health_check: { path: "/", service_name_matcher: { exact: "another" } },
						},
					],
				}),
				staticCluster("brittle", ports[0], { outlier_detection: { consecutive_5xx: 100, max_ejection_percent: 100, base_ejection_time: "300s" } }),
			],
		},
	};
}

interface Answer {
	readonly status: number;
	readonly body: string;
	readonly headers: IncomingMessage["headers"];
}

void describe("the runtime, beside a real Envoy's", { skip: skipReason }, () => {
	const upstreams: Server[] = [];
	let pair: readonly [Proxy, Proxy];
	before(async () => {
		for (const text of ["up", "other"]) {
			const server = createServer((incoming, response) => {
				response.statusCode = Number(/status=(\d+)/.exec(incoming.url ?? "")?.[1] ?? 200);
				response.end(text);
			});
			await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
			upstreams.push(server);
		}
		const [up = 0, other = 0] = upstreams.map((server) => (server.address() as AddressInfo).port);
		for (const name of ["envoy", "weft"] as const) {
			swap(name, "v1", { "envoy/share/disk": "100\n", "envoy/flag": "# said by hand\ntrue", "override/service/share/over": "1", "envoy/share/over": "0" });
			discover(name, { share: { rtds: 100 } });
		}
		pair = await startPair((log, name) => bootstrap(log, name, [up, other]), ["http", "tcp"]);
	});
	after(async () => {
		for (const proxy of pair ?? []) await proxy.stop();
		for (const server of upstreams) server.close().closeAllConnections();
		rmSync(folder, { recursive: true, force: true });
	});

	const both = async <T>(observe: (proxy: Proxy) => Promise<T>): Promise<T> => {
		const [envoy, weft] = [await observe(pair[0]), await observe(pair[1])];
		assert.deepEqual(weft, envoy);
		return envoy;
	};
	/** Sets keys in the admin's layer, and lets the workers hear of it. */
	const modify = async (proxy: Proxy, keys: Readonly<Record<string, string | number>>) => {
		// A plus is no space to Envoy.
		const query = Object.entries(keys)
			.map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
			.join("&");
		const answer = await proxy.askAdmin(`/runtime_modify?${query}`, "POST");
		assert.equal(answer.status, 200);
		await sleep(50);
	};
	/** What is seen with these keys, and without them. */
	const withAndWithout = async <T>(keys: Readonly<Record<string, string | number>>, look: (proxy: Proxy) => Promise<T>) =>
		both(async (proxy) => {
			await modify(proxy, keys);
			const set = await look(proxy);
			await modify(proxy, Object.fromEntries(Object.keys(keys).map((key) => [key, ""])));
			return { set, unset: await look(proxy) };
		});
	const statusOf = async (proxy: Proxy, path: string, headers: Record<string, string> = {}, method = "GET") => (await ask(proxy, path, headers, method)).status;
	const runtimeOf = async (proxy: Proxy) =>
		JSON.parse(await proxy.admin("/runtime")) as { readonly layers: unknown; readonly entries: Readonly<Record<string, { readonly final_value: string }>> };
	/** Without the time and the checksum of the last update. */
	const statsOf = async (proxy: Proxy) =>
		(await proxy.admin("/stats?filter=^runtime\\.")).split("\n").filter((line) => !/\.(update_(time|duration)|version\w*):/.test(line));
	const until = async (isTrue: () => Promise<boolean>, what: string) => {
		for (const end = performance.now() + 15_000; !(await isTrue()); await sleep(20)) assert.ok(performance.now() < end, `it did not come to: ${what}`);
	};

	test("layers and values are shown alike, and counted", async () => {
		const { entries, layers: names } = await both(runtimeOf);
		assert.deepEqual(names, ["base", "root", "override", "discovered", "admin"]);
		assert.equal(entries["share.over"]?.final_value, "1");
		await both(statsOf);
	});

	test("each layer decides about a route's share", async () => {
		await both(async (proxy) => Promise.all(["/share", "/static", "/disk", "/rtds"].map((path) => statusOf(proxy, path))));
		const { set, unset } = await withAndWithout({ "share.route": 100, "share.static": 0 }, async (proxy) => [
			await statusOf(proxy, "/share"),
			await statusOf(proxy, "/static"),
		]);
		assert.deepEqual(
			[set, unset],
			[
				[200, 404],
				[404, 200],
			],
		);
		await withAndWithout({ "share.route": "{numerator: 1000000, denominator: MILLION}" }, (proxy) => statusOf(proxy, "/share"));
		await withAndWithout({ "share.static": "nonsense" }, (proxy) => statusOf(proxy, "/static"));
		await withAndWithout({ "share.static": "{numerator: 0, unknown: 1}" }, (proxy) => statusOf(proxy, "/static"));
	});

	test("changes by the admin interface are answered alike", async () => {
		await both(async (proxy) => {
			const answers: unknown[] = [];
			for (const [path, method] of [
				["/runtime_modify", "POST"],
				["/runtime_modify?a=1", "GET"],
				["/runtime_modify?never=", "POST"],
				["/runtime_modify?twice=1&twice=2", "POST"],
			] as const) {
				const answer = await proxy.askAdmin(path, method);
				answers.push([path, answer.status, method === "POST" ? await answer.text() : ""]);
			}
			answers.push((await proxy.askAdmin("/runtime_modify?good=1&wrong={", "POST")).status, await runtimeOf(proxy), await statsOf(proxy));
			await modify(proxy, { twice: "" });
			return [...answers, await statsOf(proxy)];
		});
	});

	test("faults", async () => {
		const general = { "fault.http.abort.abort_percent": 100 };
		const caller = { "x-envoy-downstream-service-cluster": "caller" };
		const look = async (proxy: Proxy) => [await statusOf(proxy, "/fault"), await statusOf(proxy, "/fault", caller), await statusOf(proxy, "/own-fault")];
		const { set } = await withAndWithout(general, look);
		assert.deepEqual(set.slice(0, 1), [418]);
		await withAndWithout({ ...general, "fault.http.abort.http_status": 451 }, look);
		await withAndWithout(
			{ "fault.http.caller.abort.abort_percent": 100, "fault.http.caller.abort.http_status": 452, "fault.http.abort.http_status": 451 },
			look,
		);
		await withAndWithout({ ...general, "fault.http.caller.abort.abort_percent": 0 }, look);
		await withAndWithout({ ...general, "fault.http.max_active_faults": 0 }, look);
		await withAndWithout({ "own.percent": 100, "own.grpc_status": 9 }, async (proxy) => (await ask(proxy, "/own-fault")).headers["grpc-status"]);
		await withAndWithout({ "fault.http.delay.fixed_delay_percent": 100, "fault.http.delay.fixed_duration_ms": 2 }, async (proxy) => {
			await ask(proxy, "/fault");
			return proxy.stats(/fault\.(delays|aborts)_injected|faults_overflow/);
		});
		await withAndWithout({ "fault.http.delay.fixed_delay_percent": 100, "fault.http.caller.delay.fixed_duration_ms": 0 }, async (proxy) => {
			await ask(proxy, "/fault", caller);
			return proxy.stats(/fault\.delays_injected/);
		});
	});

	test("bodies that are slowed down", async () => {
		await withAndWithout({ "fault.http.rate_limit.response_percent": 100, "fault.http.caller.rate_limit.response_percent": 0 }, async (proxy) => {
			const answers = [await ask(proxy, "/fault"), await ask(proxy, "/fault", { "x-envoy-downstream-service-cluster": "caller" })];
			return [answers.map(({ body }) => body), await proxy.stats(/fault\.response_rl_injected/)];
		});
		await withAndWithout({ "slow.enabled": "true" }, async (proxy) => [(await ask(proxy, "/slow")).body, await proxy.stats(/^slow\..*_(enabled|total_size)/)]);
	});

	test("weights of clusters", async () => {
		const body = async (proxy: Proxy) => (await ask(proxy, "/weighted")).body;
		const { set, unset } = await withAndWithout({ "weights.up": 0, "weights.other": 1 }, body);
		assert.deepEqual([set, unset], ["other", "up"]);
	});

	test("mirrors", async () => {
		const { set, unset } = await withAndWithout({ "share.mirror": 0 }, async (proxy) => {
			await ask(proxy, "/mirrored");
			await sleep(100);
			return proxy.stats(/^cluster\.mirror\.upstream_rq_total/);
		});
		assert.notDeepEqual(set, unset);
	});

	test("filters that are enabled by a share", async () => {
		const post = (proxy: Proxy, path: string) => statusOf(proxy, path, { origin: "http://elsewhere" }, "POST");
		await withAndWithout({ "csrf.enabled": 100 }, (proxy) => post(proxy, "/csrf"));
		await withAndWithout({ "csrf.shadow": 100 }, async (proxy) => [await post(proxy, "/csrf"), await proxy.stats(/csrf\./)]);
		await withAndWithout({ "cors.enabled": 100 }, async (proxy) => (await ask(proxy, "/cors", { origin: "http://a" })).headers["access-control-allow-origin"]);
		await withAndWithout({ "limit.enabled": 100, "limit.enforced": 100 }, async (proxy) => [
			await statusOf(proxy, "/limited"),
			await statusOf(proxy, "/limited"),
		]);
		await withAndWithout({ "limit.enabled": 100 }, async (proxy) => [await statusOf(proxy, "/limited"), await proxy.stats(/^limited\./)]);
	});

	test("access logs", async () => {
		await both(async (proxy) => {
			const before = proxy.log().length;
			await modify(proxy, { "log.sampled": 0 });
			await ask(proxy, "/?unsampled");
			await modify(proxy, { "log.sampled": "", "log.status": 404 });
			await ask(proxy, "/?fine");
			await ask(proxy, "/?status=404");
			await modify(proxy, { "log.status": "" });
			await ask(proxy, "/?again");
			await until(async () => proxy.log().length >= before + 2, "two lines");
			return proxy.log().slice(before);
		});
	});

	test("circuit breakers and maintenance", async () => {
		const look = async (proxy: Proxy) => {
			const { body, headers, status } = await ask(proxy, "/?breaker");
			await sleep(50);
			return [
				body,
				status,
				headers["x-envoy-overloaded"],
				proxy.log().at(-1),
				await proxy.stats(/^cluster\.up\.(upstream_rq_(maintenance_mode|pending_overflow|active_overflow)):/),
			];
		};
		const { set } = await withAndWithout({ "circuit_breakers.up.default.max_requests": 0 }, look);
		assert.equal(set[1], 503);
		await withAndWithout({ "upstream.maintenance_mode.up": 100 }, look);
		await withAndWithout({ "circuit_breakers.up.default.max_connections": 7, "circuit_breakers.up.high.max_retries": 8 }, async (proxy) =>
			(await proxy.admin("/clusters?filter=^up$")).split("\n").filter((line) => /priority::max_/.test(line)),
		);
	});

	test("retries", async () => {
		const stats = (proxy: Proxy) => proxy.stats(/^cluster\.up\.upstream_rq_retry(_overflow|_limit_exceeded)?:/);
		await withAndWithout({ "upstream.use_retry": 0 }, async (proxy) => [await statusOf(proxy, "/failing?status=503"), await stats(proxy)]);
		await withAndWithout({ "circuit_breakers.up.default.max_retries": 0 }, async (proxy) => [await statusOf(proxy, "/failing?status=503"), await stats(proxy)]);
		const budget = { "circuit_breakers.up.default.max_retries": 0, "circuit_breakers.up.default.retry_budget.min_retry_concurrency": 5 };
		await withAndWithout(budget, async (proxy) => [await statusOf(proxy, "/failing?status=503"), await stats(proxy)]);
	});

	test("outlier detection", async () => {
		await both(async (proxy) => {
			await modify(proxy, { "outlier_detection.consecutive_5xx": 2, "outlier_detection.enforcing_consecutive_5xx": 0 });
			for (let i = 0; i < 2; i++) await ask(proxy, "/brittle?status=500");
			await sleep(100);
			const detected = await proxy.stats(/^cluster\.brittle\.outlier_detection\.ejections_(detected|enforced|active)/);
			await modify(proxy, { "outlier_detection.enforcing_consecutive_5xx": "" });
			for (let i = 0; i < 2; i++) await ask(proxy, "/brittle?status=500");
			await sleep(100);
			return [detected, await proxy.stats(/^cluster\.brittle\.outlier_detection\.ejections_(detected|enforced|active)/)];
		});
	});

	test("connections", async () => {
		const { set, unset } = await withAndWithout({ "tcp.limited": "true" }, async (proxy) => [await opens(proxy), await opens(proxy)]);
		assert.deepEqual(
			[set, unset],
			[
				[true, false],
				[true, true],
			],
		);
	});

	test("connections to one listener", async () => {
		await both(async (proxy) => {
			await modify(proxy, { "envoy.resource_limits.listener.tcp.connection_limit": 1 });
			const held = connect(proxy.port("tcp"), "127.0.0.1").on("error", () => undefined);
			await until(
				async () =>
					(await proxy.stats(/^listener\.127\.0\.0\.1_0\.downstream_cx_active: 1$/)).length === 1 ||
					(await proxy.stats(/^tcp\.tcp\.downstream_cx_total/)).length > 0,
				"held",
			);
			await sleep(50);
			const second = await opens(proxy);
			held.destroy();
			await sleep(100);
			const third = await opens(proxy);
			await modify(proxy, { "envoy.resource_limits.listener.tcp.connection_limit": "" });
			return [second, third];
		});
	});

	test("health checks", async () => {
		const attempts = async (proxy: Proxy) =>
			(await proxy.counters(/^cluster\.checked\.health_check\.attempt$/)).get("cluster.checked.health_check.attempt") ?? 0;
		for (const proxy of pair) await until(async () => (await attempts(proxy)) > 5, "checks more often than configured");
		await both((proxy) => proxy.stats(/^cluster\.checked\.(health_check\.(verify_cluster|healthy)|membership_healthy)/));
	});

	test("a link that is swapped brings other files", async () => {
		for (const { name } of pair) swap(name, "v2", { "envoy/share/disk": "0", "envoy/more/deeply/nested": "{numerator: 1}\n" });
		for (const proxy of pair) await until(async () => (await runtimeOf(proxy)).entries["more.deeply.nested"] !== undefined, "v2");
		await sleep(50);
		assert.equal(await both((proxy) => statusOf(proxy, "/disk")), 404);
		await both(runtimeOf);
	});

	test("a layer that is discovered anew counts, one that is wrong changes nothing", async () => {
		const wait = (key: string, value: string | undefined) =>
			Promise.all(pair.map((proxy) => until(async () => (await runtimeOf(proxy)).entries[key]?.final_value === value, `${key} ${value}`)));
		for (const { name } of pair) discover(name, { share: { rtds: 0 }, fresh: 1 });
		await wait("fresh", "1");
		await sleep(50);
		assert.equal(await both((proxy) => statusOf(proxy, "/rtds")), 404);
		for (const { name } of pair) discover(name, { share: { rtds: 100 }, list: [1] });
		await sleep(500);
		assert.equal(await both((proxy) => statusOf(proxy, "/rtds")), 404);
		await both(runtimeOf);
		for (const { name } of pair) discover(name, { share: { rtds: 100 } });
		await wait("fresh", undefined);
		await sleep(50);
		assert.equal(await both((proxy) => statusOf(proxy, "/rtds")), 200);
		await both(async (proxy) => (await statsOf(proxy)).filter((line) => !/load_|override_/.test(line)));
	});
});

function ask(proxy: Proxy, path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> {
	return new Promise((resolve, reject) => {
		const asked = request({ host: "127.0.0.1", port: proxy.port("http"), path, method, headers, agent: false }, (response) => {
			let body = "";
			response
				.on("data", (piece: Buffer) => (body += String(piece)))
				.on("end", () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }));
		});
		asked.on("error", reject).end();
	});
}

/** Whether a connection is served. */
function opens(proxy: Proxy): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = connect(proxy.port("tcp"), "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"));
		let isServed = false;
		socket
			.on("data", () => (isServed = true))
			.on("error", () => undefined)
			.on("close", () => resolve(isServed));
	});
}
