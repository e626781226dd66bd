import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createLogger, systemClock } from "@weft/runtime";
import { decodeBootstrap } from "../config/bootstrap/decode-bootstrap.ts";
import { loadBootstrap } from "../config/bootstrap/load.ts";
import { registerImplemented } from "../config/decode/index.ts";
import type { WorkerInit } from "../config/worker-messages.ts";
import { FakeWorker } from "./fake-worker.ts";
import { type Server, startServer } from "./server.ts";
import type { WorkerEvents } from "./worker-pool.ts";

const environment = { readFile: () => Buffer.alloc(0), variable: () => undefined };

describe("a server that cannot be started ends its workers and says why", () => {
	const text = readFileSync(join(import.meta.dirname, "../../testdata/bootstrap/static-v3.yaml"), "utf8");
	const workers: FakeWorker[] = [];

	async function start(yaml: string, refuses: readonly string[]): Promise<Server> {
		registerImplemented();
		const { bootstrap } = loadBootstrap([{ name: "file", text: yaml }], { strict: false });
		assert.ok(bootstrap);
		const { value: config } = decodeBootstrap(bootstrap, environment);
		assert.ok(config);
		const spawn = (init: WorkerInit, events: WorkerEvents) => {
			const worker = new FakeWorker(init, events);
			for (const name of refuses) worker.refuses.add(name);
			workers.push(worker);
			return worker;
		};
		const rest = { environment, concurrency: 1, logLevel: "none" as const, version: "test", clock: systemClock, random: () => 0 };
		const logger = createLogger({ level: "none" });
		return startServer({ ...rest, logger, config, ownSecrets: new Set<string>(), initialSecrets: [], secretsOverAds: false, onQuit: () => {}, spawn });
	}

	it("a worker cannot bind a listener of the file", async () => {
		await assert.rejects(start(text, ["web"]), { message: "web: cannot bind" });
		assert.equal(workers.pop()?.isStopped, true);
	});

	it("the admin address is in use", async () => {
		const blocker = createServer();
		await new Promise<void>((resolve) => blocker.listen(0, "127.0.0.1", resolve));
		const { port } = blocker.address() as AddressInfo;
		await assert.rejects(start(text.replace("port_value: 0", `port_value: ${port}`), []), new RegExp(`admin address 127\\.0\\.0\\.1:${port}: .*EADDRINUSE`));
		assert.equal(workers.pop()?.isStopped, true);
		blocker.close();
	});
});

