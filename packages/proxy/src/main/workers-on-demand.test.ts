import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createLogger, systemClock } from "@weft/runtime";
import { decodeBootstrap } from "../config/bootstrap/decode-bootstrap.ts";
import { loadBootstrap } from "../config/bootstrap/load.ts";
import { registerImplemented } from "../config/decode/index.ts";
import { request } from "../data/http/http2-test-peers.ts";
import { type Server, startServer } from "./server.ts";

const environment = { readFile: () => Buffer.alloc(0), variable: () => undefined };

async function freePorts(count: number): Promise<readonly number[]> {
	const servers = await Promise.all(
		Array.from(
			{ length: count },
			() =>
				new Promise<ReturnType<typeof createServer>>((resolve) => {
					const server = createServer().listen(0, "127.0.0.1", () => resolve(server));
				}),
		),
	);
	const ports = servers.map((server) => (server.address() as AddressInfo).port);
	await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
	return ports;
}

/** So many routes are looked at before one fits that a request is work for the worker, not for its client. */
const routesInVain = 2_000;

function listenerOf(port: number) {
	const inVain = Array.from({ length: routesInVain }, (_, i) => ({
		match: { safe_regex: { regex: `/(a|b)+/${i}/.*` } },
		direct_response: { status: 404 },
	}));
	return {
		name: `l${port}`,
		address: { socket_address: { address: "127.0.0.1", port_value: port } },
		filter_chains: [
			{
				filters: [
					{
						name: "http",
						typed_config: {
							"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
							stat_prefix: `p${port}`,
							route_config: {
								virtual_hosts: [{ name: "all", domains: ["*"], routes: [...inVain, { match: { prefix: "/" }, direct_response: { status: 200 } }] }],
							},
							http_filters: [{ name: "router", typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }],
						},
					},
				],
			},
		],
	};
}

function bootstrapOf(ports: readonly number[]): string {
	const admin = { address: { socket_address: { address: "127.0.0.1", port_value: 0 } } };
	return JSON.stringify({ admin, static_resources: { listeners: ports.map(listenerOf) } });
}

async function start(ports: readonly number[]): Promise<Server> {
	registerImplemented();
	const { bootstrap } = loadBootstrap([{ name: "test", text: bootstrapOf(ports) }], { strict: false });
	assert.ok(bootstrap);
	const { value: config, errors } = decodeBootstrap(bootstrap, environment);
	assert.ok(config, errors.join());
	return startServer({
		config,
		environment,
		concurrency: 2,
		workersOnDemand: true,
		logLevel: "none" as const,
		version: "test",
		clock: systemClock,
		random: Math.random,
		logger: createLogger({ level: "none" }),
		ownSecrets: new Set(),
		initialSecrets: [],
		secretsOverAds: false,
		onQuit: () => {},
	});
}

/** A pool of one connection, which goes on with another when it is told to. Resolves to what was not answered by 200. */
async function keepAsking(port: number, signal: AbortSignal): Promise<number> {
	let failed = 0;
	while (!signal.aborted) {
		const socket = connect(port, "127.0.0.1");
		let text = "";
		let isLast = false;
		let isWaiting = false;
		const ask = () => {
			isWaiting = true;
			socket.write("GET /x HTTP/1.1\r\nhost: h\r\n\r\n");
		};
		socket.on("data", (bytes) => {
			text += bytes.toString("latin1");
			if (!text.endsWith("\r\n\r\n")) return;
			isWaiting = false;
			if (!text.startsWith("HTTP/1.1 200 ")) failed++;
			isLast = text.includes("connection: close");
			text = "";
			if (isLast || signal.aborted) socket.end();
			else ask();
		});
		await new Promise<void>((resolve) => {
			socket
				.on("error", () => {})
				.on("connect", ask)
				.on("close", resolve);
		});
		if (isWaiting) failed++;
	}
	return failed;
}

