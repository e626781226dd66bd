import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { decodeCluster, decodeRouteTable } from "../config/decode/index.ts";
import type { ClusterHosts } from "../config/hosts.ts";
import type { Listener } from "../config/listeners.ts";
import type { RouteScope } from "../config/route-scopes.ts";
import type { RouteTable } from "../config/routes.ts";
import { nothingInForce, planNext, type Wanted } from "./config-plan.ts";

const environment = { readFile: () => Buffer.alloc(0), variable: () => undefined };

function eds(name: string) {
	const { value, errors } = decodeCluster(Cluster.fromPartial({ name, type: 3, edsClusterConfig: { edsConfig: { ads: {} } } }), environment);
	assert.ok(value, errors.join());
	return value;
}

function table(name: string, cluster: string): RouteTable {
	const route = { match: { prefix: "/" }, route: { cluster } };
	const { value, errors } = decodeRouteTable(
		RouteConfiguration.fromPartial({ name, virtualHosts: [{ name: "all", domains: ["*"], routes: [route] }] }),
		environment,
	);
	assert.ok(value, errors.join());
	return value;
}

function hosts(cluster: string): ClusterHosts {
	return { cluster, overprovisioningFactor: undefined, priorities: [] };
}

// Only what references are read from.
function listener(name: string, routes: string): Listener {
	return {
		name,
		filterChains: [{ filters: [{ kind: "http", filters: [], routes: { kind: "rds", name: routes } }] }],
		defaultFilterChain: undefined,
	} as unknown as Listener;
}

function inlineListener(table: RouteTable, certificates: readonly object[] = []): Listener {
	const filters = [{ kind: "http", filters: [], routes: { kind: "inline", table } }];
	return { name: "l", filterChains: [{ tls: { certificates, validation: undefined }, filters }], defaultFilterChain: undefined } as unknown as Listener;
}

function scopedListener(name: string): Listener {
	const routes = { kind: "scoped", scoped: { name: "s", keyBuilder: [], scopes: undefined } };
	return { name, filterChains: [{ filters: [{ kind: "http", statPrefix: name, filters: [], routes }] }], defaultFilterChain: undefined } as unknown as Listener;
}

function wanted(parts: Partial<Wanted>): Wanted {
	const none = {
		listeners: new Map(),
		clusters: new Map(),
		assignments: new Map(),
		resolved: new Map(),
		routes: new Map(),
		inlineTables: new Map(),
		virtualHosts: new Map(),
		scopes: undefined,
		secrets: new Map(),
		extensions: new Map(),
		runtime: { entries: new Map(), awaited: undefined },
		expired: new Set<string>(),
	};
	return { ...none, ...parts };
}

