import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock, type Turns } from "@weft/runtime";
import { DeltaDiscoveryResponse, DiscoveryResponse } from "../generated/envoy/service/discovery/v3/discovery.ts";
import { typeUrls, type XdsType } from "../type-urls.ts";
import type { MessageWriter } from "./message-writer.ts";
import type { EncodedResource, ResourceView } from "./resource.ts";
import { type ClientRequest, ClientStream } from "./stream.ts";

const atOnce: Turns = { next: () => undefined };

type World = Partial<Record<XdsType, Readonly<Record<string, string>>>>;

/** A view whose resources are `name: content`; content is the version and the bytes. */
function view(version: string, world: World): ResourceView {
	const maps = new Map<XdsType, Map<string, EncodedResource>>();
	for (const [type, resources] of Object.entries(world)) {
		const entries = Object.entries(resources).map(([name, content]) => [name, { name, version: content, bytes: Buffer.from(content) }] as const);
		maps.set(type as XdsType, new Map(entries));
	}
	return {
		version,
		all: (type) => maps.get(type) ?? new Map(),
		get: (type, name) => maps.get(type)?.get(name),
		revision: (type) => JSON.stringify(world[type]),
		changes: () => undefined,
		members(type, collection) {
			if (type !== "vhds" || collection.includes("/")) return undefined;
			return new Map([...(maps.get(type) ?? [])].filter(([name]) => name.startsWith(`${collection}/`)));
		},
	};
}

interface Sent {
	readonly type: string;
	readonly names: readonly string[];
	readonly removed: readonly string[];
	readonly nonce: string;
}

function client(protocol: "delta" | "sotw") {
	const sent: Sent[] = [];
	const nacks: string[] = [];
	let synced = 0;
	const decode = (message: Buffer): Sent => {
		if (protocol === "delta") {
			const r = DeltaDiscoveryResponse.decode(message);
			return { type: shortType(r.typeUrl), names: r.resources.map((x) => x.name), removed: r.removedResources, nonce: r.nonce };
		}
		const r = DiscoveryResponse.decode(message);
		return { type: shortType(r.typeUrl), names: r.resources.map((x) => Buffer.from(x.value).toString()), removed: [], nonce: r.nonce };
	};
	const write: MessageWriter = ({ pieces }, done) => {
		sent.push(decode(Buffer.concat(pieces)));
		queueMicrotask(done);
	};
	const stream = new ClientStream(protocol, write, systemClock, atOnce, {
		nacked: (type, message) => nacks.push(`${type}: ${message}`),
		synced: () => synced++,
	});
	const request = (type: XdsType, change: Partial<ClientRequest["change"]> = {}, answer: { nonce?: string; error?: string } = {}) => {
		const base = protocol === "delta" ? { protocol, subscribe: [], unsubscribe: [], initial: {} } : { protocol, names: [], version: "" };
		stream.request({
			node: undefined,
			typeUrl: typeUrls[type],
			nonce: answer.nonce ?? "",
			error: answer.error,
			change: { ...base, ...change } as ClientRequest["change"],
		});
	};
	/** Everything that was sent since the last call. */
	const take = async () => {
		await new Promise((resolve) => setImmediate(resolve));
		return sent.splice(0);
	};
	/** Acknowledges until nothing more comes, and says what came: `type +name -name`. */
	const settle = async (subscriptions: Partial<Record<XdsType, readonly string[]>> = {}) => {
		const log: string[] = [];
		for (let round = await take(); round.length > 0; round = await take()) {
			for (const r of round) {
				log.push([r.type, ...r.names.map((n) => `+${n}`), ...r.removed.map((n) => `-${n}`)].join(" "));
				request(r.type as XdsType, protocol === "sotw" ? { names: subscriptions[r.type as XdsType] ?? [] } : {}, { nonce: r.nonce });
			}
		}
		return log;
	};
	return { stream, request, take, settle, nacks, synced: () => synced };
}

function shortType(url: string): string {
	return Object.entries(typeUrls).find(([, u]) => u === url)?.[0] ?? url;
}

