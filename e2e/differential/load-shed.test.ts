import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { extension, fileLog, httpListener, listener, loopback, staticCluster } from "./config.ts";
import { moved } from "./run-case.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

const points = [
	"tcp_listener_accept",
	"http_connection_manager_decode_headers",
	"http_downstream_filter_check",
	"http1_server_abort_dispatch",
	"http2_server_go_away_on_dispatch",
	"http2_server_go_away_and_close_on_dispatch",
	"hcm_ondata_creating_codec",
	"connection_pool_new_connection",
] as const;
type Point = (typeof points)[number];

/** Each has a resource of its own. */
const overloadManager = (fileOf: (point: string) => string) => ({
	refresh_interval: "0.05s",
	resource_monitors: points.map((point) =>
		extension(`injected_${point}`, "extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig", { filename: fileOf(point) }),
	),
	loadshed_points: points.map((point) => ({
		name: `envoy.load_shed_points.${point}`,
		triggers: [{ name: `injected_${point}`, scaled: { scaling_threshold: 0.5, saturation_threshold: 0.9 } }],
	})),
});

const comparedStats =
	/^(http\.http\.(downstream_rq|downstream_cx_(?!length|rx|tx|http2_t)|rs_)|listener\.127\.0\.0\.1_0\.downstream_cx_(?!length|transport)|tcp\.t\.|cluster\.\w+\.upstream_(cx_(total|overflow|connect_fail)|rq_(?!time|rx)))/;
const ignoredStats = /_active|_time|http[12]_total$|external|internal|delayed_close/;

