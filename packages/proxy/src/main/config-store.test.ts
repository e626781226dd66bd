import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLogger } from "@weft/runtime";
import type { RouteTable } from "../config/routes.ts";
import type { ConfigUpdate } from "../config/runtime-config.ts";
import { createSlotAllocator } from "../config/shared-state.ts";
import type { ResourceError } from "../config/worker-messages.ts";
import { chainOf, listenerOf, managerOf, routeOf, tableOf } from "../data/worker/standalone.ts";
import { ConfigStore } from "./config-store.ts";

const version = (name: string, status: number): RouteTable => tableOf([routeOf("/", { kind: "direct", status, body: new Uint8Array() })], name);

function statusesOf({ routes }: ConfigUpdate): Readonly<Record<string, number | undefined>> {
	const statusOf = ({ virtualHosts }: RouteTable) => virtualHosts[0]?.routes[0]?.action as { readonly status?: number } | undefined;
	return Object.fromEntries(routes.upsert.map((table) => [table.name, statusOf(table)?.status]));
}

/** A store whose workers answer an update when they are told to. */
function start() {
	const sent: { readonly update: ConfigUpdate; readonly answer: (...errors: readonly ResourceError[]) => void }[] = [];
	const store = new ConfigStore({
		send: (update) => {
			const { promise, resolve } = Promise.withResolvers<readonly ResourceError[]>();
			sent.push({ update, answer: (...errors) => resolve(errors) });
			return promise;
		},
		allocator: createSlotAllocator(),
		logger: createLogger({ level: "none" }),
	});
	const turn = () => new Promise(setImmediate);
	return {
		store,
		sent,
		turn,
		async apply(change: Parameters<ConfigStore["apply"]>[0], ...errors: readonly ResourceError[]): Promise<void> {
			const applied = store.apply(change);
			await turn();
			sent.at(-1)?.answer(...errors);
			await applied;
		},
		async join(): Promise<ConfigUpdate> {
			let got: ConfigUpdate | undefined;
			await store.join((snapshot) => {
				got = snapshot;
			});
			assert.ok(got);
			return got;
		},
	};
}

const upsert = <T>(...values: readonly T[]) => ({ upsert: values, remove: [] });

describe("a worker that comes late begins", () => {
	it("with the update that was under way, once the others have it, and before the next is sent", async () => {
		const { store, sent, turn } = start();
		const order: string[] = [];
		const first = store.apply({ routes: upsert(version("r", 200)) });
		await turn();
		const joined = store.join((snapshot) => order.push(`joined ${statusesOf(snapshot)["r"]}, sent ${sent.length}`));
		void store.apply({ routes: upsert(version("r", 201)) });
		await turn();
		assert.deepEqual([order, sent.length], [[], 1]);
		sent[0]?.answer();
		await Promise.all([first, joined]);
		await turn();
		assert.deepEqual([order, sent.length], [["joined 200, sent 1"], 2]);
		assert.deepEqual(statusesOf(sent[1]?.update as ConfigUpdate), { r: 201 });
	});

	it("with what the others kept in place of what they refused, until they take another", async () => {
		const { apply, join } = start();
		const refused = { resource: "r", message: "no" };
		await apply({ routes: upsert(version("r", 200), version("other", 200)) });
		await apply({ routes: upsert(version("r", 500), version("other", 201)) }, refused);
		assert.deepEqual(statusesOf(await join()), { r: 200, other: 201 });
		await apply({ routes: upsert(version("r", 501)) }, refused);
		assert.deepEqual(statusesOf(await join()), { r: 200, other: 201 });
		await apply({ routes: upsert(version("r", 202)) });
		assert.deepEqual(statusesOf(await join()), { r: 202, other: 201 });
	});

	it("without what they refused and never had, or what is gone", async () => {
		const { apply, join } = start();
		const refused = { resource: "r", message: "no" };
		await apply({ routes: upsert(version("r", 500)) }, refused);
		assert.deepEqual(statusesOf(await join()), {});
		await apply({ routes: { upsert: [], remove: ["r"] } });
		await apply({ routes: upsert(version("r", 200)) });
		assert.deepEqual(statusesOf(await join()), { r: 200 });
	});

	it("with a listener whose address could not be bound: it may have more luck", async () => {
		const { apply, join } = start();
		const listener = listenerOf("l", [chainOf([managerOf(version("inline", 200))])]);
		await apply({ listeners: upsert(listener) }, { resource: "l", message: "cannot bind", isUnbound: true });
		assert.deepEqual((await join()).listeners.upsert, [listener]);
		await apply({ listeners: upsert({ ...listener, backlog: 1 }) }, { resource: "l", message: "bad filter" });
		assert.deepEqual((await join()).listeners.upsert, [listener]);
	});

	it("with the virtual hosts that came by themselves and were taken, the others as they were", async () => {
		const { apply, join } = start();
		const host = (name: string, ...domains: readonly string[]) =>
			({ ...version("", 200).virtualHosts[0], name, domains, routes: [] }) as RouteTable["virtualHosts"][number];
		const hosts = (...values: readonly RouteTable["virtualHosts"][number][]) => upsert(...values.map((value) => ({ name: `r/${value.name}`, host: value })));
		const table: RouteTable = { ...version("r", 200), virtualHosts: [], vhds: { name: "r" } };
		const domains = async () => (await join()).routes.upsert[0]?.virtualHosts.map((value) => [value.name, ...value.domains].join(" ")).toSorted();
		await apply({ routes: upsert(table), virtualHosts: hosts(host("a", "a1"), host("b", "b1")) });
		await apply({ virtualHosts: hosts(host("a", "a2"), host("c", "c2")) }, { resource: "r/a", message: "no" }, { resource: "r/c", message: "no" });
		assert.deepEqual(await domains(), ["a a1", "b b1"]);
		await apply({ virtualHosts: hosts(host("b", "b3")) });
		assert.deepEqual(await domains(), ["a a1", "b b3"]);
		await apply({ routes: upsert({ ...table, maxDirectResponseBodyBytes: 1 }) }, { resource: "r", message: "no" });
		assert.deepEqual(await domains(), ["a a1", "b b3"]);
		await apply({ routes: upsert({ ...table, maxDirectResponseBodyBytes: 2 }) });
		assert.deepEqual(await domains(), ["a a2", "b b3", "c c2"]);
	});
});