test("a delta client is sent everything once, then only what changed", async () => {
	const c = client("delta");
	c.stream.push(view("1", { cds: { a: "a1", b: "b1" }, lds: { l: "l1" } }));
	c.request("cds");
	c.request("lds");
	assert.deepEqual(await c.settle(), ["cds +a +b", "lds +l"]);
	c.stream.push(view("2", { cds: { a: "a1", b: "b2" }, lds: { l: "l1" } }));
	assert.deepEqual(await c.settle(), ["cds +b"]);
	c.stream.push(view("3", { cds: { a: "a1", b: "b2" }, lds: { l: "l1" } }));
	assert.deepEqual(await c.settle(), []);
	assert.equal(c.stream.syncedVersion, "3");
	assert.equal(c.stream.sentForView, 0);
});

test("only names that a view says may differ are looked at", async () => {
	const c = client("delta");
	const looked: string[] = [];
	const counting = (v: ResourceView, changes: readonly string[] | undefined): ResourceView => ({
		...v,
		get: (type, name) => {
			looked.push(name);
			return v.get(type, name);
		},
		changes: () => changes,
	});
	c.stream.push(view("1", { eds: { a: "1", b: "1", c: "1" } }));
	c.request("eds", { subscribe: ["a", "b", "c"] });
	await c.settle();
	c.stream.push(counting(view("2", { eds: { a: "1", b: "2", c: "1" } }), ["b", "nobody asked for this"]));
	assert.deepEqual(await c.settle(), ["eds +b"]);
	assert.deepEqual([...new Set(looked)], ["b"]);
	c.stream.push(counting(view("3", { eds: { a: "3", b: "2", c: "1" } }), undefined));
	assert.deepEqual(await c.settle(), ["eds +a"]);
});

test("removals come after the routes that no longer name what goes", async () => {
	const c = client("delta");
	c.stream.push(view("1", { cds: { old: "1" }, eds: { old: "1" }, lds: { l: "1" }, rds: { r: "to-old" } }));
	for (const type of ["cds", "lds"] as const) c.request(type);
	c.request("eds", { subscribe: ["old"] });
	c.request("rds", { subscribe: ["r"] });
	await c.settle();
	c.stream.push(view("2", { cds: { new: "1" }, eds: { new: "1" }, lds: { l: "1" }, rds: { r: "to-new" } }));
	const [cds] = await c.take();
	assert.deepEqual([cds?.names, cds?.removed], [["new"], []]);
	assert.deepEqual(await c.take(), [], "routes wait until the new cluster has its endpoints");
	c.request("cds", {}, { nonce: cds?.nonce ?? "" });
	c.request("eds", { subscribe: ["new"] });
	const rest = await c.settle();
	assert.deepEqual(rest, ["eds +new", "rds +r", "eds -old", "cds -old"]);
});

test("a name that does not exist is answered as removed, and sent when it appears", async () => {
	const c = client("delta");
	c.stream.push(view("1", {}));
	c.request("rds", { subscribe: ["later"] });
	assert.deepEqual(await c.settle(), ["rds -later"]);
	c.stream.push(view("2", { rds: { later: "1" } }));
	assert.deepEqual(await c.settle(), ["rds +later"]);
});

test("a client that comes back with its versions is sent only the difference", async () => {
	const c = client("delta");
	c.stream.push(view("7", { cds: { same: "s", changed: "c2" } }));
	c.request("cds", { initial: { same: "s", changed: "c1", gone: "g" } });
	assert.deepEqual(await c.settle(), ["cds +changed", "cds -gone"]);
});

test("one that comes back with everything is sent nothing, and is known to have it", async () => {
	const c = client("delta");
	c.stream.push(view("7", { rds: { "80": "t" }, eds: { e: "2" } }));
	c.request("rds", { subscribe: ["80"], initial: { "80": "t" } });
	c.request("eds", { subscribe: ["e"], initial: { e: "1" } });
	const nonces = () => c.stream.states().map(({ type, nonceSent, nonceAcked }) => [type, nonceSent, nonceAcked]);
	const [endpoints, ...more] = await c.take();
	assert.deepEqual(more, []);
	assert.deepEqual(nonces(), [
		["eds", endpoints?.nonce, ""],
		["rds", "resumed", "resumed"],
	]);
	c.request("eds", {}, { nonce: endpoints?.nonce ?? "" });
	c.stream.push(view("8", { rds: { "80": "u" }, eds: { e: "2" } }));
	const [table] = await c.take();
	assert.deepEqual(nonces(), [
		["eds", endpoints?.nonce, endpoints?.nonce],
		["rds", table?.nonce, ""],
	]);
});

