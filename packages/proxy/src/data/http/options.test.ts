import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import type { Cluster } from "../../config/clusters.ts";
import type { HttpConnectionManager } from "../../config/http-connection-manager.ts";
import {
	chainOf,
	clusterOf,
	forwardTo,
	hostsOf,
	listenerOf,
	managerOf,
	routeOf,
	type Standalone,
	startStandalone,
	tableOf,
	updateOf,
} from "../worker/standalone.ts";
import { answerHeads, exchange, get, ok, openClient, type RecordingUpstream, startUpstream, statusOf } from "./test-peers.ts";

describe("options of the connection manager and of clusters", () => {
	let proxy: Standalone;
	let upstream: RecordingUpstream | undefined;
	let names = 0;
	before(async () => {
		proxy = await startStandalone();
	});
	after(() => proxy.close());
	afterEach(() => upstream?.close());

	async function serve(manager: Partial<HttpConnectionManager>, cluster: Partial<Cluster> = {}, hosts = hostsOf("", [upstream?.port ?? 0])): Promise<string> {
		const name = `l${++names}`;
		const chain = chainOf([managerOf(tableOf([routeOf("/", forwardTo(name))]), manager)]);
		await proxy.apply(updateOf({ listeners: [listenerOf(name, [chain])], clusters: [clusterOf(name, cluster)], hosts: [{ ...hosts, cluster: name }] }));
		return name;
	}

	const counterOf = (prefix: string, name: string) => {
		const block = proxy.worker.context.stats.dump().counters.find((found) => found.prefix === prefix && found.names.includes(name));
		return block?.values[block.names.indexOf(name)];
	};

	it("health checks are told by any match of their headers", async () => {
		upstream = await startUpstream(answerHeads(() => ok("app")));
		const header = { name: ":path", match: { kind: "prefix", value: "/health", ignoreCase: false }, invert: false, treatMissingAsEmpty: false } as const;
		const check = { kind: "healthCheck", name: "hc", check: { passThrough: false, cacheMs: 0, clusterMinHealthyPercentages: {}, headers: [header] } } as const;
		const name = await serve({ filters: [check, { kind: "router", name: "router", suppressEnvoyHeaders: false }] });
		assert.equal(statusOf(await get(proxy.port(name), "/healthz?a")), 200);
		assert.deepEqual(upstream.received, []);
		assert.match(await get(proxy.port(name), "/other"), /app$/);
	});

	const strangers = { useRemoteAddress: true } as const;
	for (const [title, options, said, expected] of [
		["of a connection whose client says none", {}, "", "own"],
		["as a peer of the mesh says", {}, "x-forwarded-port: 99\r\n", "99"],
		["of the connection, whatever a stranger says", strangers, "x-forwarded-port: 99\r\n", "own"],
		["as a trusted proxy says", { ...strangers, xffNumTrustedHops: 1 }, "x-forwarded-port: 99\r\n", "99"],
	] as const) {
		it(`x-forwarded-port is that ${title}`, async () => {
			upstream = await startUpstream(answerHeads(() => ok("app")));
			const name = await serve({ appendForwardedPort: true, ...options });
			const port = proxy.port(name);
			await exchange(port, `GET / HTTP/1.1\r\nhost: a\r\n${said}connection: close\r\n\r\n`);
			const sent = upstream.received.join("");
			assert.equal(/x-forwarded-port: (\d+)\r\n/.exec(sent)?.[1], expected === "own" ? String(port) : expected);
		});
	}

	const chunked = "transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n";
	const trailersOf = (text: string) => /x-[a-z]+: t/.exec(text.slice(text.indexOf("\r\n\r\n")))?.[0];
	for (const enableTrailers of [true, false]) {
		it(`trailers ${enableTrailers ? "pass" : "are dropped"} when the cluster's connections have them ${enableTrailers ? "enabled" : "disabled"}`, async () => {
			const sent = { text: "" };
			upstream = await startUpstream((socket, text) => {
				sent.text += text;
				if (/\r\n0\r\n(x-up: t\r\n)?\r\n$/.test(sent.text)) socket.write(`HTTP/1.1 200 OK\r\n${chunked}x-down: t\r\n\r\n`);
			});
			const http1 = {
				acceptHttp10: false,
				allowAbsoluteUrl: true,
				allowCustomMethods: false,
				defaultHostForHttp10: "",
				enableTrailers: true,
				headerCase: "lower",
			} as const;
			const name = await serve({ http1 }, { http1: { headerCase: "lower", enableTrailers } });
			const response = await exchange(proxy.port(name), `POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n${chunked}x-up: t\r\n\r\n`);
			assert.deepEqual([trailersOf(sent.text), trailersOf(response)], enableTrailers ? ["x-up: t", "x-down: t"] : [undefined, undefined]);
		});
	}

	it("a quiet connection that is too old goes after the drain timeout, and says so to whoever asks meanwhile", async () => {
		upstream = await startUpstream(answerHeads(() => ok("app")));
		const quiet = await openClient(proxy.port(await serve({ maxConnectionDurationMs: 20, drainTimeoutMs: 20 })));
		await quiet.closed;
		const name = await serve({ statPrefix: "old", maxConnectionDurationMs: 20, drainTimeoutMs: 600_000 });
		const client = await openClient(proxy.port(name));
		while (counterOf("http.old.", "downstream_cx_max_duration_reached") === 0) await new Promise((resolve) => setTimeout(resolve, 5));
		client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
		await client.closed;
		assert.match(client.text, /connection: close\r\n/);
		for (const { socket } of [quiet, client]) socket.destroy();
	});

	it("choices made in panic are counted", async () => {
		upstream = await startUpstream(answerHeads(() => ok("app")));
		const [locality] = hostsOf("", [upstream.port]).priorities[0] ?? [];
		assert.ok(locality);
		const hosts = {
			cluster: "",
			overprovisioningFactor: undefined,
			priorities: [[{ ...locality, hosts: locality.hosts.map((host) => ({ ...host, health: "unhealthy" as const })) }]],
		};
		const name = await serve({}, {}, hosts);
		assert.equal(statusOf(await get(proxy.port(name), "/")), 200);
		assert.equal(counterOf(`cluster.${name}.`, "lb_healthy_panic"), 1);
	});
});
