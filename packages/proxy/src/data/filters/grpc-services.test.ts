import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { CheckRequest, CheckResponse } from "@weft/xds/generated/envoy/service/auth/v3/external_auth.ts";
import { RateLimitRequest, RateLimitResponse } from "@weft/xds/generated/envoy/service/ratelimit/v3/rls.ts";
import type { HttpFilter } from "../../config/http-filters.ts";
import type { NetworkFilter } from "../../config/network-filters.ts";
import { frameMessage } from "../../grpc/message-reader.ts";
import { type Http2Server, readAll, startHttp2Server } from "../http/http2-test-peers.ts";
import { ok, type RecordingUpstream, startUpstream } from "../http/test-peers.ts";
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

const always = { numerator: 100, denominator: 100 } as const;
const service = { cluster: "service", authority: "service", timeoutMs: 300, metadata: [] } as const;
const router: HttpFilter = { kind: "router", name: "router", suppressEnvoyHeaders: false };
const authz = (failureModeAllow = false): HttpFilter => ({
	kind: "extAuthz",
	name: "authz",
	authz: {
		service: { kind: "grpc", service, metadataNamespaces: [], sendsPeerCertificate: false, sendsServerName: false, sendsRawHeaders: false },
		failureModeAllow,
		failureModeAllowHeaderAdd: false,
		body: undefined,
		clearRouteCache: false,
		statusOnError: 403,
		enabled: always,
		enabledMetadata: undefined,
		denyAtDisable: { value: false },
		statPrefix: "",
		allowedHeaders: [],
		disallowedHeaders: [],
	},
});
const limit: HttpFilter = {
	kind: "rateLimit",
	name: "limit",
	limit: {
		service,
		domain: "d",
		stage: 0,
		requestType: "both",
		failureModeDeny: false,
		asResourceExhausted: false,
		draft03Headers: false,
		hidesRateLimitedHeader: false,
		status: 429,
		responseHeaders: [],
		statusOnError: 500,
		statPrefix: "",
		rateLimits: [],
	},
};
const tcpProxyOf = (name: string): NetworkFilter => ({
	kind: "tcpProxy",
	statPrefix: "t",
	cluster: { kind: "cluster", name },
	metadataMatch: undefined,
	logsWhenConnected: false,
	logIntervalMs: 0,
	idleTimeoutMs: 0,
	connectAttemptsMax: 1,
	maxDownstreamConnectionDurationMs: 0,
	hashPolicies: [],
	tunnel: undefined,
	accessLogs: [],
});
const connectionAuthz: NetworkFilter = {
	kind: "extAuthz",
	statPrefix: "az",
	service,
	failureModeAllow: false,
	enabledMetadata: undefined,
	sendsPeerCertificate: false,
	sendsServerName: false,
};