test("asking again for a name gets it again", async () => {
	const c = client("delta");
	c.stream.push(view("1", { eds: { e: "1" } }));
	c.request("eds", { subscribe: ["e"] });
	await c.settle();
	c.request("eds", { subscribe: ["e"] });
	assert.deepEqual(await c.settle(), ["eds +e"]);
});

test("a refusal is reported with its resources and is not sent again until something changes", async () => {
	const c = client("delta");
	c.stream.push(view("1", { cds: { bad: "1" } }));
	c.request("cds");
	const [first] = await c.take();
	c.request("cds", {}, { nonce: first?.nonce ?? "", error: "bad: no" });
	assert.deepEqual(await c.take(), []);
	assert.deepEqual(c.nacks, ["cds: bad: no"]);
	assert.deepEqual(c.stream.states()[0]?.nack, { message: "bad: no", names: ["bad"] });
	c.stream.push(view("2", { cds: { bad: "2" } }));
	assert.deepEqual(await c.settle(), ["cds +bad"]);
	assert.equal(c.stream.states()[0]?.nack, undefined);
});

test("a client that has not answered is sent the newest state next, not every state", async () => {
	const c = client("delta");
	c.stream.push(view("1", { cds: { a: "1" } }));
	c.request("cds");
	const [first] = await c.take();
	for (let i = 2; i < 50; i++) c.stream.push(view(String(i), { cds: { a: String(i) } }));
	assert.deepEqual(await c.take(), []);
	c.request("cds", {}, { nonce: first?.nonce ?? "" });
	assert.deepEqual((await c.take()).length, 1);
});

test("a changed cluster's endpoints are repeated, since the client warms it anew", async () => {
	const c = client("delta");
	c.stream.push(view("1", { cds: { a: "1" }, eds: { a: "e" } }));
	c.request("cds");
	c.request("eds", { subscribe: ["a"] });
	await c.settle();
	c.stream.push(view("2", { cds: { a: "2" }, eds: { a: "e" } }));
	assert.deepEqual(await c.settle(), ["cds +a", "eds +a"]);
});

test("state of the world: whole sets for clusters, single ones for routes, and removals last", async () => {
	const c = client("sotw");
	const names = { rds: ["r"] };
	c.stream.push(view("1", { cds: { a: "a1", b: "b1" }, rds: { r: "r1" } }));
	c.request("cds");
	c.request("rds", { names: ["r"] });
	assert.deepEqual(await c.settle(names), ["cds +a1 +b1", "rds +r1"]);
	c.stream.push(view("2", { cds: { a: "a1", c: "c1" }, rds: { r: "r2" } }));
	assert.deepEqual(await c.settle(names), ["cds +a1 +c1 +b1", "rds +r2", "cds +a1 +c1"]);
});

test("state of the world: an answer to an older response does not change the subscription back", async () => {
	const c = client("sotw");
	c.stream.push(view("1", { rds: { r: "1", s: "1" } }));
	c.request("rds", { names: ["r"] });
	const [first] = await c.take();
	c.request("rds", { names: ["r", "s"] }, { nonce: first?.nonce ?? "" });
	const [second] = await c.take();
	assert.deepEqual(second?.names, ["1"]);
	c.request("rds", { names: ["r"] }, { nonce: first?.nonce ?? "" });
	c.request("rds", { names: ["r", "s"] }, { nonce: second?.nonce ?? "" });
	c.stream.push(view("2", { rds: { r: "1", s: "2" } }));
	assert.deepEqual((await c.take())[0]?.names, ["2"]);
});

