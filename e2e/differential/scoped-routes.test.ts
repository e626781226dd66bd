import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { typeUrls } from "@weft/xds";
import { registerImplemented } from "../../packages/proxy/src/config/decode/index.ts";
import { ads, adsBootstrap, AdsServer } from "./ads-server.ts";
import { fileLog, httpFilter, httpListener, router } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

/** A table that answers with its own name. */
const table = (name: string) => ({
	name,
	virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, direct_response: { status: 200, body: { inline_string: name } } }] }],
});
const key = (...parts: readonly string[]) => ({ key: { fragments: parts.map((string_key) => ({ string_key })) } });
const scope = (name: string, part: string, to: string, more: object = {}) => ({ name, route_configuration_name: to, ...key(part), ...more });
const inline = (name: string, parts: readonly string[], more: object = {}) => ({
	name,
	...key(...parts),
	route_configuration: table(`inline-${name}`),
	...more,
});
const byHeader = (header_value_extractor: object) => ({ header_value_extractor });

const onDemand = httpFilter("envoy.filters.http.on_demand", "on_demand.v3.OnDemand");
const discovered = {
	name: "discovered",
	scope_key_builder: { fragments: [byHeader({ name: "x-scope", index: 0 })] },
	rds_config_source: ads,
	scoped_rds: { scoped_rds_config_source: ads },
};
const listed = {
	name: "listed",
	scope_key_builder: {
		fragments: [
			byHeader({ name: "X-Index", element_separator: ",", index: 1 }),
			byHeader({ name: "x-element", element_separator: ";", element: { separator: "=", key: "k" } }),
		],
	},
	scoped_route_configurations_list: {
		scoped_route_configurations: [inline("a", ["x", "y"]), inline("empty", ["x", ""]), inline("b", ["x", "z"], { on_demand: true })],
	},
};

