import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { Agent, createServer, type IncomingMessage, request } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { extension, fileLog, httpListener, loopback, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

const action = (name: string, triggers: readonly object[], more: object = {}) => ({ name: `envoy.overload_actions.${name}`, triggers, ...more });
const at = (value: number) => [{ name: "injected", threshold: { value } }];

const overloadManager = (file: string) => ({
	refresh_interval: "0.05s",
	resource_monitors: [
		extension("injected", "extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig", { filename: file }),
		extension(
			"envoy.resource_monitors.global_downstream_max_connections",
			"extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
			{
				max_active_downstream_connections: 5,
			},
		),
	],
	actions: [
		action("disable_http_keepalive", [{ name: "injected", scaled: { scaling_threshold: 0.2, saturation_threshold: 0.4 } }]),
		action("stop_accepting_requests", at(0.6)),
		action("stop_accepting_connections", at(0.8)),
		action("reject_incoming_connections", at(0.95)),
		action("reduce_timeouts", at(0.5), {
			typed_config: {
				"@type": "type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig",
				timer_scale_factors: [{ timer: "HTTP_DOWNSTREAM_CONNECTION_IDLE", min_timeout: "0.2s" }],
			},
		}),
	],
});

interface Answer {
	readonly status: number;
	readonly body: string;
	readonly connection: string | undefined;
	readonly log: unknown;
}

test("what is done when resources run out is Envoy's", { skip: skipReason }, async (t) => {
	const folder = mkdtempSync(join(tmpdir(), "weft-overload-"));
	const fileOf = (name: string) => join(folder, `${name}-pressure`);
	// Envoy sees a file that is moved into its place.
	const press = (name: string, value: number | string) => {
		writeFileSync(`${fileOf(name)}.new`, String(value));
		renameSync(`${fileOf(name)}.new`, fileOf(name));
	};
	const upstream = createServer((_, response) => response.end("ok"));
	await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
	upstream.unref();
	for (const name of ["envoy", "weft"]) press(name, 0);
	const fields = { flags: "%RESPONSE_FLAGS%", details: "%RESPONSE_CODE_DETAILS%" };
	const proxies = await startPair(
		(log, name) => {
			const manager = {
				access_log: [fileLog(log, fields)],
				route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "up" } }] }] },
			};
			return {
				admin: { address: loopback(0) },
				overload_manager: overloadManager(fileOf(name)),
				static_resources: {
					listeners: [httpListener("http", manager), httpListener("spared", manager, { ignore_global_conn_limit: true, bypass_overload_manager: true })],
					clusters: [staticCluster("up", (upstream.address() as AddressInfo).port)],
				},
			};
		},
		["http", "spared"],
	);
	t.after(async () => {
		await Promise.all(proxies.map((proxy) => proxy.stop()));
		upstream.close().closeAllConnections();
		rmSync(folder, { recursive: true, force: true });
	});

	/** Waits until the proxy has seen it. */
	const pressAndWait = async (proxy: Proxy, value: number) => {
		press(proxy.name, value);
		await until(
			async () => (await proxy.admin("/stats?filter=overload.injected.pressure")).includes(`pressure: ${Math.round(value * 100)}\n`),
			`pressure ${value}`,
		);
		// The workers hear of it a moment later.
		await sleep(100);
	};
	const statsOf = async (proxy: Proxy, pattern: RegExp) =>
		(await proxy.admin("/stats"))
			.split("\n")
			.filter((line) => pattern.test(line))
			.sort();
	const both = async <T>(observe: (proxy: Proxy) => Promise<T>) => {
		const [envoy, weft] = [await observe(proxies[0]), await observe(proxies[1])];
		assert.deepEqual(weft, envoy);
		return envoy;
	};
	const overloadStats = (proxy: Proxy) =>
		statsOf(proxy, /^overload\.(injected|envoy\.overload_actions\.(disable|stop|reject|reduce)\w*)\.(pressure|failed_updates|active|scale_percent)/);

	await t.test("nothing, while there is no pressure", async () => {
		const answer = await both((proxy) => ask(proxy, "http"));
		assert.deepEqual([answer.status, answer.connection], [200, "keep-alive"]);
		await both(overloadStats);
	});
	await t.test("connections are closed by their responses", async () => {
		const answer = await both(async (proxy) => {
			await pressAndWait(proxy, 0.4);
			return ask(proxy, "http");
		});
		assert.equal(answer.connection, "close");
		await both((proxy) => statsOf(proxy, /http\.(http|spared)\.downstream_cx_overload_disable_keepalive/));
		await both(overloadStats);
	});
	await t.test("a listener that bypasses it does not care", async () => {
		const answer = await both((proxy) => ask(proxy, "spared"));
		assert.equal(answer.connection, "keep-alive");
	});
	await t.test("in between, some are", async () => {
		await both(async (proxy) => {
			await pressAndWait(proxy, 0.3);
			return overloadStats(proxy);
		});
		for (const proxy of proxies) {
			const answers: (string | undefined)[] = [];
			for (let i = 0; i < 60; i++) answers.push((await ask(proxy, "http")).connection);
			const closed = answers.filter((one) => one === "close").length;
			assert.ok(closed > 10 && closed < 50, `${proxy.name}: ${closed} of 60`);
		}
	});
	await t.test("quiet connections go sooner", async () => {
		await both(async (proxy) => {
			await pressAndWait(proxy, 0);
			const quiet = await openQuiet(proxy);
			await pressAndWait(proxy, 0.5);
			await quiet.closed;
			return "closed";
		});
	});
	await t.test("requests are refused", async () => {
		const answer = await both(async (proxy) => {
			await pressAndWait(proxy, 0.6);
			return ask(proxy, "http");
		});
		assert.deepEqual([answer.status, answer.body], [503, "envoy overloaded"]);
		await both((proxy) => statsOf(proxy, /http\.http\.downstream_rq_overload_close/));
	});
	await t.test("connections wait until the pressure is gone", async () => {
		await both(async (proxy) => {
			await pressAndWait(proxy, 0.8);
			const answer = ask(proxy, "http");
			const first = await Promise.race([answer.then(() => "answered"), sleep(300).then(() => "waiting")]);
			await pressAndWait(proxy, 0);
			return [first, (await answer).status];
		});
	});
	await t.test("connections are closed at once", async () => {
		await both(async (proxy) => {
			await pressAndWait(proxy, 0.95);
			// Both hold connections back as well: they are let in where only the other action is.
			return overloadStats(proxy);
		});
		for (const proxy of proxies) await pressAndWait(proxy, 0);
	});
	await t.test("no more connections than the limit, over all listeners but those that ignore it", async () => {
		await both(async (proxy) => {
			const kept: Quiet[] = [];
			// Those of before may still be counted.
			await until(async () => {
				const one = await openQuiet(proxy);
				kept.push(one);
				await sleep(20);
				return one.isClosed;
			}, "refused");
			const refused = (await statsOf(proxy, /listener\.127\.0\.0\.1_0\.downstream_global_cx_overflow/)).map((line) => line.replace(/[1-9]\d*$/, "some"));
			const spared = await ask(proxy, "spared");
			for (const { socket } of kept) socket.destroy();
			await until(async () => (await ask(proxy, "http").catch(() => undefined))?.status === 200, "room again");
			return [kept.length - 1, refused, spared.status];
		});
	});
	await t.test("nonsense in the file is a failed update", async () => {
		await both(async (proxy) => {
			press(proxy.name, "1.5");
			await until(async () => !(await proxy.admin("/stats?filter=overload.injected.failed_updates")).includes("updates: 0\n"), "a failed update");
			return (await proxy.admin("/stats?filter=overload.injected.pressure")).trim();
		});
	});

	async function ask(proxy: Proxy, listener: string): Promise<Answer> {
		const before = proxy.log().length;
		const agent = new Agent({ keepAlive: true });
		const response = await new Promise<IncomingMessage>((resolve, reject) => {
			request({ host: "127.0.0.1", port: proxy.port(listener), agent }, resolve)
				.on("error", reject)
				.end();
		});
		let body = "";
		for await (const piece of response) body += String(piece);
		agent.destroy();
		await until(async () => proxy.log().length > before, "a line in the log");
		// Envoy leaves the header away where the connection stays.
		return { status: response.statusCode ?? 0, body, connection: response.headers.connection ?? "keep-alive", log: proxy.log().at(-1) };
	}
});

interface Quiet {
	readonly socket: Socket;
	readonly closed: Promise<void>;
	isClosed: boolean;
}

/** A connection that has had a request answered, or was refused. */
function openQuiet(proxy: Proxy): Promise<Quiet> {
	return new Promise((resolve) => {
		const socket = connect(proxy.port("http"), "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nhost: h\r\n\r\n"));
		const { promise: closed, resolve: onClosed } = Promise.withResolvers<void>();
		const quiet: Quiet = { socket, closed, isClosed: false };
		socket.on("error", () => undefined).once("data", () => resolve(quiet));
		socket
			.on("end", () => socket.end())
			.on("close", () => {
				quiet.isClosed = true;
				onClosed();
				resolve(quiet);
			});
	});
}

async function until(isTrue: () => Promise<boolean>, what: string): Promise<void> {
	for (const end = performance.now() + 20_000; !(await isTrue()); await sleep(20)) assert.ok(performance.now() < end, `it did not come to: ${what}`);
}