test("virtual hosts come by the name of their table: all at first, then what changes, and removals with what takes their place", async () => {
	const { stream, request, take } = client("delta");
	const hosts = (...names: readonly string[]) => ({ vhds: Object.fromEntries(names.map((name) => [name.split("=")[0] ?? "", name.split("=")[1] ?? "1"])) });
	stream.push(view("1", hosts("80/a", "80/b", "90/c")));
	request("vhds", { subscribe: ["80"] });
	const [first] = await take();
	assert.deepEqual([first?.names, first?.removed], [["80/a", "80/b"], []]);
	request("vhds", {}, { nonce: first?.nonce ?? "" });
	stream.push(view("2", hosts("80/b=2", "80/d", "90/c=2")));
	const [second] = await take();
	assert.deepEqual([second?.names, second?.removed], [["80/b", "80/d"], ["80/a"]]);
	request("vhds", {}, { nonce: second?.nonce ?? "", error: "80/d: no good" });
	assert.deepEqual(stream.states().find(({ type }) => type === "vhds")?.nack, { message: "80/d: no good", names: ["80/b", "80/d", "80/a"] });
	request("vhds", { unsubscribe: ["80"] });
	request("vhds", { subscribe: ["80"] });
	assert.deepEqual(
		(await take()).flatMap(({ names }) => names),
		["80/b", "80/d"],
		"asked for anew, all come again",
	);
});

test("a table without virtual hosts is answered, and one that comes back is sent the difference alone", async () => {
	const empty = client("delta");
	empty.stream.push(view("1", { vhds: {} }));
	empty.request("vhds", { subscribe: ["80"] });
	assert.deepEqual(
		(await empty.take()).map(({ names, removed }) => [names, removed]),
		[[[], ["80"]]],
	);
	const again = client("delta");
	again.stream.push(view("1", { vhds: { "80/a": "1", "80/b": "2" } }));
	again.request("vhds", { subscribe: ["80"], initial: { "80/a": "1", "80/b": "1", "80/gone": "1" } });
	assert.deepEqual(
		(await again.take()).map(({ names, removed }) => [names, removed]),
		[[["80/b"], ["80/gone"]]],
	);
});

test("a wildcard over virtual hosts, as Envoy asks, means those of the tables that it has, after them", async () => {
	const { stream, request, take } = client("delta");
	stream.push(view("1", { rds: { "80": "t", "90": "t" }, vhds: { "80/a": "1", "90/b": "1" } }));
	request("rds", { subscribe: ["80"] });
	const [table] = await take();
	request("rds", {}, { nonce: table?.nonce ?? "" });
	request("vhds");
	const [first] = await take();
	assert.deepEqual([first?.type, first?.names], ["vhds", ["80/a"]]);
	request("vhds", {}, { nonce: first?.nonce ?? "" });
	request("rds", { subscribe: ["90"] });
	assert.deepEqual(
		(await take()).map(({ type, names }) => [type, names]),
		[
			["rds", ["90"]],
			["vhds", ["90/b"]],
		],
	);
});

test("a virtual host that comes and goes between two views that are otherwise alike is taken away again", async () => {
	const { stream, request, take } = client("delta");
	const worlds: readonly (readonly string[])[] = [["80/a"], ["80/a", "80/b"], ["80/a"]];
	// Only what differs between two revisions is named, as Pilot does.
	const changing = (index: number): ResourceView => ({
		...view(String(index), { vhds: Object.fromEntries((worlds[index] ?? []).map((name) => [name, "1"])) }),
		revision: () => worlds[index],
		changes: (_, since) => {
			const [before, now] = [since as readonly string[], worlds[index] ?? []];
			return [...before.filter((name) => !now.includes(name)), ...now.filter((name) => !before.includes(name))];
		},
	});
	request("vhds", { subscribe: ["80"] });
	const seen: (readonly [readonly string[], readonly string[]])[] = [];
	for (const index of worlds.keys()) {
		stream.push(changing(index));
		for (const { names, removed, nonce } of await take()) {
			seen.push([names, removed]);
			request("vhds", {}, { nonce });
		}
	}
	assert.deepEqual(seen, [
		[["80/a"], []],
		[["80/b"], []],
		[[], ["80/b"]],
	]);
});