describe("scoped routes, beside a real Envoy", { skip: skipReason }, () => {
	const servers = [new AdsServer(), new AdsServer()] as const;
	let proxies: readonly [Proxy, Proxy];

	/** What both make of it, which has to be the same. */
	const both = async <T>(act: (proxy: Proxy, server: AdsServer) => Promise<T>): Promise<T> => {
		const [envoy, weft] = [await act(proxies[0], servers[0]), await act(proxies[1], servers[1])];
		assert.deepEqual(weft, envoy);
		return weft;
	};
	const ask = (of: string, listener = "plain") => both((proxy) => askFor(proxy, listener, { "x-scope": of }));
	/** The same change for both; waits until each has answered as `isThere` says. */
	const change = async (of: string, isThere: string, apply: (server: AdsServer) => void) => {
		await both(async (proxy, server) => {
			apply(server);
			let answer = "";
			for (const end = performance.now() + 5_000; performance.now() < end && answer !== isThere; await sleep(20))
				answer = await askFor(proxy, "plain", { "x-scope": of });
			assert.equal(answer, isThere, proxy.name);
		});
	};
	const refusals = (count: number) =>
		both(async (_, server) => {
			for (const end = performance.now() + 5_000; performance.now() < end && server.refusals.length < count; ) await sleep(10);
			return server.refusals.length;
		});

	before(async () => {
		registerImplemented();
		for (const server of servers) {
			server.set(typeUrls.cds, []);
			server.set(typeUrls.lds, []);
			server.set(typeUrls.srds, [scope("one", "1", "t1"), scope("two", "2", "t2", { on_demand: true })]);
			server.set(
				typeUrls.rds,
				["t1", "t2", "t3"].map((name) => table(name)),
			);
			server.silent.add("late");
		}
		const ports = [await servers[0].start(), await servers[1].start()] as const;
		const build = (log: string, name: Proxy["name"]) => {
			const access = { access_log: [fileLog(log, { code: "%RESPONSE_CODE%", flags: "%RESPONSE_FLAGS%", details: "%RESPONSE_CODE_DETAILS%" })] };
			return adsBootstrap(ports[name === "envoy" ? 0 : 1], [
				httpListener("listed", { ...access, scoped_routes: listed }),
				httpListener("plain", { ...access, scoped_routes: discovered }),
				httpListener("asking", { ...access, scoped_routes: discovered, http_filters: [onDemand, router] }),
			]);
		};
		proxies = await startPair(build, ["listed", "plain", "asking"]);
		for (const proxy of proxies) while (!(await proxy.admin("/ready")).startsWith("LIVE")) await sleep(50);
	});
	after(async () => {
		for (const proxy of proxies ?? []) await proxy.stop();
		for (const server of servers) server.stop();
	});

	test("a request's key is made of its headers; without each of its parts it is in no scope", async () => {
		const requests: readonly (readonly [Readonly<Record<string, string | string[]>>, string])[] = [
			[{ "x-index": "a,x", "x-element": "q=1;k=y" }, "200 inline-a"],
			[{ "x-index": "a,x,b", "x-element": "k=y;k=z" }, "200 inline-a"],
			[{ "x-index": "a,x", "x-element": "k" }, "200 inline-empty"],
			[{ "x-index": "a,x", "x-element": "k=" }, "200 inline-empty"],
			[{ "x-index": "a,x", "x-element": "k=z" }, "200 inline-b"],
			[{ "x-index": ["a,x", "b,q"], "x-element": ["k=y", "k=z"] }, "200 inline-a"],
			[{ "x-index": ["a", "x"], "x-element": "k=y" }, "404 "],
			[{ "x-index": "a,x", "x-element": "k=y=z" }, "404 "],
			[{ "x-index": "a, x", "x-element": "k=y" }, "404 "],
			[{ "x-index": "a,x", "x-element": "q=1; k=y" }, "404 "],
			[{ "x-index": "x", "x-element": "k=y" }, "404 "],
			[{ "x-index": "a,x" }, "404 "],
			[{ "x-index": "a,x", "x-element": "k=other" }, "404 "],
			[{}, "404 "],
		];
		for (const [headers, answer] of requests) assert.equal(await both((proxy) => askFor(proxy, "listed", headers)), answer, JSON.stringify(headers));
	});

	test("scopes that the control plane gives; the table of one on demand comes when a request wants it", async () => {
		assert.equal(await ask("1"), "200 t1");
		assert.equal(await ask("2"), "404 ");
		assert.equal(await ask("unknown"), "404 ");
		assert.equal(await ask("unknown", "asking"), "404 ");
		assert.deepEqual(await both(async (_, server) => server.namesAsked(typeUrls.rds)), ["t1"]);
		const together = await both((proxy) => Promise.all(["2", "2", "1"].map((of) => askFor(proxy, "asking", { "x-scope": of }))));
		assert.deepEqual(together, ["200 t2", "200 t2", "200 t1"]);
		assert.equal(await ask("2"), "200 t2");
		assert.deepEqual(await both(async (_, server) => server.namesAsked(typeUrls.rds)), ["t1", "t2"]);
		assert.equal(servers[1].asked.filter((one) => one.endsWith(" t2")).length, 1);
	});

	test("a request waits for a table that is not there yet", async () => {
		await change("late", "404 ", (server) => server.set(typeUrls.srds, [scope("late", "late", "late", { on_demand: true })]));
		const answer = await both(async (proxy, server) => {
			// Whether it has heard of the scope cannot be seen from outside.
			await sleep(200);
			const asked = askFor(proxy, "asking", { "x-scope": "late" });
			await sleep(200);
			server.set(typeUrls.rds, [table("late")]);
			return asked;
		});
		assert.equal(answer, "200 late");
	});

	test("scopes come, bring their tables, change and go; tables go with the last that names them", async () => {
		await change("3", "200 t3", (server) => server.set(typeUrls.srds, [scope("three", "3", "t3")]));
		await change("4", "200 inline-four", (server) => server.set(typeUrls.srds, [inline("four", ["4"])]));
		await change("5", "200 inline-five", (server) => server.set(typeUrls.srds, [inline("five", ["5"], { on_demand: true })]));
		await change("3b", "200 t3", (server) => server.set(typeUrls.srds, [scope("three", "3b", "t3")]));
		assert.equal(await ask("3"), "404 ");
		await change("3b", "404 ", (server) => server.remove(typeUrls.srds, "three"));
		const gone = await both(async (_, server) => {
			for (const end = performance.now() + 5_000; performance.now() < end && server.unsubscribed.length < 1; ) await sleep(10);
			return server.unsubscribed;
		});
		assert.deepEqual(gone, [`${typeUrls.rds} t3`]);
	});

	test("a key that two scopes have is refused, and everything that came with it", async () => {
		for (const server of servers) server.set(typeUrls.srds, [scope("other", "1", "t2"), scope("six", "6", "t1")]);
		assert.equal(await refusals(1), 1);
		assert.equal(await ask("1"), "200 t1");
		assert.equal(await ask("6"), "404 ");
		for (const server of servers) server.set(typeUrls.srds, [scope("other", "same", "t1"), scope("six", "same", "t1")]);
		assert.equal(await refusals(2), 2);
		assert.equal(await ask("same"), "404 ");
		for (const { refusals } of servers) {
			assert.match(refusals[0]?.message ?? "", /scope key conflict found, first scope is 'one', second scope is 'other'/);
			assert.match(refusals[1]?.message ?? "", /scope key conflict found, first scope is '(other|six)', second scope is '(other|six)'/);
		}
		for (const server of servers) server.set(typeUrls.srds, [scope("other", "7", ""), scope("six", "6", "t1")]);
		assert.equal(await refusals(3), 3);
		assert.match(servers[1].refusals[2]?.message ?? "", /other: route_configuration_name is empty\./);
		await change("6", "200 t1", (server) => server.set(typeUrls.srds, [scope("other", "other", "t1"), scope("six", "6", "t1")]));
	});

	test("the log, the statistics and the dump", async () => {
		const lines = await both(async (proxy) => {
			await sleep(100);
			return [...new Set(proxy.log().map((line) => JSON.stringify(line)))].sort();
		});
		assert.equal(lines.length, 2);
		assert.ok(lines.some((line) => line.includes('"route_not_found"') && line.includes('"NR"')));
		const shown = /scoped_rds\.discovered\.(all_scopes|active_scopes|on_demand_scopes|update_rejected|update_success): (\d+)$/;
		const stats = await both(async (proxy) => [...new Set((await proxy.stats(shown)).filter((line) => line.startsWith("http.plain.")))].sort());
		assert.equal(stats.length, 5);
		const dump = await both(async (proxy) => {
			const { configs } = JSON.parse(await proxy.admin("/config_dump")) as { configs: readonly Section[] };
			const section = configs.find((one) => one["@type"].endsWith("ScopedRoutesConfigDump"));
			const plain = (groups: Section["inline_scoped_route_configs"] = []) =>
				groups.map(({ name, scoped_route_configs }) => ({ name, scopes: scoped_route_configs.toSorted((a, b) => (a.name < b.name ? -1 : 1)) }));
			return { inline: plain(section?.inline_scoped_route_configs), discovered: plain(section?.dynamic_scoped_route_configs) };
		});
		assert.deepEqual([dump.inline[0]?.scopes.length, dump.discovered[0]?.scopes.length], [3, 7]);
	});

	test("two scopes change keys at once, after which Envoy has lost one of them", async () => {
		const [, proxy] = proxies;
		servers[1].set(typeUrls.srds, [scope("other", "6", "t2"), scope("six", "other", "t1")]);
		let answer = "";
		for (const end = performance.now() + 5_000; performance.now() < end && answer !== "200 t2"; await sleep(20))
			answer = await askFor(proxy, "plain", { "x-scope": "6" });
		assert.deepEqual([answer, await askFor(proxy, "plain", { "x-scope": "other" })], ["200 t2", "200 t1"]);
	});

	test("a scope that changes its table keeps the old one until the new one is there; Envoy has none meanwhile", async () => {
		const [, proxy] = proxies;
		const [, server] = servers;
		server.silent.add("slow");
		server.set(typeUrls.srds, [scope("one", "1", "slow")]);
		for (const end = performance.now() + 5_000; performance.now() < end && !server.namesAsked(typeUrls.rds).includes("slow"); ) await sleep(10);
		assert.equal(await askFor(proxy, "plain", { "x-scope": "1" }), "200 t1");
		server.set(typeUrls.rds, [table("slow")]);
		let answer = "";
		for (const end = performance.now() + 5_000; performance.now() < end && answer !== "200 slow"; await sleep(20))
			answer = await askFor(proxy, "plain", { "x-scope": "1" });
		assert.equal(answer, "200 slow");
	});
});

interface Group {
	readonly name: string;
	readonly scoped_route_configs: readonly { readonly name: string }[];
}

interface Section {
	readonly "@type": string;
	readonly inline_scoped_route_configs?: readonly Group[];
	readonly dynamic_scoped_route_configs?: readonly Group[];
}

function askFor(proxy: Proxy, listenerName: string, headers: Readonly<Record<string, string | string[]>>): Promise<string> {
	return new Promise((resolve, reject) => {
		const sent = request({ host: "127.0.0.1", port: proxy.port(listenerName), headers }, (response) => {
			let text = "";
			response.on("data", (bytes: Buffer) => (text += bytes.toString()));
			response.on("end", () => resolve(`${response.statusCode} ${text}`));
		});
		sent.on("error", reject).end();
	});
}
