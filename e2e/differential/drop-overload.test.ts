import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileLog, httpListener, loopback, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

const askedMax = 400;

/** The control plane sheds load (`policy.drop_overloads`), beside a real Envoy. */
describe("drop_overloads, beside a real Envoy", { skip: skipReason }, () => {
	const folder = mkdtempSync(join(tmpdir(), "weft-drop-"));
	const file = join(folder, "eds.json");
	const upstreams: Server[] = [];
	const ports: number[] = [];
	let pair: readonly [Proxy, Proxy];
	let version = 0;

	const assignment = (name: string, percent: number, port = ports[0] as number) => ({
		cluster_name: name,
		endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(port) } }] }],
		policy: { drop_overloads: [{ category: "shed", drop_percentage: { numerator: percent, denominator: "HUNDRED" } }] },
	});
	/** With another host each time: Envoy's workers hear of a share only when hosts change. */
	const write = (percent: number) => {
		const resources = [{ "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", ...assignment("eds", percent, ports[version % 2]) }];
		writeFileSync(`${file}.new`, JSON.stringify({ version_info: `v${++version}`, resources }));
		renameSync(`${file}.new`, file);
	};
	const ask = (proxy: Proxy, listener: string, path: string, headers = {}) =>
		new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
			const sent = request({ host: "127.0.0.1", port: proxy.port(listener), path, headers }, (response) => {
				let body = "";
				const { date: _date, server: _server, ...rest } = response.headers;
				response.on("data", (bytes: Buffer) => (body += bytes.toString()));
				response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: rest, body }));
			});
			sent.on("error", reject);
			sent.end();
		});
	const both = (listener: string, path: string, headers?: object) => Promise.all(pair.map((proxy) => ask(proxy, listener, path, headers)));
	/** Asks until an answer is as wanted; chance decides which it is. */
	const askUntil = async (proxy: Proxy, listener: string, path: string, status: number) => {
		for (let i = 0; i < askedMax; i++) {
			const answer = await ask(proxy, listener, path);
			if (answer.status === status) return answer;
		}
		return assert.fail(`${proxy.name}: no ${status} of ${path}`);
	};

	before(async () => {
		for (let i = 0; i < 2; i++) {
			const upstream = createServer((_, response) => response.end("served"));
			await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
			upstreams.push(upstream);
			ports.push((upstream.address() as AddressInfo).port);
		}
		write(0);
		const build = (accessLog: string) => {
			const route = (cluster: string, more = {}) => ({ match: { prefix: `/${cluster}` }, route: { cluster, ...more } });
			const retry = { retry_policy: { retry_on: "5xx", num_retries: 3 } };
			const manager = {
				route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes: [route("all", retry), route("half"), route("none"), route("eds")] }] },
				access_log: [
					fileLog(accessLog, {
						path: "%REQ(:PATH)%",
						flags: "%RESPONSE_FLAGS%",
						long: "%RESPONSE_FLAGS_LONG%",
						details: "%RESPONSE_CODE_DETAILS%",
						host: "%UPSTREAM_HOST%",
					}),
				],
			};
			const quiet = {
				name: "envoy.filters.http.router",
				typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers: true },
			};
			const cluster = (name: string, percent: number) => staticCluster(name, [], { load_assignment: assignment(name, percent) });
			return {
				node: { id: "sidecar~1", cluster: "test" },
				admin: { address: loopback(0) },
				static_resources: {
					listeners: [httpListener("http", manager), httpListener("quiet", { ...manager, http_filters: [quiet] })],
					clusters: [
						cluster("all", 100),
						cluster("half", 50),
						cluster("none", 0),
						{ name: "eds", type: "EDS", connect_timeout: "1s", eds_cluster_config: { eds_config: { path_config_source: { path: file } } } },
					],
				},
			};
		};
		pair = await startPair(build, ["http", "quiet"]);
	});
	after(async () => {
		for (const proxy of pair ?? []) await proxy.stop();
		for (const upstream of upstreams) upstream.close();
		rmSync(folder, { recursive: true, force: true });
	});

	test("all requests, none, and calls of gRPC", async () => {
		for (const listener of ["http", "quiet"]) {
			for (const [path, headers] of [["/all"], ["/none"], ["/all/grpc", { "content-type": "application/grpc" }]] as const) {
				const [envoy, weft] = await both(listener, path, headers);
				assert.deepEqual(strip(weft), strip(envoy), `${listener} ${path}`);
			}
		}
		assert.equal((await ask(pair[1], "http", "/all")).status, 503);
		await ask(pair[0], "http", "/all");
	});

	test("some requests", async () => {
		for (const listener of ["http", "quiet"]) {
			for (const status of [503, 200]) {
				const [envoy, weft] = await Promise.all(pair.map((proxy) => askUntil(proxy, listener, "/half", status)));
				assert.deepEqual(strip(weft), strip(envoy), `${listener} ${status}`);
			}
		}
	});

	test("what the control plane says next counts from then on", async () => {
		for (const [percent, status] of [
			[100, 503],
			[0, 200],
		] as const) {
			write(percent);
			let answers = await both("http", "/eds");
			for (const end = performance.now() + 20_000; performance.now() < end && answers.some((answer) => answer.status !== status); await sleep(30))
				answers = await both("http", "/eds");
			assert.deepEqual(
				answers.map((answer) => answer.status),
				[status, status],
			);
			assert.deepEqual(strip(answers[1]), strip(answers[0]));
		}
	});

	test("the log, and the counts of the cluster", async () => {
		const linesOf = (proxy: Proxy) => proxy.log().filter(({ path }) => path === "/all" || path === "/all/grpc");
		for (const proxy of pair) for (const end = performance.now() + 20_000; performance.now() < end && linesOf(proxy).length < 5; ) await sleep(30);
		assert.deepEqual(linesOf(pair[1]), linesOf(pair[0]));
		const dropped = pair.map(
			(proxy) =>
				new Set(
					proxy
						.log()
						.filter(({ path, flags }) => path === "/half" && flags !== "-" && flags !== null)
						.map((line) => JSON.stringify(line)),
				),
		);
		assert.deepEqual(dropped[1], dropped[0]);
		assert.equal(dropped[0]?.size, 1);
		const counts = await Promise.all(pair.map((proxy) => proxy.counters(/^cluster\.all\..*(upstream_rq|upstream_cx|retry)/)));
		const moved = counts.map((one) => [...one].filter(([name, value]) => value !== 0 && !name.includes("internal")).toSorted());
		assert.deepEqual(moved[1], moved[0]);
	});
});

function strip(answer: { status: number; headers: Record<string, unknown>; body: string } | undefined) {
	const { "x-envoy-upstream-service-time": time, ...headers } = answer?.headers ?? {};
	return { ...answer, headers: { ...headers, timed: time !== undefined } };
}
