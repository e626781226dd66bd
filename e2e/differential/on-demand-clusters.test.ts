import assert from "node:assert/strict";
import { createServer, request, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { typeUrls } from "@weft/xds";
import { registerImplemented } from "../../packages/proxy/src/config/decode/index.ts";
import { ads, adsBootstrap, AdsServer } from "./ads-server.ts";
import { extension, fileLog, httpFilter, httpListener, listener, router, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

const onDemand = (fields: object) => httpFilter("envoy.filters.http.on_demand", "on_demand.v3.OnDemand", fields);
const odcds = (timeout: string) => ({ odcds: { source: ads, timeout } });
const perRoute = (fields: object) => ({
	"envoy.filters.http.on_demand": { "@type": "type.googleapis.com/envoy.extensions.filters.http.on_demand.v3.PerRouteConfig", ...fields },
});
const byHeader = { cluster_header: "x-to" };
const tcp = (name: string, cluster: string, fields: object) =>
	listener(name, [
		extension("envoy.filters.network.tcp_proxy", "extensions.filters.network.tcp_proxy.v3.TcpProxy", { stat_prefix: name, cluster, on_demand: fields }),
	]);
const listenerNames = ["http", "by-route", "tcp", "tcp-absent", "tcp-late"] as const;
const inMs = (start: number) => performance.now() - start;

/** Clusters that the control plane gives to those alone who ask for them by name, beside a real Envoy. */
describe("clusters on demand, beside a real Envoy", { skip: skipReason }, () => {
	const servers = [new AdsServer(), new AdsServer()] as const;
	let upstream: Server;
	let proxies: readonly [Proxy, Proxy];
	let port = 0;

	/** What both make of it, which has to be the same. */
	const both = async <T>(act: (proxy: Proxy, server: AdsServer) => Promise<T>): Promise<T> => {
		const [envoy, weft] = [await act(proxies[0], servers[0]), await act(proxies[1], servers[1])];
		assert.deepEqual(weft, envoy);
		return weft;
	};

	before(async () => {
		registerImplemented();
		upstream = createServer((incoming, response) => incoming.pipe(response));
		await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
		({ port } = upstream.address() as AddressInfo);
		for (const server of servers) {
			server.set(typeUrls.lds, []);
			server.set(typeUrls.cds, [staticCluster("for-all", port)]);
			const eds = { name: "no-endpoints", type: "EDS", eds_cluster_config: { eds_config: ads } };
			const byName = ["a", "b", "one", "two", "tcp-target", "going"].map((name) => staticCluster(name, port));
			server.set(typeUrls.cds, [...byName, eds], false);
			for (const name of ["late", "never", "tcp-late"]) server.silent.add(name);
		}
		const ports = [await servers[0].start(), await servers[1].start()] as const;
		const weighted = { weighted_clusters: { clusters: ["one", "two"].map((name) => ({ name, weight: 1 })) } };
		const routes = [
			{ match: { prefix: "/off" }, route: byHeader, typed_per_filter_config: perRoute({}) },
			{ match: { prefix: "/weighted" }, route: weighted },
			{ match: { prefix: "/" }, route: byHeader },
		];
		const table = { virtual_hosts: [{ name: "all", domains: ["*"], routes }], validate_clusters: false };
		const build = (log: string, name: Proxy["name"]) => {
			const fields = { code: "%RESPONSE_CODE%", flags: "%RESPONSE_FLAGS%", details: "%RESPONSE_CODE_DETAILS%", path: "%PATH%" };
			const access = { access_log: [fileLog(log, fields)] };
			return adsBootstrap(ports[name === "envoy" ? 0 : 1], [
				httpListener("http", { ...access, route_config: table, http_filters: [onDemand(odcds("1s")), router] }),
				httpListener("by-route", {
					...access,
					route_config: { ...table, typed_per_filter_config: perRoute(odcds("0.3s")) },
					http_filters: [onDemand({}), router],
				}),
				tcp("tcp", "tcp-target", { odcds_config: ads }),
				tcp("tcp-absent", "nothing", { odcds_config: ads }),
				tcp("tcp-late", "tcp-late", { odcds_config: ads, timeout: "0.3s" }),
			]);
		};
		proxies = await startPair(build, listenerNames);
		for (const proxy of proxies) while (!(await proxy.admin("/ready")).startsWith("LIVE")) await sleep(50);
	});
	after(async () => {
		for (const proxy of proxies ?? []) await proxy.stop();
		for (const server of servers) server.stop();
		upstream.close().closeAllConnections();
	});

	test("connections wait, too", async () => {
		const answers = await both(async (proxy) => [
			await send(proxy, "tcp"),
			await send(proxy, "tcp"),
			await send(proxy, "tcp-absent"),
			await send(proxy, "tcp-late"),
		]);
		assert.deepEqual(answers, ["HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "", ""]);
		const stats = await both((proxy) => proxy.counters(/^tcp\.tcp.*\.(on_demand_cluster_|downstream_cx_no_route)/).then((all) => [...all].sort()));
		assert.deepEqual(
			stats.filter(([, value]) => value > 0),
			[
				["tcp.tcp-absent.downstream_cx_no_route", 1],
				["tcp.tcp-absent.on_demand_cluster_attempt", 1],
				["tcp.tcp-absent.on_demand_cluster_missing", 1],
				["tcp.tcp-late.downstream_cx_no_route", 1],
				["tcp.tcp-late.on_demand_cluster_attempt", 1],
				["tcp.tcp-late.on_demand_cluster_timeout", 1],
				["tcp.tcp.on_demand_cluster_attempt", 1],
				["tcp.tcp.on_demand_cluster_success", 1],
			],
		);
	});

	test("requests wait for the cluster that their header names, bodies with them; several wait for one question", async () => {
		const answers = await both((proxy) =>
			Promise.all([ask(proxy, "/", "a"), ask(proxy, "/", "a", "body"), ask(proxy, "/", "absent"), ask(proxy, "/", "for-all"), ask(proxy, "/", "")]),
		);
		assert.deepEqual(answers, ["200 ", "200 body", "503 ", "200 ", "503 "]);
		const names = await both(async (_, server) => server.namesAsked(typeUrls.cds));
		assert.deepEqual(
			names.filter((name) => name.startsWith("a")),
			["a", "absent"],
		);
		assert.ok(!names.includes("*") && !names.includes("for-all"));
		assert.equal(servers[1].asked.filter((one) => one.endsWith(" a")).length, 1);
	});

	test("only what a route leads to is asked for, and what its own configuration does not ask for is not there", async () => {
		assert.equal(await both((proxy) => ask(proxy, "/off", "b")), "503 ");
		assert.equal(await both((proxy) => ask(proxy, "/", "b")), "200 ");
		assert.equal(await both((proxy) => ask(proxy, "/off", "b")), "200 ");
		assert.equal(await both((proxy) => ask(proxy, "/weighted", "")), "200 ");
		for (const server of servers) assert.ok(server.namesAsked(typeUrls.cds).some((name) => name === "one" || name === "two"));
	});

	test("what comes while a request waits is used; what does not come in time is not there", async () => {
		const late = await both(async (proxy, server) => {
			const answer = ask(proxy, "/", "late");
			await sleep(200);
			server.set(typeUrls.cds, [staticCluster("late", port)], false);
			return answer;
		});
		assert.equal(late, "200 ");
		for (const proxy of proxies) {
			const start = performance.now();
			assert.equal(await ask(proxy, "/", "never", "", "by-route"), "503 ");
			assert.ok(inMs(start) > 280 && inMs(start) < 900, `${proxy.name} waited ${inMs(start)} ms`);
		}
	});

	test("a cluster without endpoints is there, one that is refused is not, and nobody waits for either", async () => {
		assert.equal(await both((proxy) => ask(proxy, "/", "no-endpoints")), "503 no healthy upstream");
		const bad = { name: "bad", type: "STATIC", lb_policy: "RING_HASH", ring_hash_lb_config: { minimum_ring_size: "100", maximum_ring_size: "1" } };
		const waited: number[] = [];
		const answer = await both(async (proxy, server) => {
			server.set(typeUrls.cds, [bad], false);
			const start = performance.now();
			const said = await ask(proxy, "/", "bad");
			waited.push(inMs(start));
			return said;
		});
		assert.equal(answer, "503 ");
		// Envoy does not wait either, unless several of its filters ask.
		assert.ok((waited[1] as number) < 900, `waited ${waited[1]} ms`);
		for (const { refusals } of servers) {
			for (const end = performance.now() + 5_000; performance.now() < end && refusals.length === 0; ) await sleep(10);
			assert.match(refusals.at(-1)?.message ?? "", /bad: ring hash/);
		}
	});

	test("a cluster that the control plane takes back is gone, and can be asked for again", async () => {
		assert.equal(await both((proxy) => ask(proxy, "/", "going")), "200 ");
		const answers = await both(async (proxy, server) => {
			server.remove(typeUrls.cds, "going");
			while ((await ask(proxy, "/off", "going")) !== "503 ") await sleep(20);
			const gone = await ask(proxy, "/", "going");
			server.set(typeUrls.cds, [staticCluster("going", port)], false);
			return [gone, await ask(proxy, "/", "going")];
		});
		assert.deepEqual(answers, ["503 ", "200 "]);
	});

	test("the log, the statistics and the clusters that are there", async () => {
		await both((proxy) => proxy.counters(/^http\.(http|by-route)\.(rq_total|downstream_rq_[1-5]xx)$/).then((all) => [...all].length));
		const lines = await both(async (proxy) => {
			for (const end = performance.now() + 5_000; performance.now() < end && proxy.log().length < 10; ) await sleep(20);
			// Who waits for an answer that is not asked for again may ask once more, so the numbers differ.
			return [...new Set(proxy.log().map((line) => JSON.stringify(line)))].sort();
		});
		assert.ok(lines.some((line) => line.includes('"cluster_not_found"') && line.includes('"NC"')));
		const names = await both(async (proxy) => {
			const { configs } = JSON.parse(await proxy.admin("/config_dump?resource=dynamic_active_clusters")) as Dump;
			return configs
				.map(({ cluster }) => cluster.name)
				.filter((name) => name !== "one" && name !== "two")
				.sort();
		});
		assert.deepEqual(names, ["a", "b", "for-all", "going", "late", "no-endpoints", "tcp-target"]);
	});
});

interface Dump {
	readonly configs: readonly { readonly cluster: { readonly name: string } }[];
}

function ask(proxy: Proxy, path: string, to: string, body = "", listenerName = "http"): Promise<string> {
	return new Promise((resolve, reject) => {
		const sent = request(
			{ host: "127.0.0.1", port: proxy.port(listenerName), path, method: body === "" ? "GET" : "POST", headers: { "x-to": to } },
			(response) => {
				let text = "";
				response.on("data", (bytes: Buffer) => (text += bytes.toString()));
				response.on("end", () => resolve(`${response.statusCode} ${text}`));
			},
		);
		sent.on("error", reject).end(body);
	});
}

/** The first line of what comes back; "" where the connection is closed instead. */
function send(proxy: Proxy, listenerName: string): Promise<string> {
	return new Promise((resolve) => {
		const socket = connect(proxy.port(listenerName), "127.0.0.1");
		let text = "";
		socket.on("error", () => undefined);
		socket.on("data", (bytes) => {
			text += bytes.toString();
			socket.destroy();
		});
		socket.on("close", () => resolve(text.split("\r\n")[0] as string));
		socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
	});
}
