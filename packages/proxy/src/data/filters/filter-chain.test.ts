import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import type { FilterOverrides, HttpFilter, RbacRule } from "../../config/http-filters.ts";
import type { LocalRateLimit } from "../../config/rate-limits.ts";
import type { Route } from "../../config/routes.ts";
import { bodyOf, exchange, get, ok, openClient, type RecordingUpstream, startUpstream, statusOf } from "../http/test-peers.ts";
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

const router: HttpFilter = { kind: "router", name: "router", suppressEnvoyHeaders: false };
const any: RbacRule = { kind: "any" };
const rbac = (action: "allow" | "deny" | "log", permissions: readonly RbacRule[], principals: readonly RbacRule[] = [any]) => ({
	rules: { kind: "policies" as const, action, policies: [{ name: "p", permissions, principals }] },
	rulesStatPrefix: "",
	shadowRules: undefined,
	shadowRulesStatPrefix: "",
	trackPerRuleStats: false,
});
const onPath = (value: string): RbacRule => ({ kind: "urlPath", match: { kind: "prefix", value, ignoreCase: false } });
const all = { numerator: 100, denominator: 100 } as const;
const never = { numerator: 0, denominator: 100 } as const;
const authz = {
	kind: "extAuthz",
	name: "authz",
	authz: {
		service: {
			kind: "http",
			cluster: "authz",
			authority: "authz",
			pathPrefix: "/check",
			timeoutMs: 1000,
			headersToAdd: [],
			allowedUpstreamHeaders: [{ kind: "exact", value: "x-user", ignoreCase: false }],
			allowedUpstreamHeadersToAppend: [],
			allowedClientHeaders: [],
			allowedClientHeadersOnSuccess: [],
			metadataFromHeaders: [],
		},
		failureModeAllow: false,
		failureModeAllowHeaderAdd: false,
		body: undefined,
		clearRouteCache: false,
		statusOnError: 403,
		enabled: all,
		enabledMetadata: undefined,
		denyAtDisable: { value: false },
		statPrefix: "",
		allowedHeaders: [],
		disallowedHeaders: [],
	},
} as const satisfies HttpFilter;