/** The same over HTTP/2. */
async function keepAskingHttp2(port: number, signal: AbortSignal): Promise<number> {
	let failed = 0;
	let session: ClientHttp2Session | undefined;
	while (!signal.aborted) {
		if (session === undefined || session.closed || session.destroyed) {
			session = connectHttp2(`http://127.0.0.1:${port}`);
			session.on("error", () => {});
		}
		try {
			if ((await request(session, { ":path": "/x" })).status !== 200) failed++;
		} catch (error) {
			// Node's own: GOAWAY came before the request had left, so it has to be asked elsewhere (RFC 9113 §8.7).
			if ((error as Error).message.endsWith("NGHTTP2_REFUSED_STREAM")) continue;
			failed++;
		}
	}
	session?.close();
	return failed;
}

/** Of the process with these flags, once it serves: what its statistics say of workers. */
async function workersOf(...flags: readonly string[]): Promise<readonly string[]> {
	const folder = mkdtempSync(join(tmpdir(), "workers-"));
	const [port = 0] = await freePorts(1);
	const adminFile = join(folder, "admin");
	writeFileSync(join(folder, "envoy.json"), bootstrapOf([port]));
	const args = [join(import.meta.dirname, "../main.ts"), "-c", join(folder, "envoy.json"), "--admin-address-path", adminFile, "-l", "off", ...flags];
	const child = spawn(process.execPath, args, { stdio: "ignore" });
	const exited = once(child, "exit");
	while (!existsSync(adminFile) && child.exitCode === null) await sleep(20);
	const text = await (await fetch(`http://${readFileSync(adminFile, "utf8")}/stats?filter=worker_.*total`)).text();
	child.kill();
	await exited;
	rmSync(folder, { recursive: true });
	return [...text.matchAll(/\.(worker_\d+)\./g)].map(([, worker = ""]) => worker);
}

describe("weft-proxy", () => {
	it("starts one worker", async () => {
		assert.deepEqual(await workersOf(), ["worker_0"]);
	});

	it("starts as many as --concurrency says", async () => {
		assert.deepEqual(await workersOf("--concurrency", "2"), ["worker_0", "worker_1"]);
	});
});

describe("a proxy whose number of workers nobody said", () => {
	let server: Server;
	let ports: readonly number[];

	before(async () => {
		ports = await freePorts(2);
		server = await start(ports);
	});
	after(() => server.stop());

	const stats = async (filter: string) => (await fetch(`http://${server.adminAddress}/stats?filter=${filter}`)).text();

	/** By worker, of a listener: connections now. */
	async function connectionsOf(port: number): Promise<readonly (number | undefined)[]> {
		const text = await stats("worker_");
		return [0, 1].map((worker) => {
			const found = new RegExp(`^listener\\.127\\.0\\.0\\.1_${port}\\.worker_${worker}\\.downstream_cx_active: (\\d+)$`, "m").exec(text);
			return found === null ? undefined : Number(found[1]);
		});
	}

	it("has one worker as long as there is little to do, and says how many there may be", async () => {
		const [port = 0] = ports;
		const response = await fetch(`http://127.0.0.1:${port}/x`);
		assert.equal(response.status, 200);
		await response.arrayBuffer();
		// Longer than it takes to wake one.
		await sleep(2_500);
		const [first, second] = await connectionsOf(port);
		assert.equal(typeof first, "number");
		assert.equal(second, undefined);
		const info = await (await fetch(`http://${server.adminAddress}/server_info`)).json();
		assert.equal((info as { command_line_options: { concurrency: number } }).command_line_options.concurrency, 2);
	});

	it("under load both serve connections that were there before, and no request fails", async () => {
		const [first = 0, second = 0] = ports;
		const stop = new AbortController();
		const clients = [
			...Array.from({ length: 16 }, () => keepAsking(first, stop.signal)),
			...Array.from({ length: 12 }, () => keepAskingHttp2(second, stop.signal)),
		];
		const spread = () => Promise.all(ports.map(connectionsOf));
		const isSpread = async () => (await spread()).flat().every((count) => count !== undefined && count > 0);
		for (let i = 0; i < 200 && !(await isSpread()); i++) await sleep(100);
		const connections = await spread();
		stop.abort();
		const failures = await Promise.all(clients);
		assert.ok(
			connections.flat().every((count) => count !== undefined && count > 0),
			JSON.stringify(connections),
		);
		assert.deepEqual(
			failures,
			clients.map(() => 0),
		);
		assert.match(await stats("tx_reset"), /^http2\.tx_reset: 0$/m);
	});
});
