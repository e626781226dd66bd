import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { after, before, describe, test } from "node:test";
import { createStore } from "@weft/galley";
import { createDiscovery } from "@weft/pilot";
import { createLogger, systemClock } from "@weft/runtime";
import { Registry } from "prom-client";
import { startHttpServer } from "./http-server.ts";

const outside = Object.values(networkInterfaces())
	.flatMap((addresses) => addresses ?? [])
	.find(({ internal, family }) => !internal && family === "IPv4")?.address;

describe("sec/f53: who may see what", () => {
	const stop = new AbortController();
	let waitingFor: readonly string[] = [];
	let hidesDebug = false;
	let port = "";
	let close: (done: () => void) => void;

	before(async () => {
		const store = createStore();
		const logger = createLogger({ level: "none" });
		const registry = new Registry();
		const common = { clock: systemClock, logger, registry, signal: stop.signal, clusterId: "Kubernetes", store };
		const server = await startHttpServer({
			...common,
			http: "0.0.0.0:0",
			instance: "istiod-1",
			trustedNamespaces: new Set(["istio-system", "kiali"]),
			discovery: createDiscovery({ ...common, meshConfig: () => ({}) }),
			rescan: async () => undefined,
			diagnostics: () => [],
			waitingFor: () => waitingFor,
			get hidesDebug() {
				return hidesDebug;
			},
			namespaceOf: async (token) => ({ system: "istio-system", kiali: "kiali", other: "default" })[token],
		});
		port = server.address.split(":").at(-1) ?? "";
		close = server.close;
	});

	after(() => {
		stop.abort();
		close(() => undefined);
	});

	const get = (host: string, path: string, token?: string) =>
		fetch(`http://${host}:${port}${path}`, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } });

	test("debug pages are open to loopback, where a port-forward ends", async () => {
		assert.equal((await get("127.0.0.1", "/debug/syncz")).status, 200);
		assert.equal((await get("127.0.0.1", "/debug/constructor")).status, 404);
	});

	test("from outside they need a token", { skip: outside === undefined ? "this machine has no network" : false }, async () => {
		const host = outside ?? "";
		const names = (await (await get("127.0.0.1", "/debug/list")).json()) as readonly string[];
		assert.ok(names.length > 20);
		for (const name of [...names, "list", "", "pprof/heap"]) {
			const path = `/debug/${name}`;
			assert.equal((await get(host, path)).status, 401, path);
			assert.equal((await get(host, path, "bad")).status, 401, path);
			// Of another namespace: what istiod answers about proxies of one's own.
			const open = ["config_dump", "edsz", "ndsz"].includes(name);
			assert.equal((await get(host, path, "other")).status, open ? 400 : 403, path);
		}
		for (const token of ["system", "kiali"]) assert.equal((await get(host, "/debug/syncz", token)).status, 200, token);
		for (const path of ["/ready", "/version", "/metrics"]) assert.equal((await get(host, path)).status, 200, path);
		assert.equal((await get(host, "/api/v1/proxies")).status, 404, "there is no configuration API");
	});

	test("without debug pages over HTTP there are none, for loopback neither", async () => {
		hidesDebug = true;
		assert.deepEqual([(await get("127.0.0.1", "/debug/syncz")).status, (await get("127.0.0.1", "/debug")).status], [404, 404]);
		hidesDebug = false;
	});

	test("istioctl version, which asks with one slash more, is answered", async () => {
		const response = await get("127.0.0.1", "//version");
		assert.equal(response.status, 200);
		assert.equal(await response.text(), await (await get("127.0.0.1", "/version")).text());
	});

	test("a replica that is not ready says what it waits for", async () => {
		waitingFor = ["Service", "mesh config"];
		const response = await get("127.0.0.1", "/ready");
		assert.equal(response.status, 503);
		assert.equal(await response.text(), "not ready: waiting for Service, mesh config\n");
	});
});