describe("make before break", () => {
	it("holds a cluster, the routes to it and the listener back until the endpoints are there", () => {
		const all = { clusters: new Map([["a", eds("a")]]), routes: new Map([["r", table("r", "a")]]), listeners: new Map([["l", listener("l", "r")]]) };
		const { next, waiting } = planNext(wanted(all), nothingInForce);
		assert.deepEqual([next.clusters.size, next.routes.size, next.listeners.size], [0, 0, 0]);
		assert.deepEqual(Object.fromEntries(waiting), { "cluster a": "its endpoints", "route table r": "cluster a", "listener l": "route table r" });
		const then = planNext(wanted({ ...all, assignments: new Map([["a", hosts("a")]]) }), next);
		assert.deepEqual([then.next.clusters.size, then.next.routes.size, then.next.listeners.size], [1, 1, 1]);
	});

	it("keeps a filter's configuration as long as a listener in force has it, unless it was taken back", () => {
		const discovery = { typeNames: ["a"], fallback: undefined, isAwaited: true, isLast: false };
		const filters = [{ kind: "discovered", name: "f", discovery }];
		const withFilter = (kind: "rds") =>
			({
				name: "l",
				filterChains: [{ filters: [{ kind: "http", filters, routes: { kind, name: "r" } }] }],
				defaultFilterChain: undefined,
			}) as unknown as Listener;
		const extension = { name: "f", typeName: "a", http: undefined, network: undefined };
		const all = { clusters: new Map([["a", eds("a")]]), assignments: new Map([["a", hosts("a")]]), routes: new Map([["r", table("r", "a")]]) };
		const listeners = new Map([["l", withFilter("rds")]]);
		const first = planNext(wanted({ ...all, listeners }), nothingInForce);
		assert.equal(first.waiting.get("listener l"), "configuration of filter f");
		const then = planNext(wanted({ ...all, listeners, extensions: new Map([["f", extension]]) }), first.next);
		assert.deepEqual([then.next.listeners.size, then.next.extensions.get("f")], [1, extension]);
		// The next version of the listener does without the filter, but is not there yet.
		const warming = planNext(wanted({ ...all, listeners: new Map([["l", listener("l", "other")]]) }), then.next);
		assert.deepEqual([warming.waiting.get("listener l"), warming.next.extensions.get("f")], ["route table other", extension]);
		const without = planNext(wanted({ ...all, listeners, expired: new Set(["ecds:f"]) }), then.next);
		assert.deepEqual([without.next.listeners.size, without.next.extensions.size], [1, 0]);
	});

	it("holds a listener back until its secret is there, or the wait for it is over", () => {
		const tls = { certificates: [{ kind: "secret", name: "s" }], validation: undefined };
		const secured = { name: "l", filterChains: [{ tls, filters: [] }], defaultFilterChain: undefined } as unknown as Listener;
		const all = { listeners: new Map([["l", secured]]) };
		const { next, waiting } = planNext(wanted(all), nothingInForce);
		assert.deepEqual([next.listeners.size, waiting.get("listener l")], [0, "secret s"]);
		assert.equal(planNext(wanted({ ...all, expired: new Set(["sds:s"]) }), next).next.listeners.size, 1);
		assert.equal(planNext(wanted({ ...all, expired: new Set(["sds:other"]) }), next).next.listeners.size, 0);
	});

	it("serves without endpoints once the wait for them is over", () => {
		const { next } = planNext(wanted({ clusters: new Map([["a", eds("a")]]), expired: new Set(["eds:a"]) }), nothingInForce);
		assert.deepEqual(next.hosts.get("a")?.priorities, []);
	});

	it("keeps the old routes while the new ones' cluster warms", () => {
		const assignments = new Map([["a", hosts("a")]]);
		const first = planNext(wanted({ clusters: new Map([["a", eds("a")]]), assignments, routes: new Map([["r", table("r", "a")]]) }), nothingInForce).next;
		const change = wanted({ clusters: new Map([...first.clusters, ["b", eds("b")]]), assignments, routes: new Map([["r", table("r", "b")]]) });
		assert.equal(planNext(change, first).next.routes.get("r"), first.routes.get("r"));
	});

	it("keeps a removed cluster until no route points to it", () => {
		const assignments = new Map([["a", hosts("a")]]);
		const routes = new Map([["r", table("r", "a")]]);
		const first = planNext(wanted({ clusters: new Map([["a", eds("a")]]), assignments, routes }), nothingInForce).next;
		const second = planNext(wanted({ routes }), first).next;
		assert.ok(second.clusters.has("a"));
		assert.ok(!planNext(wanted({}), second).next.clusters.has("a"));
	});

	it("holds a listener back until the virtual hosts of its own table are there, and keeps them for the one in force", () => {
		const of = (key: string) => ({ ...table(key, "a"), vhds: { name: "t" } });
		const inForceOf = (key: string, listener: Listener) => ({ listeners: new Map([["l", listener]]), inlineTables: new Map([[key, of(key)]]) });
		const first = inForceOf("t@1", inlineListener(of("t@1")));
		assert.equal(planNext(wanted(first), nothingInForce).waiting.get("listener l"), "route table t@1");
		const virtualHosts = new Map([["t", new Map()]]);
		const served = planNext(wanted({ ...first, virtualHosts }), nothingInForce).next;
		assert.deepEqual([served.listeners.size, [...served.routes.keys()]], [1, ["t@1"]]);
		const second = inForceOf("t@2", inlineListener(of("t@2"), [{ kind: "secret", name: "s" }]));
		const warming = planNext(wanted({ ...second, virtualHosts }), served);
		assert.deepEqual([warming.waiting.get("listener l"), [...warming.next.routes.keys()]], ["secret s", ["t@2", "t@1"]]);
		const done = planNext(wanted({ ...second, virtualHosts, expired: new Set(["sds:s"]) }), warming.next);
		assert.deepEqual([...done.next.routes.keys()], ["t@2"]);
	});

	it("holds a scope back until its table is there, and a listener until all of its scopes are", () => {
		const scope = (name: string, to: string, onDemand = false): RouteScope => ({ name, onDemand, key: [name], routes: { kind: "rds", name: to } });
		const listeners = new Map([["l", scopedListener("l")]]);
		const none = planNext(wanted({ listeners }), nothingInForce);
		assert.equal(none.waiting.get("listener l"), "scope *");
		assert.ok(planNext(wanted({ listeners, expired: new Set(["srds:*"]) }), nothingInForce).next.listeners.has("l"));

		const scopes = new Map([
			["one", scope("one", "r")],
			["lazy", scope("lazy", "never", true)],
		]);
		const missing = planNext(wanted({ listeners, scopes }), nothingInForce);
		assert.deepEqual([...missing.next.scopes.keys()], ["lazy"]);
		assert.deepEqual(
			["scope one", "listener l"].map((what) => missing.waiting.get(what)),
			["route table r", "scope one"],
		);
		const { next } = planNext(wanted({ listeners, scopes, routes: new Map([["r", table("r", "absent")]]) }), nothingInForce);
		assert.deepEqual([[...next.scopes.keys()], [...next.listeners.keys()]], [["one", "lazy"], ["l"]]);

		const moved = planNext(wanted({ listeners, scopes: new Map([["one", scope("one", "later")]]) }), next);
		assert.deepEqual(moved.next.scopes.get("one"), scopes.get("one"), "the old one until its new table is there");
		assert.ok(moved.next.routes.has("r"), "and its table with it");
		assert.ok(!moved.next.scopes.has("lazy"));
	});

	it("keeps scopes as long as a listener in force has them", () => {
		const scopes = new Map<string, RouteScope>([["one", { name: "one", onDemand: false, key: ["1"], routes: { kind: "rds", name: "r" } }]]);
		const before = planNext(
			wanted({ listeners: new Map([["l", scopedListener("l")]]), scopes, routes: new Map([["r", table("r", "absent")]]) }),
			nothingInForce,
		);
		const waiting = planNext(wanted({ listeners: new Map([["l", listener("l", "not there")]]) }), before.next);
		assert.ok(waiting.next.scopes.has("one") && waiting.next.routes.has("r"));
		const over = planNext(wanted({ listeners: new Map([["l", listener("l", "r2")]]), routes: new Map([["r2", table("r2", "absent")]]) }), waiting.next);
		assert.deepEqual([over.next.scopes.size, over.next.routes.has("r")], [0, false]);
	});

	it("lets a route to a cluster that nobody announced into force: it is answered 503", () => {
		const { next } = planNext(wanted({ routes: new Map([["r", table("r", "nowhere")]]) }), nothingInForce);
		assert.ok(next.routes.has("r"));
	});
});
