import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { createLogger, systemClock } from "@weft/runtime";
import { runLeaderElection } from "./lease.ts";
import { resources } from "./resource.ts";
import { type FakeApiServer, startFakeApiServer, until } from "./testing/index.ts";

let server: FakeApiServer;
let stops: AbortController[];
let leading: Set<string>;
let most: number;

beforeEach(async () => {
	server = await startFakeApiServer();
	stops = [];
	leading = new Set();
	most = 0;
});

afterEach(() => {
	for (const stop of stops) stop.abort();
	server.close();
});

function candidate(identity: string, leaseMs = 1_000): AbortController {
	const stop = new AbortController();
	stops.push(stop);
	void runLeaderElection({
		client: server.client,
		namespace: "istio-system",
		name: "election",
		identity,
		clock: systemClock,
		logger: createLogger({ level: "none" }),
		leaseMs,
		retryMs: 20,
		signal: stop.signal,
		lead: (signal) =>
			new Promise((resolve) => {
				leading.add(identity);
				most = Math.max(most, leading.size);
				signal.addEventListener("abort", () => {
					leading.delete(identity);
					resolve();
				});
			}),
	});
	return stop;
}

const holder = () => (server.get(resources.leases, "istio-system", "election")?.["spec"] as { holderIdentity?: string } | undefined)?.holderIdentity;

test("one of several leads; when it goes, it hands over at once", async () => {
	const candidates = ["a", "b", "c"].map((name) => ({ name, stop: candidate(name, 60_000) }));
	await until("somebody leads", () => leading.size === 1);
	const first = [...leading][0];
	assert.equal(holder(), first);
	candidates.find(({ name }) => name === first)?.stop.abort();
	await until("another leads", () => leading.size === 1 && !leading.has(first ?? ""));
	assert.equal(most, 1, "never two at a time");
});

test("a leader that cannot renew steps down, and leads again when the API server is back", async () => {
	candidate("a");
	await until("it leads", () => leading.has("a"));
	server.away = true;
	await until("it has stepped down", () => leading.size === 0);
	server.away = false;
	await until("it leads again", () => leading.has("a"));
});

test("a lease that is not renewed is taken over after its time, not before", async () => {
	const spec = { holderIdentity: "dead", leaseDurationSeconds: 1, renewTime: "2099-01-01T00:00:00.000000Z" };
	server.put(resources.leases, { metadata: { name: "election", namespace: "istio-system" }, spec });
	const startedMs = systemClock.monotonicMs();
	candidate("a");
	await until("it leads", () => leading.has("a"));
	assert.ok(systemClock.monotonicMs() - startedMs >= 1_000, "other machines' clocks are not believed");
	assert.equal(holder(), "a");
});