class Http1Client {
	readonly #socket;
	#text = "";
	#isClosed = false;
	constructor(port: number) {
		this.#socket = connect(port, "127.0.0.1");
		this.#socket.on("data", (bytes: Buffer) => void (this.#text += bytes.toString("latin1")));
		this.#socket.on("error", () => undefined);
		this.#socket.on("end", () => this.#socket.end());
		this.#socket.on("close", () => void (this.#isClosed = true));
	}
	async ask(path: string): Promise<unknown> {
		this.#text = "";
		this.#socket.write(`GET ${path} HTTP/1.1\r\nhost: a.test\r\n\r\n`);
		for (const end = performance.now() + 5_000; !this.#isClosed && !/\r\n\r\n[^]/.test(this.#text) && performance.now() < end; ) await sleep(5);
		await sleep(60);
		const [head = "", body = ""] = this.#text.split("\r\n\r\n");
		return {
			line: head.split("\r\n")[0],
			headers: head
				.split("\r\n")
				.slice(1)
				.filter((line) => /^(connection|content-type|x-)/.test(line) && !/upstream-service-time/.test(line)),
			body,
			// Who ends the connection after an answer is the one or the other.
			closed: head === "" && this.#isClosed,
		};
	}
	close(): void {
		this.#socket.destroy();
	}
}

class Http2Client {
	readonly #session: ClientHttp2Session;
	#goaways: string[] = [];
	#isClosed = false;
	constructor(port: number) {
		this.#session = connectHttp2(`http://127.0.0.1:${port}`);
		this.#session.on("goaway", (code, last) => void this.#goaways.push(`${code} ${last === 2147483647 ? "max" : last}`));
		this.#session.on("error", () => undefined);
		this.#session.on("close", () => void (this.#isClosed = true));
	}
	async ask(path: string): Promise<unknown> {
		this.#goaways = [];
		const outcome = await new Promise<unknown>((resolve) => {
			if (this.#session.closed || this.#session.destroyed) return resolve("no session");
			const stream = this.#session.request({ ":path": path });
			let [status, body]: [unknown, string] = [undefined, ""];
			stream.on("response", (headers) => void (status = headers[":status"]));
			stream.on("data", (bytes: Buffer) => void (body += bytes.toString()));
			stream.on("error", () => undefined);
			stream.on("close", () => resolve({ status, body, reset: stream.rstCode }));
			stream.end();
		});
		await sleep(60);
		return { outcome, goaways: this.#goaways, closed: this.#isClosed };
	}
	close(): void {
		this.#session.destroy();
	}
}

/** The status line, or nothing. */
function greet(port: number): Promise<string> {
	return new Promise((resolve) => {
		let text = "";
		const socket = connect(port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n"));
		socket.on("data", (bytes: Buffer) => void (text += bytes.toString("latin1")));
		socket.on("error", () => undefined);
		socket.on("close", () => resolve(text.split("\r\n")[0] ?? ""));
	});
}

test("load is shed where Envoy sheds it", { skip: skipReason }, async (t) => {
	const folder = mkdtempSync(join(tmpdir(), "weft-shed-"));
	const fileOf = (proxy: string, point: string) => join(folder, `${proxy}-${point}`);
	const press = (proxy: string, point: string, value: number) => {
		writeFileSync(`${fileOf(proxy, point)}.new`, String(value));
		renameSync(`${fileOf(proxy, point)}.new`, fileOf(proxy, point));
	};
	for (const proxy of ["envoy", "weft"]) for (const point of points) press(proxy, point, 0);
	const upstream = createServer((_, response) => response.end("ok"));
	await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
	const port = (upstream.address() as AddressInfo).port;
	const routes = ["kept", ...points].map((cluster) => ({ match: { prefix: `/${cluster}` }, route: { cluster } }));
	const pair = await startPair(
		(log, name) => ({
			admin: { address: loopback(0) },
			overload_manager: overloadManager((point) => fileOf(name, point)),
			static_resources: {
				listeners: [
					httpListener("http", {
						access_log: [fileLog(log, { flags: "%RESPONSE_FLAGS%", details: "%RESPONSE_CODE_DETAILS%", code: "%RESPONSE_CODE%" })],
						route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
					}),
					listener("tcp", [
						extension("envoy.filters.network.tcp_proxy", "extensions.filters.network.tcp_proxy.v3.TcpProxy", {
							stat_prefix: "t",
							cluster: "tcp",
							access_log: [fileLog(log, { flags: "%RESPONSE_FLAGS%", details: "%CONNECTION_TERMINATION_DETAILS%" })],
						}),
					]),
				],
				clusters: ["tcp", "kept", ...points].map((name) => staticCluster(name, port)),
			},
		}),
		["http", "tcp"],
	);
	t.after(async () => {
		await Promise.all(pair.map((proxy) => proxy.stop()));
		upstream.close().closeAllConnections();
		rmSync(folder, { recursive: true, force: true });
	});

	const pressAndWait = async (proxy: Proxy, point: Point, value: number) => {
		press(proxy.name, point, value);
		for (const end = performance.now() + 20_000; ; await sleep(20)) {
			const stats = await proxy.admin(`/stats?filter=overload.injected_${point}.pressure`);
			if (stats.includes(`pressure: ${Math.round(value * 100)}\n`)) return;
			assert.ok(performance.now() < end, `${proxy.name} did not see ${value}`);
		}
	};
	/** What clients see that came before, and of those that come now. */
	const observe = async (proxy: Proxy, point: Point): Promise<unknown> => {
		const [old1, old2] = [new Http1Client(proxy.port("http")), new Http2Client(proxy.port("http"))];
		const seen: Record<string, unknown> = { "old 1": await old1.ask("/kept"), "old 2": await old2.ask("/kept") };
		await pressAndWait(proxy, point, 0.9);
		const before = await proxy.counters(comparedStats);
		const logged = proxy.log().length;
		const clients = [
			["kept 1", old1],
			["kept 2", old2],
			["kept 2, again", old2],
			["new 1", new Http1Client(proxy.port("http"))],
			["new 2", new Http2Client(proxy.port("http"))],
		] as const;
		for (const [name, client] of clients) seen[name] = await client.ask(`/${point}`);
		for (const [, client] of clients) client.close();
		await sleep(100);
		seen["tcp"] = await greet(proxy.port("tcp"));
		seen["log"] = proxy.log().slice(logged);
		// Reads are counted, and how many there are is the network's business.
		const own = (await proxy.stats(/^overload\.envoy/)).map((line) => line.replace(/(shed_load_count): \d+/, "$1: some"));
		seen["stats"] = moved(before, await proxy.counters(comparedStats), ignoredStats);
		await pressAndWait(proxy, point, 0);
		return { ...seen, own: own.toSorted() };
	};
	for (const point of points) {
		await t.test(point, async () => {
			const envoy = await observe(pair[0], point);
			const weft = await observe(pair[1], point);
			assert.deepEqual(weft, envoy);
		});
	}
});
