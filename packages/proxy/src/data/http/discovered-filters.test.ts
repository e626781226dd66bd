import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import type { ConfigDiscovery, ExtensionConfig } from "../../config/discovered-filters.ts";
import type { HttpFilter, HttpFilterConfig, RbacRule } from "../../config/http-filters.ts";
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
import { get, ok, openClient, type RecordingUpstream, startUpstream, statusOf } from "./test-peers.ts";

const router: HttpFilter = { kind: "router", name: "router", suppressEnvoyHeaders: false };
const discovery: ConfigDiscovery<HttpFilterConfig> = {
	typeNames: ["Mutation", "Rbac"],
	fallback: undefined,
	isAwaited: true,
	isLast: false,
};
const addsHeader = (value: string): ExtensionConfig => {
	const add = { kind: "add", name: "x-filter", value, action: "overwrite", keepEmpty: false } as const;
	return {
		name: "ext",
		typeName: "Mutation",
		http: { kind: "headerMutation", mutations: { request: [], response: [add] }, mostSpecificWins: false },
		network: undefined,
	};
};
const denies = (permission: RbacRule): ExtensionConfig => {
	const rules = { kind: "policies", action: "deny", policies: [{ name: "p", permissions: [permission], principals: [{ kind: "any" }] }] } as const;
	const rbac = { rules, rulesStatPrefix: "", shadowRules: undefined, shadowRulesStatPrefix: "", trackPerRuleStats: false };
	return { name: "ext", typeName: "Rbac", http: { kind: "rbac", rbac }, network: undefined };
};
const headerOf = (response: string) => /^x-filter: (.*?)\r$/m.exec(response)?.[1];

describe("a filter whose configuration comes by itself", () => {
	let proxy: Standalone;
	let upstream: RecordingUpstream;
	const held = Promise.withResolvers<Socket>();
	const port = () => proxy.port("l");
	const change = (extension: ExtensionConfig) => proxy.apply(updateOf({ extensions: [extension] }));

	before(async () => {
		proxy = await startStandalone();
		upstream = await startUpstream((socket, text) => {
			if (text.slice(text.lastIndexOf("GET ")).startsWith("GET /held")) held.resolve(socket);
			else if (text.endsWith("\r\n\r\n")) socket.write(ok("hello"));
		});
		const filters: readonly HttpFilter[] = [{ kind: "discovered", name: "ext", discovery }, router];
		const own = { ext: { disabled: true, config: undefined } };
		const manager = managerOf(tableOf([routeOf("/without", forwardTo("up"), { filters: own }), routeOf("/", forwardTo("up"))]), { filters });
		await proxy.apply(updateOf({ listeners: [listenerOf("l", [chainOf([manager])])], clusters: [clusterOf("up")], hosts: [hostsOf("up", [upstream.port])] }));
	});
	after(async () => {
		upstream.close();
		await proxy.close();
	});

	it("is missing: 500, but where a route does without it", async () => {
		assert.deepEqual([statusOf(await get(port(), "/")), statusOf(await get(port(), "/without"))], [500, 200]);
	});

	it("changes for the next request; one under way ends with what it began with", async () => {
		await change(addsHeader("one"));
		const client = await openClient(port());
		client.send("GET /held HTTP/1.1\r\nhost: a\r\n\r\n");
		const waiting = await held.promise;
		await change(addsHeader("two"));
		assert.equal(headerOf(await get(port(), "/")), "two");
		waiting.write(ok("late"));
		await client.until((text) => text.endsWith("late"));
		assert.equal(headerOf(client.text), "one");
		assert.doesNotMatch(client.text, /connection: close/i, "the listener is not drained");
		client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
		await client.until((text) => text.endsWith("hello"));
		assert.equal(headerOf(client.text.slice(client.text.indexOf("late"))), "two");
		client.socket.destroy();
	});

	it("may become another kind of filter, and keeps what it is when a worker cannot do what it is told", async () => {
		await change(denies({ kind: "urlPath", match: { kind: "prefix", value: "/secret", ignoreCase: false } }));
		assert.deepEqual([statusOf(await get(port(), "/secret")), statusOf(await get(port(), "/"))], [403, 200]);
		await assert.rejects(change(denies({ kind: "urlPath", match: { kind: "regex", value: "(" } })), /ext/);
		assert.deepEqual([statusOf(await get(port(), "/secret")), statusOf(await get(port(), "/"))], [403, 200]);
	});

	it("is missing again when its configuration is taken back", async () => {
		await proxy.apply({ ...updateOf({}), extensions: { upsert: [], remove: ["ext"] } });
		assert.deepEqual([statusOf(await get(port(), "/")), statusOf(await get(port(), "/without"))], [500, 200]);
	});
});