describe("HTTP filters", () => {
	let proxy: Standalone;
	let upstream: RecordingUpstream | undefined;
	let service: RecordingUpstream | undefined;
	let names = 0;
	before(async () => {
		proxy = await startStandalone();
	});
	after(() => proxy.close());
	afterEach(() => {
		upstream?.close();
		service?.close();
		service = undefined;
	});

	/** Answers with the path of the last request, once the request has ended as `isWhole` says. */
	const startEcho = async (isWhole = (text: string) => text.endsWith("\r\n\r\n")) => {
		upstream = await startUpstream((socket, text) => {
			if (isWhole(text)) socket.write(ok(/.* (\S+) HTTP\/1\.1/.exec(text)?.[1] ?? ""));
		});
	};

	async function serve(
		filters: readonly HttpFilter[],
		routes: readonly Route[] = [routeOf("/", forwardTo("up"))],
		hostFilters: FilterOverrides = {},
	): Promise<number> {
		const name = `f${++names}`;
		const table = tableOf(routes, name);
		const [host] = table.virtualHosts;
		assert.ok(host);
		const manager = managerOf({ ...table, virtualHosts: [{ ...host, filters: hostFilters }] }, { filters: [...filters, router], statPrefix: name });
		const clusters = ["up", "authz"].map((cluster) => clusterOf(cluster));
		const hosts = [hostsOf("up", [upstream?.port ?? 0]), hostsOf("authz", service === undefined ? [] : [service.port])];
		await proxy.apply(updateOf({ listeners: [listenerOf(name, [chainOf([manager])])], clusters, hosts }));
		return proxy.port(name);
	}

	describe("rules decide on requests, and what a route says goes before what its host says", () => {
		const guard: HttpFilter = { kind: "rbac", name: "guard", rbac: rbac("allow", [onPath("/open")]) };
		const saying = (filters: FilterOverrides, prefix: string) => routeOf(prefix, forwardTo("up"), { filters });
		const rows: readonly (readonly [path: string, status: number, body: string])[] = [
			["/open/x", 200, "/open/x"],
			["/other", 403, "RBAC: access denied"],
			["/off", 200, "/off"],
			["/own", 200, "/own"],
			["/own/secret", 403, "RBAC: access denied"],
			["/host", 200, "/host"],
		];
		for (const [path, status, body] of rows) {
			it(path, async () => {
				await startEcho();
				const port = await serve(
					[guard],
					[
						saying({ guard: { disabled: true, config: undefined } }, "/off"),
						saying({ guard: { disabled: false, config: { kind: "rbac", rbac: rbac("deny", [onPath("/own/secret")]) } } }, "/own"),
						saying({}, "/host"),
						saying({ guard: { disabled: false, config: undefined } }, "/"),
					],
					{ guard: { disabled: false, config: { kind: "rbac", rbac: rbac("allow", [onPath("/host")]) } } },
				);
				const response = await get(port, path);
				// The host's word counts where the route says nothing, and where it only says "enabled".
				const expected = path === "/open/x" ? [403, "RBAC: access denied"] : [status, body];
				assert.deepEqual([statusOf(response), bodyOf(response)], expected);
			});
		}
	});

	it("a filter that is disabled runs only where a route asks for it", async () => {
		await startEcho();
		const guard: HttpFilter = { kind: "rbac", name: "guard", disabled: true, rbac: rbac("deny", [any]) };
		const port = await serve(
			[guard],
			[routeOf("/on", forwardTo("up"), { filters: { guard: { disabled: false, config: undefined } } }), routeOf("/", forwardTo("up"))],
		);
		assert.deepEqual([statusOf(await get(port, "/on")), statusOf(await get(port, "/off"))], [403, 200]);
	});

	it("filters see a request that no route takes", async () => {
		await startEcho();
		const port = await serve([{ kind: "rbac", name: "g", rbac: rbac("deny", [onPath("/x")]) }], [routeOf("/only", forwardTo("up"))]);
		assert.deepEqual([statusOf(await get(port, "/x")), statusOf(await get(port, "/y"))], [403, 404]);
	});

	it("a request waits for a service with its body, and goes on when that agrees", async () => {
		await startEcho((text) => text.endsWith("late body"));
		let release = () => {};
		service = await startUpstream((socket) => {
			release = () => void socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-user: alice\r\n\r\n");
		});
		const client = await openClient(await serve([authz]));
		client.send("POST /w HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 9\r\n\r\nlate ");
		while (service.received.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
		client.send("body");
		await new Promise((resolve) => setTimeout(resolve, 20));
		assert.deepEqual(upstream?.received, []);
		release();
		await client.closed;
		assert.equal(bodyOf(client.text), "/w");
		assert.match(upstream?.received[0] ?? "", /x-user: alice\r\n[\s\S]*late body$/);
		assert.match(service.received[0] ?? "", /^POST \/check\/w HTTP\/1\.1\r\n/);
		client.socket.destroy();
	});

	it("a service that refuses has its answer sent; one that is not there refuses", async () => {
		await startEcho();
		service = await startUpstream((socket) => void socket.write("HTTP/1.1 401 Unauthorized\r\ncontent-length: 4\r\nwww-authenticate: Basic\r\n\r\nhalt"));
		const refused = await get(await serve([authz]), "/");
		assert.deepEqual([statusOf(refused), bodyOf(refused), /www-authenticate: Basic/.test(refused)], [401, "halt", true]);
		service.close();
		service = undefined;
		assert.equal(statusOf(await get(await serve([authz]), "/")), 403);
		assert.deepEqual(upstream?.received, []);
	});

	it("a client that goes while a filter waits is forgotten, and the answer that comes later harms nobody", async () => {
		await startEcho();
		let answer = () => {};
		service = await startUpstream((socket) => {
			answer = () => void socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
		});
		const port = await serve([authz]);
		const client = await openClient(port);
		client.send("GET /gone HTTP/1.1\r\nhost: h\r\n\r\n");
		while (service.received.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
		client.socket.destroy();
		await new Promise((resolve) => setTimeout(resolve, 20));
		answer();
		await new Promise((resolve) => setTimeout(resolve, 20));
		assert.deepEqual(upstream?.received, []);
	});

	it("a buffered request reaches the upstream whole, with its length; one that is too large does not", async () => {
		await startEcho((text) => text.endsWith("12345"));
		const port = await serve([{ kind: "buffer", name: "b", bytesMax: 5 }]);
		const send = (body: string) =>
			exchange(port, `POST /b HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n${body.length}\r\n${body}\r\n0\r\n\r\n`);
		assert.equal(statusOf(await send("12345")), 200);
		assert.match(upstream?.received[0] ?? "", /content-length: 5\r\n[\s\S]*\r\n\r\n12345$/);
		assert.equal(statusOf(await send("123456")), 413);
	});

	it("a rate limit lets as many pass as there are tokens, for each value of an open descriptor", async () => {
		await startEcho();
		const rate = (key: string) => ({ tokensMax: 1, tokensPerFill: 1, fillIntervalMs: 3_600_000, key });
		const limit: LocalRateLimit = {
			statPrefix: "rl",
			status: 429,
			bucket: undefined,
			enabled: all,
			enforced: all,
			requestHeadersWhenNotEnforced: [],
			responseHeaders: [],
			descriptors: [{ entries: [{ key: "client", value: "" }], bucket: rate("d") }],
			stage: 0,
			perConnection: false,
			draft03Headers: false,
			virtualHostLimits: "override",
			alwaysConsumeDefault: true,
			asResourceExhausted: false,
			rateLimits: [],
			dynamicDescriptorsMax: 20,
		};
		const action = {
			...forwardTo("up"),
			rateLimits: [{ stage: 0, entries: [{ kind: "requestHeader", header: "x-c", key: "client", skipIfAbsent: false } as const] }],
		};
		const port = await serve([{ kind: "localRateLimit", name: "rl", limit }], [routeOf("/", action)]);
		const status = async (client: string) => statusOf(await get(port, "/", client === "" ? "" : `x-c: ${client}\r\n`));
		assert.deepEqual([await status("a"), await status("a"), await status("b"), await status(""), await status("")], [200, 429, 200, 200, 200]);
		const off = await serve([{ kind: "localRateLimit", name: "rl", limit: { ...limit, statPrefix: "off", enforced: never } }], [routeOf("/", action)]);
		assert.deepEqual([statusOf(await get(off, "/", "x-c: a\r\n")), statusOf(await get(off, "/", "x-c: a\r\n"))], [200, 200]);
	});

	it("gRPC-Web in base64 becomes gRPC, and its answer base64 with the trailers as last frame", async () => {
		await startEcho((text) => text.endsWith("0\r\n\r\n"));
		const frame = Buffer.from("\0\0\0\0\x02hi", "latin1");
		upstream?.close();
		upstream = await startUpstream((socket, text) => {
			if (!text.endsWith("0\r\n\r\n")) return;
			const chunk = `7\r\n${frame.toString("latin1")}\r\n`;
			socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n${chunk}0\r\ngrpc-status: 0\r\n\r\n`, "latin1");
		});
		const name = "web";
		const manager = managerOf(tableOf([routeOf("/", forwardTo("web"))]), { filters: [{ kind: "grpcWeb", name: "w" }, router] });
		const cluster = clusterOf("web", { http1: { headerCase: "lower", enableTrailers: true } });
		await proxy.apply(updateOf({ listeners: [listenerOf(name, [chainOf([manager])])], clusters: [cluster], hosts: [hostsOf("web", [upstream.port])] }));
		const body = frame.toString("base64");
		const text = await exchange(
			proxy.port(name),
			`POST /s/m HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-type: application/grpc-web-text\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
		);
		assert.match(upstream.received[0] ?? "", /content-type: application\/grpc\r\n/);
		assert.ok((upstream.received[0] ?? "").includes(frame.toString("latin1")));
		assert.match(text, /content-type: application\/grpc-web-text\+proto\r\n/);
		const sent = [...bodyOf(text).matchAll(/[0-9a-f]+\r\n([A-Za-z0-9+/=]+)\r\n/g)].map(([, part]) => part).join("");
		assert.equal(Buffer.from(sent, "base64").toString("latin1"), `${frame.toString("latin1")}\x80\0\0\0\x0fgrpc-status:0\r\n`);
	});

	it("a client with a session comes back to its host", async () => {
		await startEcho();
		const session: HttpFilter = { kind: "statefulSession", name: "s", session: { kind: "header", name: "x-host", strict: false } };
		const port = await serve([session]);
		const host = /x-host: (\S+)\r\n/.exec(await get(port, "/"))?.[1] ?? "";
		assert.equal(Buffer.from(host, "base64").toString(), `127.0.0.1:${upstream?.port}`);
		assert.doesNotMatch(await get(port, "/", `x-host: ${host}\r\n`), /x-host/);
		const strict = await serve([{ ...session, session: { kind: "header", name: "x-host", strict: true } }]);
		assert.equal(statusOf(await get(strict, "/", `x-host: ${Buffer.from("127.0.0.1:1").toString("base64")}\r\n`)), 503);
	});
});