describe("the main thread with a static configuration", () => {
	const workers: FakeWorker[] = [];
	let server: Server;

	before(async () => {
		registerImplemented();
		const file = join(import.meta.dirname, "../../testdata/bootstrap/static-v3.yaml");
		const { bootstrap } = loadBootstrap([{ name: file, text: readFileSync(file, "utf8").replace("STRICT_DNS", "STATIC").replace("localhost", "127.0.0.1") }], {
			strict: false,
		});
		assert.ok(bootstrap);
		const { value: config, errors } = decodeBootstrap(bootstrap, environment);
		assert.ok(config, errors.join());
		server = await startServer({
			config,
			environment,
			concurrency: 2,
			logLevel: "none" as const,
			version: "test",
			clock: systemClock,
			random: () => 0,
			logger: createLogger({ level: "none" }),
			ownSecrets: new Set(),
			initialSecrets: [],
			secretsOverAds: false,
			onQuit: () => {},
			spawn: (init, events) => {
				const worker = new FakeWorker(init, events);
				workers.push(worker);
				return worker;
			},
		});
	});
	after(() => server.stop());

	const get = (path: string, method = "GET") => fetch(`http://${server.adminAddress}${path}`, { method });

	it("gives every worker one update with the whole configuration and slots of shared state", () => {
		assert.equal(workers.length, 2);
		for (const worker of workers) {
			const [update, ...more] = worker.updates();
			assert.equal(more.length, 0);
			assert.deepEqual([update?.listeners.upsert[0]?.name, update?.clusters.upsert[0]?.name], ["web", "app"]);
			assert.notEqual(update?.clusters.upsert[0]?.breakerSlot, 0);
			assert.notEqual(update?.hosts[0]?.priorities[0]?.[0]?.hosts[0]?.slot, 0);
		}
	});

	const paths = [
		["/ready", "LIVE\n"],
		["/clusters", "app::127.0.0.1:9000::health_flags::healthy\n"],
		["/listeners", "web::127.0.0.1:0\n"],
		["/server_info", '"state": "LIVE"'],
		["/stats", "cluster_manager.active_clusters: 1\n"],
		["/stats/prometheus", "envoy_cluster_manager_active_clusters{} 1\n"],
		["/stats?filter=server.live", "server.live: 1\n"],
		["/config_dump", '"static_listeners"'],
		["/config_dump?include_eds", '"static_endpoint_configs"'],
		["/config_dump?resource=static_clusters", '"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster"'],
		["/memory", "total_physical_bytes"],
		["/certs", "certificates"],
		["/help", "/quitquitquit (POST)"],
	] as const;
	for (const [path, expected] of paths) {
		it(`answers ${path}`, async () => {
			const response = await get(path);
			assert.equal(response.status, 200);
			const text = await response.text();
			assert.ok(text.includes(expected), text);
		});
	}

	it("sends each renewal of a secret to the workers", async () => {
		const secret = (certChainPem: string) => ({ name: "default", certificate: { certChainPem, privateKeyPem: "key" }, validation: undefined });
		const sent = () =>
			workers[0]?.updates().flatMap(({ secrets }) => [...secrets.upsert.map(({ certificate }) => certificate?.certChainPem), ...secrets.remove]);
		for (const [upsert, remove] of [
			[[secret("first")], []],
			[[secret("second")], []],
			[[], ["default"]],
		] as const) {
			server.setSecrets(upsert, remove);
			await get("/stats");
		}
		assert.deepEqual(sent(), ["first", "second", "default"]);
	});

	it("refuses changes by GET, and unknown paths", async () => {
		assert.equal((await get("/quitquitquit")).status, 405);
		assert.equal((await get("/logging?level=debug")).status, 405);
		assert.equal((await get("/nope")).status, 404);
	});

	it("shows and sets log levels, one, some or all, and refuses what there is not", async () => {
		const set = async (query: string) => {
			const response = await get(`/logging${query}`, "POST");
			return { status: response.status, text: await response.text() };
		};
		assert.match((await set("")).text, /^active loggers:\n( {2}\w+: \w+\n)+$/);
		for (const query of ["?main=debug", "?paths=main:debug", "?level=debug"]) {
			const { status, text } = await set(query);
			assert.equal(status, 200, text);
			assert.match(text, / {2}main: debug\n/);
			const told = workers[0]?.received.at(-1);
			assert.equal(told?.kind === "logLevels" && told.levels.main, "debug");
			assert.match((await set("?level=off")).text, / {2}main: off\n/);
		}
		assert.match((await set("?paths=rbac:debug,main:warning")).text, / {2}rbac: debug\n {2}router: off\n/);
		const told = workers[0]?.received.at(-1);
		assert.deepEqual(told?.kind === "logLevels" && [told.levels.rbac, told.levels.router], ["debug", "none"]);
		assert.match((await set("?level=off")).text, / {2}rbac: off\n/);
		for (const [query, words] of [
			["?paths=main:debug,nobody:info", /unknown logger name nobody/],
			["?main=loud", /unknown logger level loud/],
		] as const) {
			const { status, text } = await set(query);
			assert.deepEqual([status, words.test(text)], [400, true], text);
			assert.match((await set("")).text, / {2}main: off\n/);
		}
	});

	it("tells its version in the bootstrap's node, and merges slashes before a path", async () => {
		const { configs } = (await (await get("/config_dump?mask=bootstrap")).json()) as { configs: { bootstrap: { node: Record<string, unknown> } }[] };
		const node = configs[0]?.bootstrap.node;
		assert.equal(node?.["user_agent_name"], "weft-proxy");
		assert.ok(node?.["user_agent_build_version"]);
		assert.equal((await get("//stats/prometheus")).status, 200);
	});

	it("tells the workers of failed health checks and is no longer ready", async () => {
		assert.equal((await get("/healthcheck/fail", "POST")).status, 200);
		assert.equal((await get("/ready")).status, 503);
		assert.deepEqual(workers[0]?.received.at(-1), { kind: "healthcheckFail", fail: true });
		await get("/healthcheck/ok", "POST");
		assert.equal((await get("/ready")).status, 200);
	});
});