test("state of the world: endpoints that are gone when they are asked for are answered with none, since Envoy waits for an answer", async () => {
	const { stream, request, take } = client("sotw");
	stream.push(view("1", { cds: { a: "1" }, eds: {} }));
	request("eds", { names: ["a"] });
	const [answer] = await take();
	assert.deepEqual([answer?.type, answer?.names.length], ["eds", 1]);
	request("eds", { names: ["a"] }, { nonce: answer?.nonce ?? "" });
	assert.deepEqual(await take(), [], "once");
});

test("routes wait for clusters that cannot be sent yet, because earlier ones are not answered", async () => {
	const { stream, request, take } = client("delta");
	stream.push(view("1", { cds: { a: "1" }, rds: { r: "to a" } }));
	request("cds");
	request("rds", { subscribe: ["r"] });
	const [clusters, routes] = await take();
	request("rds", {}, { nonce: routes?.nonce ?? "" });
	stream.push(view("2", { cds: { a: "1", b: "1" }, rds: { r: "to b" } }));
	assert.deepEqual(await take(), []);
	request("cds", {}, { nonce: clusters?.nonce ?? "" });
	assert.deepEqual(
		(await take()).map(({ type, names }) => [type, names]),
		[
			["cds", ["b"]],
			["rds", ["r"]],
		],
	);
});

test("a request that comes as the last step ends is answered", async () => {
	for (let turns = 0; turns < 8; turns++) {
		const { stream, request, take } = client("delta");
		stream.push(view("1", { cds: { a: "1" } }));
		for (let i = 0; i < turns; i++) await Promise.resolve();
		request("cds");
		assert.equal((await take()).length, 1, `after ${turns} turns`);
	}
});

test("responses are counted from one in each version, and no nonce of a stream comes twice", async () => {
	const [young, old] = [client("delta"), client("delta")];
	old.stream.push(view("1", { cds: { a: "a1" }, eds: { x: "x1" } }));
	old.request("cds");
	old.request("eds", { subscribe: ["x"] });
	await old.settle();
	const second = { cds: { a: "a2" }, eds: { x: "x1" } };
	old.stream.push(view("2", second));
	young.stream.push(view("2", second));
	young.request("cds");
	const [again] = await old.take();
	const [first] = await young.take();
	assert.equal(again?.nonce, first?.nonce, "clients with another past are sent the same bytes");
	old.request("cds", {}, { nonce: again?.nonce ?? "" });
	const nonces = (await old.take()).map(({ nonce }) => nonce);
	old.stream.push(view("2", { cds: { a: "a3" }, eds: { x: "x1" } }));
	nonces.push(again?.nonce ?? "", ...(await old.take()).map(({ nonce }) => nonce));
	assert.ok(nonces.length >= 2);
	assert.equal(new Set(nonces).size, nonces.length);
});

test("what is sent after a whole is the difference alone, for clients with more names than one as well", async () => {
	const c = client("delta");
	c.stream.push(view("1", { cds: { a: "1", b: "1" }, vhds: { "80/a": "1", "80/b": "1", "90/c": "1" } }));
	c.request("cds");
	c.request("vhds", { subscribe: ["80"] });
	assert.deepEqual(await c.settle(), ["cds +a +b", "vhds +80/a +80/b"]);
	c.request("cds", { subscribe: ["x"] });
	c.request("vhds", { subscribe: ["90"] });
	assert.deepEqual(await c.settle(), ["cds -x", "vhds +90/c"]);
	c.stream.push(view("2", { cds: { a: "2", b: "1", x: "1" }, vhds: { "80/b": "1", "80/d": "1", "90/c": "2" } }));
	assert.deepEqual(await c.settle(), ["cds +a +x", "vhds +80/d +90/c -80/a"]);
	c.stream.push(view("3", { cds: { a: "2" }, vhds: { "80/a": "1", "80/b": "1", "90/c": "2" } }));
	assert.deepEqual(await c.settle(), ["vhds +80/a -80/d", "cds -x -b"]);
	c.request("vhds", { unsubscribe: ["90"] });
	c.request("cds", { unsubscribe: ["*"], subscribe: ["a"] });
	assert.deepEqual(await c.settle(), ["cds +a"]);
	c.stream.push(view("4", { cds: { a: "3", b: "3" }, vhds: { "80/a": "1", "80/b": "1", "90/c": "3" } }));
	assert.deepEqual(await c.settle(), ["cds +a"]);
});