/** What filters ask of services over the pools of this worker; that they agree with Envoy is for e2e/differential. */
describe("services that filters ask over gRPC", () => {
	let proxy: Standalone;
	let upstream: RecordingUpstream;
	let server: Http2Server;
	let held = 0;
	let reset = 0;
	let names = 0;

	const answers = (path: string, text: string): Uint8Array | "silence" | "garbage" => {
		if (text === "silent") return "silence";
		if (text === "garbage") return "garbage";
		if (path.endsWith("ShouldRateLimit")) return RateLimitResponse.encode(RateLimitResponse.fromPartial({ overallCode: text === "no" ? 2 : 1 })).finish();
		return CheckResponse.encode(CheckResponse.fromPartial({ status: { code: text === "no" ? 7 : 0 } })).finish();
	};
	/** The service does as the last part of the path says, or the limit's descriptor. */
	const wanted = (path: string, body: Buffer): string => {
		if (path.endsWith("ShouldRateLimit")) return RateLimitRequest.decode(body.subarray(5)).descriptors[0]?.entries[0]?.value.slice(1) ?? "";
		return CheckRequest.decode(body.subarray(5)).attributes?.request?.http?.path.slice(1) ?? mode;
	};
	let mode = "yes";

	before(async () => {
		proxy = await startStandalone();
		upstream = await startUpstream((socket, text) => socket.write(text.startsWith("tcp") ? "tcp back" : ok("up")));
		server = await startHttp2Server((stream, headers) => {
			stream.on("close", () => stream.rstCode === 2 && reset++);
			void readAll(stream).then(
				(body) => {
					const path = String(headers[":path"]);
					const answer = answers(path, wanted(path, body));
					if (answer === "silence") return void held++;
					stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
					stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
					stream.end(frameMessage(answer === "garbage" ? Buffer.from([0xff, 0xff]) : answer));
				},
				() => {},
			);
		});
	});
	after(async () => {
		server.close();
		upstream.close();
		await proxy.close();
	});

	async function serve(filters: readonly NetworkFilter[]): Promise<number> {
		const name = `l${++names}`;
		const clusters = [clusterOf("up"), clusterOf("service", { upstreamProtocol: "http2" })];
		const hosts = [hostsOf("up", [upstream.port]), hostsOf("service", [server.port])];
		await proxy.apply(updateOf({ listeners: [listenerOf(name, [chainOf(filters)])], clusters, hosts }));
		return proxy.port(name);
	}
	const describedByPath = [{ stage: 0, entries: [{ kind: "requestHeader", header: ":path", key: "p", skipIfAbsent: false }] }] as const;
	const serveHttp = (filter: HttpFilter) => {
		const route = routeOf("/", { ...forwardTo("up"), rateLimits: describedByPath });
		return serve([managerOf(tableOf([route], `t${names}`), { filters: [filter, router], statPrefix: `s${names}` })]);
	};

	function talk(port: number, text: string, endAfter?: Promise<void>): Promise<string> {
		return new Promise((resolve) => {
			let heard = "";
			const socket = connect({ port, host: "127.0.0.1" }, () => socket.write(text));
			socket.on("data", (bytes) => {
				heard += bytes.toString("latin1");
				if (/\r\n\r\n|back/.test(heard)) socket.destroy();
			});
			socket.on("error", () => {});
			socket.on("close", () => resolve(heard));
			void endAfter?.then(() => socket.destroy());
		});
	}
	const statusOf = async (port: number, path: string) => (await talk(port, `GET /${path} HTTP/1.1\r\nhost: h\r\n\r\n`)).slice(9, 12);

	for (const [path, status] of [
		["yes", "200"],
		["no", "403"],
		["silent", "403"],
		["garbage", "403"],
	] as const) {
		it(`authorization: ${path}`, async () => assert.equal(await statusOf(await serveHttp(authz()), path), status));
	}
	for (const [path, status] of [
		["no", "403"],
		["silent", "200"],
		["garbage", "200"],
	] as const) {
		it(`authorization that may fail: ${path}`, async () => assert.equal(await statusOf(await serveHttp(authz(true)), path), status));
	}
	for (const [path, status] of [
		["yes", "200"],
		["no", "429"],
		["silent", "200"],
		["garbage", "200"],
	] as const) {
		it(`limits: ${path}`, async () => assert.equal(await statusOf(await serveHttp(limit), path), status));
	}

	it("a question whose asker has gone is taken back", async () => {
		const port = await serveHttp(authz());
		const before = { held, reset };
		const waiting = (async () => {
			while (held === before.held) await new Promise((resolve) => setTimeout(resolve, 5));
		})();
		assert.equal(await talk(port, "GET /silent HTTP/1.1\r\nhost: h\r\n\r\n", waiting), "");
		while (reset === before.reset) await new Promise((resolve) => setTimeout(resolve, 5));
	});

	it("a connection waits for its verdict, and what it has sent meanwhile arrives", async () => {
		const port = await serve([connectionAuthz, tcpProxyOf("up")]);
		mode = "yes";
		assert.equal(await talk(port, "tcp hello"), "tcp back");
		mode = "no";
		assert.equal(await talk(port, "tcp hello"), "");
		mode = "silent";
		assert.equal(await talk(port, "tcp hello"), "");
	});
});
