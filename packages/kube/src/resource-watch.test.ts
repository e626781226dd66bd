import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { type Clock, createLogger, systemClock } from "@weft/runtime";
import { type KubeObject, resourceOf } from "./resource.ts";
import { type ResourceWatch, watchResource } from "./resource-watch.ts";
import { type FakeApiServer, startFakeApiServer, until, type WatchFault } from "./testing/index.ts";

const services = resourceOf("Service");
const service = (name: string, labels: Readonly<Record<string, string>> = {}): KubeObject => ({ metadata: { name, namespace: "default", labels }, spec: {} });

/** A clock that waits a hundredth of what it is asked, so that back-off costs a test nothing; its sleeps are recorded. */
function hastyClock(): Clock & { readonly sleeps: number[] } {
	const sleeps: number[] = [];
	return {
		...systemClock,
		sleeps,
		sleep(ms, signal) {
			sleeps.push(ms);
			return systemClock.sleep(ms / 100, signal);
		},
	};
}

let server: FakeApiServer;
let stop: AbortController;
let seen: Map<string, KubeObject>;
let states: string[];
let clock: ReturnType<typeof hastyClock>;

beforeEach(async () => {
	server = await startFakeApiServer();
	stop = new AbortController();
	seen = new Map();
	states = [];
	clock = hastyClock();
});

afterEach(() => {
	stop.abort();
	server.close();
});

function watch(options: Partial<Parameters<typeof watchResource>[2]> = {}): ResourceWatch {
	return watchResource(server.client, services, {
		signal: stop.signal,
		clock,
		logger: createLogger({ level: "none" }),
		onList(objects) {
			seen = new Map(objects.map((object) => [object.metadata.name, object]));
		},
		onEvents(events) {
			for (const { type, object } of events) {
				if (type === "delete") seen.delete(object.metadata.name);
				else seen.set(object.metadata.name, object);
			}
		},
		onState: (state) => states.push(state),
		...options,
	});
}

const names = () => [...seen.keys()].sort().join(",");

test("lists all pages once, then follows every change", async () => {
	for (let i = 0; i < 1_201; i++) server.put(services, service(`s${i}`));
	watch();
	await until("the list is read", () => seen.size === 1_201);
	server.put(services, service("new"));
	server.remove(services, "default", "s7");
	await until("both changes are seen", () => seen.has("new") && !seen.has("s7"));
	assert.equal(server.counts.lists, 1);
});

describe("a fault loses nothing and costs at most one LIST", () => {
	const cases: readonly { readonly name: string; readonly fault: WatchFault; readonly times: number; readonly lists: number }[] = [
		{ name: "410 as the answer", fault: { kind: "gone" }, times: 1, lists: 2 },
		{ name: "410 as an ERROR event", fault: { kind: "error-event", code: 410 }, times: 1, lists: 2 },
		{ name: "another ERROR event", fault: { kind: "error-event", code: 500 }, times: 2, lists: 1 },
		{ name: "half an event", fault: { kind: "truncated" }, times: 3, lists: 1 },
		{ name: "an end without a word, three times", fault: { kind: "empty" }, times: 3, lists: 1 },
	];
	for (const { name, fault, times, lists } of cases) {
		test(name, async () => {
			server.put(services, service("a"));
			server.put(services, service("b"));
			watch();
			await until("the watch is open", () => server.counts.watches === 1);
			server.failWatches(fault, times);
			server.endWatches("destroy");
			server.remove(services, "default", "a");
			server.put(services, service("c"));
			await until("the deletion and the addition in the gap are seen", () => names() === "b,c");
			assert.equal(server.counts.lists, lists);
			assert.ok(
				clock.sleeps.every((ms) => ms >= 500),
				"no two attempts without a pause",
			);
		});
	}
});

test("a history that is gone is read again, and deletions in the gap are seen", async () => {
	server.put(services, service("a"));
	server.put(services, service("b"));
	watch();
	await until("the watch is open", () => server.counts.watches === 1);
	server.away = true;
	server.endWatches("destroy");
	await until("the outage is noticed", () => states.at(-1) === "failing");
	server.remove(services, "default", "a");
	server.compact();
	assert.equal(names(), "a,b", "what was read stays in force");
	server.away = false;
	await until("the truth is back", () => names() === "b");
	assert.equal(server.counts.lists, 2);
});

test("a server that says nothing is left when the watch's own end is overdue", async () => {
	// The deadline is on the wire's clock: it is looked at, not waited for.
	const asked: { timeoutMs: number | undefined; seconds: number }[] = [];
	const { transport } = server.client;
	const client = {
		...server.client,
		transport: {
			...transport,
			open(request: Parameters<typeof transport.open>[0]) {
				asked.push({ timeoutMs: request.timeoutMs, seconds: Number(request.query?.["timeoutSeconds"]) });
				return transport.open({ ...request, timeoutMs: 200 });
			},
		},
	};
	server.put(services, service("a"));
	server.failWatches({ kind: "silent" }, 1);
	watchResource(client, services, {
		signal: stop.signal,
		clock,
		logger: createLogger({ level: "none" }),
		onList: (objects) => objects.forEach((object) => seen.set(object.metadata.name, object)),
		onEvents: (events) => events.forEach(({ object }) => seen.set(object.metadata.name, object)),
	});
	await until("the watch is open", () => server.counts.watches === 1);
	server.put(services, service("b"));
	await until("the change behind the silence is seen", () => names() === "a,b");
	assert.equal(server.counts.lists, 1);
	for (const { timeoutMs, seconds } of asked) assert.ok(timeoutMs !== undefined && timeoutMs > seconds * 1000 && timeoutMs <= 45_000, `${timeoutMs} ms`);
});

test("a kind without CRD is waited for", async () => {
	server.missing.add("services");
	const watching = watch();
	await until("it is told", () => watching.state === "missing");
	server.missing.clear();
	server.put(services, service("late"));
	await until("the kind has come", () => names() === "late");
	assert.deepEqual(states, ["missing", "synced"]);
});

test("what may not be read is waited for", async () => {
	server.forbidden.add("services");
	const watching = watch();
	await until("it is told", () => watching.state === "forbidden");
	server.forbidden.clear();
	await until("it may be read", () => watching.state === "synced");
});

test("more objects than allowed are refused, and what was read stays", async () => {
	server.put(services, service("a"));
	watch({ objectsMax: 2 });
	await until("the list is read", () => names() === "a");
	server.put(services, service("b"));
	await until("the event is seen", () => names() === "a,b");
	server.put(services, service("c"));
	server.failWatches({ kind: "gone" }, 1);
	server.endWatches("destroy");
	await until("the limit is told", () => states.at(-1) === "failing");
	assert.ok(seen.has("a"));
});

test("selectors and namespace are the server's business", async () => {
	server.put(services, service("a", { app: "web" }));
	server.put(services, service("b"));
	server.put(services, { ...service("c", { app: "web" }), metadata: { name: "c", namespace: "other", labels: { app: "web" } } });
	watch({ namespace: "default", labelSelector: "app=web" });
	await until("the list is read", () => names() === "a");
	server.put(services, service("d", { app: "web" }));
	await until("the event is seen", () => names() === "a,d");
});
