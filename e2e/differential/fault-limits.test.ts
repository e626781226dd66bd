import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { httpFilter, httpListener, loopback, router, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

const asked = { numerator: 100, denominator: "HUNDRED" };
const faults = (max_active_faults?: number) =>
	httpFilter("envoy.filters.http.fault", "fault.v3.HTTPFault", {
		delay: { header_delay: {}, percentage: asked },
		abort: { header_abort: {}, percentage: asked },
		...(max_active_faults !== undefined && { max_active_faults }),
	});
const delayed = { "x-envoy-fault-delay-request": "5" };
const aborted = { "x-envoy-fault-abort-request": "418" };

const listenerOf = (name: string, max: number, ownMax?: number) =>
	httpListener(name, {
		http_filters: [faults(max), router],
		route_config: {
			virtual_hosts: [
				{
					name: "all",
					domains: ["*"],
					routes: [
						{
							match: { prefix: "/own" },
							route: { cluster: "fine" },
							...(ownMax !== undefined && {
								typed_per_filter_config: { "envoy.filters.http.fault": (faults(ownMax) as { readonly typed_config: object }).typed_config },
							}),
						},
						{ match: { prefix: "/" }, route: { cluster: "fine" } },
					],
				},
			],
		},
	});

void describe("faults at a time", { skip: skipReason }, () => {
	let upstream: Server;
	let pair: readonly [Proxy, Proxy];
	before(async () => {
		upstream = createServer((_request, response) => response.end("fine"));
		await once(upstream.listen(0, "127.0.0.1"), "listening");
		const { port } = upstream.address() as AddressInfo;
		const bootstrap = {
			admin: { address: loopback(0) },
			static_resources: { listeners: [listenerOf("none", 0), listenerOf("one", 1, 2)], clusters: [staticCluster("fine", port)] },
		};
		pair = await startPair(() => bootstrap, ["none", "one"]);
	});
	after(async () => {
		upstream?.close();
		upstream?.closeAllConnections();
		for (const proxy of pair ?? []) await proxy.stop();
	});

	const statusOf = async (proxy: Proxy, listener: string, path: string, headers: Record<string, string>, signal?: AbortSignal): Promise<unknown> => {
		const answer = await fetch(`http://127.0.0.1:${proxy.port(listener)}${path}`, { headers, ...(signal && { signal }) });
		await answer.arrayBuffer();
		return answer.status;
	};
	const both = async <T>(run: (proxy: Proxy) => Promise<T>, expected: T) => {
		for (const proxy of pair) assert.deepEqual(await run(proxy), expected, proxy.name);
	};
	const stats = (proxy: Proxy, listener: string) =>
		proxy.stats(new RegExp(`^http\\.${listener}\\.fault\\.`)).then((lines) => lines.map((line) => line.split(".fault.")[1]).toSorted());

	const shows = async (proxy: Proxy, listener: string, stat: string, wanted = true) => {
		while ((await stats(proxy, listener)).includes(stat) !== wanted) await sleep(20);
	};

	test("0 lets none through; a request that wants two is counted for both", () =>
		both(
			async (proxy) => {
				const statuses = [await statusOf(proxy, "none", "/", aborted), await statusOf(proxy, "none", "/", { ...delayed, ...aborted })];
				return [...statuses, ...(await stats(proxy, "none"))];
			},
			[200, 200, "faults_overflow: 3"],
		));

	test("a request is a fault while it is delayed; a route's own limit counts those of others", () =>
		both(
			async (proxy) => {
				const client = new AbortController();
				const first = statusOf(proxy, "one", "/", { "x-envoy-fault-delay-request": "600000" }, client.signal).catch(() => "gone");
				await shows(proxy, "one", "active_faults: 1");
				const meanwhile = [await statusOf(proxy, "one", "/", aborted), await statusOf(proxy, "one", "/own", aborted)];
				const during = await stats(proxy, "one");
				client.abort();
				const gone = await first;
				await shows(proxy, "one", "active_faults: 1", false);
				return [...meanwhile, ...during, gone, await statusOf(proxy, "one", "/", { ...delayed, ...aborted }), ...(await stats(proxy, "one"))];
			},
			[
				200,
				418,
				"aborts_injected: 1",
				"active_faults: 1",
				"delays_injected: 1",
				"faults_overflow: 1",
				"gone",
				418,
				"aborts_injected: 2",
				"delays_injected: 2",
				"faults_overflow: 1",
			],
		));
});
