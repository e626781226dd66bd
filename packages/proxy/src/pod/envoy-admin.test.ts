import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { countConnections, envoyAdmin } from "./envoy-admin.ts";

test("connections of clients are counted, not those of probes, of the admin server, nor a worker's share again", () => {
	const stats = [
		"listener.0.0.0.0_15006.downstream_cx_active: 3",
		"listener.0.0.0.0_15006.worker_0.downstream_cx_active: 3",
		"listener.10.0.0.1_8080.downstream_cx_active: 2",
		"listener.0.0.0.0_15021.downstream_cx_active: 5",
		"listener.0.0.0.0_15090.downstream_cx_active: 5",
		"listener.admin.downstream_cx_active: 1",
		"listener.admin.main_thread.downstream_cx_active: 1",
		"http.inbound.downstream_cx_active: 9",
	];
	assert.equal(countConnections(stats.join("\n")), 5);
	assert.equal(countConnections(""), 0);
});

test("an Envoy that is not ready says why, its metrics pass, and one that is gone has no connections", async (t) => {
	const asked: string[] = [];
	const server = createServer((request, response) => {
		asked.push(`${request.method} ${request.url}`);
		if (request.url === "/ready") return void response.writeHead(503).end("INITIALIZING\n");
		response.end(request.url?.startsWith("/stats/prometheus") ? "metric 1\n" : "listener.a_1.downstream_cx_active: 4\n");
	});
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	t.after(() => server.close());
	const admin = envoyAdmin((server.address() as AddressInfo).port);
	assert.equal(await admin.notReady(), "INITIALIZING");
	assert.equal(await admin.metrics(new URLSearchParams("usedonly")), "metric 1\n");
	assert.equal(await admin.activeConnections(), 4);
	await admin.drain(true);
	assert.equal(asked.at(-1), "POST /drain_listeners?inboundonly&graceful&skip_exit");
	const gone = envoyAdmin(1);
	assert.match((await gone.notReady()) ?? "", /Envoy does not answer/);
	assert.equal(await gone.activeConnections(), 0);
	await gone.drain(false);
});
