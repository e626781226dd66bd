import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileLog, httpFilter, httpListener, loopback, router, staticCluster } from "./config.ts";
import { grpcCluster } from "./grpc-services.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";
import { ask, askHttp2, openWebSocket, startUpstreams, type Upstreams } from "./throttling-peers.ts";

const kib = 1024;
const percentage = { numerator: 100, denominator: "HUNDRED" };
const fault = (limit: object, more: object = {}) =>
	httpFilter("envoy.filters.http.fault", "fault.v3.HTTPFault", { response_rate_limit: { ...limit, percentage }, ...more });
const fixed = (limit_kbps: number) => ({ fixed_limit: { limit_kbps } });
const bandwidth = (stat_prefix: string, enable_mode: string, more: object = {}) =>
	httpFilter("envoy.filters.http.bandwidth_limit", "bandwidth_limit.v3.BandwidthLimit", { stat_prefix, enable_mode, ...more });
const perRoute = (filter: object) => ({ "envoy.filters.http.bandwidth_limit": (filter as { readonly typed_config: object }).typed_config });
const asked = { header_limit: {} };
const withHeaders = { delay: { header_delay: {}, percentage }, abort: { header_abort: {}, percentage } };

const filters: Readonly<Record<string, object>> = {
	fixed: fault(fixed(100)),
	asked: fault(asked, withHeaders),
	one: fault(asked, { max_active_faults: 1, ...withHeaders }),
	responses: bandwidth("responses", "RESPONSE", { limit_kbps: 100 }),
	requests: bandwidth("requests", "REQUEST", { limit_kbps: 100, fill_interval: "0.02s" }),
	told: bandwidth("told", "REQUEST_AND_RESPONSE", { limit_kbps: 100, enable_response_trailers: true, response_trailer_prefix: "X-Took" }),
	shared: bandwidth("shared", "RESPONSE", { limit_kbps: 100 }),
	disabled: bandwidth("disabled", "DISABLED"),
	switched: bandwidth("switched", "RESPONSE", { limit_kbps: 1, runtime_enabled: { default_value: false, runtime_key: "none" } }),
};
const own = perRoute(bandwidth("own", "RESPONSE", { limit_kbps: 50 }));
const off = { "envoy.filters.http.bandwidth_limit": { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", disabled: true } };
const routes = [
	{ match: { prefix: "/direct" }, direct_response: { status: 403, body: { inline_string: "d".repeat(4000) } } },
	{ match: { prefix: "/own" }, route: { cluster: "h1" }, typed_per_filter_config: own },
	{ match: { prefix: "/off" }, route: { cluster: "h1" }, typed_per_filter_config: off },
	{ match: { prefix: "/brief" }, route: { cluster: "h1", timeout: "0.3s" } },
	{ match: { prefix: "/h2" }, route: { cluster: "h2" } },
	{ match: { prefix: "/" }, route: { cluster: "h1" } },
];
const log = {
	path: "%REQ(:PATH)%",
	code: "%RESPONSE_CODE%",
	flags: "%RESPONSE_FLAGS%",
	details: "%RESPONSE_CODE_DETAILS%",
	received: "%BYTES_RECEIVED%",
	sent: "%BYTES_SENT%",
};

function bootstrapOf(logPath: string, upstreams: Upstreams): object {
	const listeners = Object.entries(filters).map(([name, filter]) =>
		httpListener(
			name,
			{
				http_filters: [filter, router],
				http_protocol_options: { enable_trailers: true },
				upgrade_configs: [{ upgrade_type: "websocket" }],
				access_log: [fileLog(logPath, log)],
				route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
			},
			{ per_connection_buffer_limit_bytes: 32 * kib },
		),
	);
	const clusters = [staticCluster("h1", upstreams.http1), grpcCluster("h2", upstreams.http2)];
	return { admin: { address: loopback(0) }, static_resources: { listeners, clusters } };
}

/** What one proxy did, and how long it took. */
interface Timed<T> {
	readonly value: T;
	readonly ms: number;
}

/** Both took their time, and about the same. */
function assertSlow([envoy, weft]: readonly [Timed<unknown>, Timed<unknown>], leastMs: number): void {
	for (const { ms } of [envoy, weft]) assert.ok(ms > leastMs * 0.7, `${ms} ms of ${leastMs}`);
	assert.ok(weft.ms < envoy.ms * 3 + 500 && envoy.ms < weft.ms * 3 + 500, `${envoy.ms} ms in Envoy, ${weft.ms} ms here`);
}

/** Bodies that filters slow down: the same arrives as through a real Envoy, in about the same time, counted and logged alike. */
describe("throttled bodies, beside a real Envoy", { skip: skipReason }, () => {
	let upstreams: Upstreams;
	let pair: readonly [Proxy, Proxy];
	before(async () => {
		upstreams = await startUpstreams();
		pair = await startPair((logPath) => bootstrapOf(logPath, upstreams), Object.keys(filters));
	});
	after(async () => {
		for (const proxy of pair ?? []) await proxy.stop();
		upstreams?.close();
	});

	const timed = async <T>(run: () => Promise<T>): Promise<Timed<T>> => {
		const startedAt = performance.now();
		return { value: await run(), ms: performance.now() - startedAt };
	};
	/** Runs the same through both and gives what came, which must be equal. */
	const both = async <T>(run: (proxy: Proxy) => Promise<T>): Promise<readonly [Timed<T>, Timed<T>]> => {
		const [envoy, weft] = await Promise.all(pair.map((proxy) => timed(() => run(proxy))));
		assert.ok(envoy && weft);
		assert.deepEqual(weft.value, envoy.value);
		return [envoy, weft];
	};
	const portOf = (proxy: Proxy, listener: string) => proxy.port(listener);
	const stats = async (proxy: Proxy, pattern: RegExp) => {
		const lines = await proxy.stats(pattern);
		return lines.filter((line) => !/_enforced|allowed_size|incoming_size|duration/.test(line)).toSorted();
	};
	const logged = async (proxy: Proxy, path: string) => {
		for (let i = 0; i < 100; i++) {
			const line = proxy.log().find((one) => one.path === path);
			if (line !== undefined) return line;
			await sleep(20);
		}
		return undefined;
	};

	test("a fixed rate over HTTP/1 and HTTP/2, with trailers", async () => {
		const run = (proxy: Proxy) => ask(portOf(proxy, "fixed"), `/?size=${60 * kib}`);
		assertSlow(await both(run), 550);
		const http2 = await both((proxy) => askHttp2(portOf(proxy, "fixed"), `/h2?size=${60 * kib}`));
		assertSlow(http2, 550);
		assert.deepEqual(http2[1].value.trailers, ["grpc-status: 0"]);
		await both((proxy) => logged(proxy, `/h2?size=${60 * kib}`));
		await both((proxy) => stats(proxy, /fixed\.fault\./));
	});

	test("while the upstream thinks, tokens come", async () => {
		const thinking = await both((proxy) => ask(portOf(proxy, "fixed"), `/?size=${90 * kib}&wait=1000`));
		for (const { ms } of thinking) assert.ok(ms < 1700, `${ms} ms`);
	});

	test("as fast as the caller asks, or not at all slower", async () => {
		const at = (headers: Record<string, string>, size = 60) => both((proxy) => ask(portOf(proxy, "asked"), `/?size=${size * kib}`, { headers }));
		assertSlow(await at({ "x-envoy-fault-throughput-response": "100" }), 550);
		const slow = "x-envoy-fault-throughput-response";
		const nones: readonly Record<string, string>[] = [{}, { [slow]: "0" }, { [slow]: "x" }, { [slow]: "1", [`${slow}-percentage`]: "0" }];
		for (const none of nones) {
			for (const { ms } of await at(none)) assert.ok(ms < 2000, `${ms} ms`);
		}
		await both((proxy) => stats(proxy, /asked\.fault\./));
	});

	test("the proxy's own answers are as slow", async () => {
		const headers = { "x-envoy-fault-throughput-response": "8" };
		assertSlow(await both((proxy) => ask(portOf(proxy, "asked"), "/direct/slow", { headers })), 440);
		assertSlow(await both((proxy) => ask(portOf(proxy, "asked"), "/direct/posted", { headers, body: Buffer.alloc(100 * kib) })), 440);
		const aborted = { ...headers, "x-envoy-fault-abort-request": "418", "x-envoy-fault-delay-request": "50" };
		await both((proxy) => ask(portOf(proxy, "asked"), "/aborted", { headers: aborted }));
		for (const path of ["/direct/slow", "/aborted"]) await both((proxy) => logged(proxy, path));
		await both((proxy) => stats(proxy, /asked\.fault\./));
	});

	test("what passes through a tunnel, too", async () => {
		assertSlow(await both((proxy) => openWebSocket(portOf(proxy, "fixed"), "/ws", 60 * kib)), 550);
	});

	test("a stream is one fault until it is over, whatever is done to it", async () => {
		const rate = { "x-envoy-fault-throughput-response": "5" };
		await both(async (proxy) => {
			const client = new AbortController();
			const first = ask(portOf(proxy, "one"), `/first?size=${50 * kib}`, { headers: rate, signal: client.signal });
			while (!(await stats(proxy, /one\.fault\./)).some((line) => line.endsWith("active_faults: 1"))) await sleep(20);
			const others: readonly Record<string, string>[] = [{}, { "x-envoy-fault-delay-request": "5" }, { "x-envoy-fault-abort-request": "418" }];
			const answers: unknown[] = [];
			for (const more of others) answers.push(await ask(portOf(proxy, "one"), `/?size=${20 * kib}`, { headers: { ...rate, ...more } }));
			const during = await stats(proxy, /one\.fault\./);
			client.abort();
			await first;
			while ((await stats(proxy, /one\.fault\./)).some((line) => line.endsWith("active_faults: 1"))) await sleep(20);
			const { sent, ...line } = (await logged(proxy, `/first?size=${50 * kib}`)) as Record<string, unknown>;
			assert.ok(Number(sent) < 50 * kib);
			return [answers, during, line, await stats(proxy, /one\.fault\./)];
		});
	});

	test("an upstream that fails, and a timeout, end what is still on its way", async () => {
		const headers = { "x-envoy-fault-throughput-response": "100" };
		await both(async (proxy) => {
			const { bytes, ...cut } = await ask(portOf(proxy, "asked"), "/cut", { headers });
			assert.ok(bytes < 100 * kib);
			return cut;
		});
		// All of the answer is here in time, and the rest is the filter's.
		assertSlow(await both((proxy) => ask(portOf(proxy, "asked"), `/brief?size=${60 * kib}`, { headers })), 550);
		const never = await both(async (proxy) => (await ask(portOf(proxy, "asked"), `/brief?size=${32 * kib * kib}`, { headers })).error);
		for (const { ms } of never) assert.ok(ms < 2500, `${ms} ms`);
		await both(async (proxy) => {
			const { sent: _, ...line } = (await logged(proxy, `/brief?size=${32 * kib * kib}`)) as Record<string, unknown>;
			return line;
		});
	});

	for (const [cluster, path] of [
		["h1", "/"],
		["h2", "/h2"],
	] as const) {
		test(`an upstream is not read while the client waits: ${cluster}`, async () => {
			await both(async (proxy) => {
				const client = new AbortController();
				const mine = `${proxy.name} ${cluster}`;
				const headers = { "x-envoy-fault-throughput-response": "100", "x-mine": mine };
				const answer = ask(portOf(proxy, "asked"), `${path}?size=${128 * kib * kib}`, { headers, signal: client.signal });
				await sleep(800);
				const written = upstreams.written.get(mine) ?? 0;
				client.abort();
				await answer;
				assert.ok(written > 0 && written < 64 * kib * kib, `${written} bytes were taken from the upstream`);
				return (await proxy.stats(new RegExp(`cluster\\.${cluster}\\.upstream_flow_control_paused_reading_total`))).length;
			});
		});
	}

	test("responses under one limit: the first second's bytes are there, later ones come with time", async () => {
		const run = (proxy: Proxy) => ask(portOf(proxy, "responses"), `/?size=${100 * kib}`);
		for (const { ms } of await both(run)) assert.ok(ms < 800, `${ms} ms`);
		assertSlow(await both(run), 900);
		await both((proxy) => stats(proxy, /^responses\.http_bandwidth_limit\./));
	});

	test("requests under one limit, over HTTP/1 and HTTP/2", async () => {
		const body = Buffer.alloc(100 * kib, "q");
		for (const { ms } of await both((proxy) => ask(portOf(proxy, "requests"), "/", { body }))) assert.ok(ms < 800, `${ms} ms`);
		assertSlow(await both((proxy) => ask(portOf(proxy, "requests"), "/posted", { body })), 900);
		assertSlow(await both((proxy) => askHttp2(portOf(proxy, "requests"), "/h2", body.subarray(0, 60 * kib))), 500);
		await both((proxy) => stats(proxy, /^requests\.http_bandwidth_limit\./));
		await both((proxy) => logged(proxy, "/posted"));
	});

	test("trailers tell the times that were not 0", async () => {
		const names = ["x-took-bandwidth-request-delay-ms", "x-took-bandwidth-request-filter-delay-ms"];
		const more = ["x-took-bandwidth-response-delay-ms", "x-took-bandwidth-response-filter-delay-ms"];
		const namesOf = (trailers: readonly string[]) => trailers.map((line) => line.replace(/ms: \d+$/, "ms")).toSorted();
		await both((proxy) => ask(portOf(proxy, "told"), `/?size=${110 * kib}`).then(({ bytes }) => bytes));
		const told = await both(async (proxy) => {
			const { trailers, ...rest } = await askHttp2(portOf(proxy, "told"), `/h2?size=${30 * kib}`, Buffer.alloc(30 * kib));
			return { ...rest, trailers: namesOf(trailers) };
		});
		assertSlow(told, 500);
		assert.deepEqual(told[1].value.trailers, ["grpc-status: 0", ...names, ...more]);
		const http1 = await both(async (proxy) => namesOf((await ask(portOf(proxy, "told"), `/?chunked&size=${20 * kib}`)).trailers));
		assert.deepEqual(http1[1].value, more);
		await both((proxy) => stats(proxy, /^told\.http_bandwidth_limit\./));
	});

	test("a route has a bucket of its own, or none", async () => {
		const run = (path: string, size: number) => both((proxy) => ask(portOf(proxy, "responses"), `${path}?size=${size * kib}`));
		await run("/own", 50);
		assertSlow(await run("/own", 30), 500);
		for (const { ms } of await run("/off", 500)) assert.ok(ms < 2000, `${ms} ms`);
		for (const listener of ["disabled", "switched"]) {
			for (const { ms } of await both((proxy) => ask(portOf(proxy, listener), `/?size=${500 * kib}`))) assert.ok(ms < 2000, `${ms} ms`);
		}
		await both((proxy) => stats(proxy, /^(own|responses|disabled|switched)\.http_bandwidth_limit\./));
	});

	test("all requests draw from one bucket", async () => {
		const shared = await both(async (proxy) => {
			const answers = await Promise.all([1, 2, 3].map(() => ask(portOf(proxy, "shared"), `/?size=${70 * kib}`)));
			return answers;
		});
		assertSlow(shared, 1000);
		await both((proxy) => stats(proxy, /^shared\.http_bandwidth_limit\./));
	});

	test("a client that goes away leaves nothing pending here; in Envoy the gauge stays", async () => {
		const pending = async (proxy: Proxy) => (await proxy.stats(/^shared\.http_bandwidth_limit\.response_pending/)).length;
		await Promise.all(
			pair.map(async (proxy) => {
				const client = new AbortController();
				const answer = ask(portOf(proxy, "shared"), `/?size=${500 * kib}`, { signal: client.signal });
				while ((await pending(proxy)) === 0) await sleep(20);
				client.abort();
				await answer;
				await sleep(200);
				assert.equal(await pending(proxy), proxy.name === "envoy" ? 1 : 0, proxy.name);
			}),
		);
	});
});
