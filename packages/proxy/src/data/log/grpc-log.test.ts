import assert from "node:assert/strict";
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { StreamAccessLogsMessage } from "@weft/xds/generated/envoy/service/accesslog/v3/als.ts";
import type { GrpcAccessLog } from "../../config/access-logs.ts";
import { get, statusOf } from "../http/test-peers.ts";
import { createHeaders, createRequestView } from "../headers/headers-view.ts";
import { chainOf, clusterOf, hostsOf, listenerOf, managerOf, routeOf, type Standalone, startStandalone, tableOf, updateOf } from "../worker/standalone.ts";
import { buildHttpEntry, buildTcpEntry } from "./grpc-log-entry.ts";
import { responseFlags } from "./response-flags.ts";
import { createConnectionInfo, createStreamInfo, type TlsInfo } from "./stream-info.ts";

const options = { requestHeaders: ["x-a"], responseHeaders: [], responseTrailers: [], filterState: ["state", "number", "plain"], customTags: [] };

test("an entry of a request over mutual TLS", () => {
	const tls: TlsInfo = {
		version: "TLSv1.3",
		cipher: "TLS_AES_128_GCM_SHA256",
		sessionId: "ab",
		peerUriSans: ["spiffe://a"],
		peerDnsSans: ["a.example"],
		peerIpSans: [],
		peerEmailSans: [],
		peerSubject: "CN=a",
		peerIssuer: "CN=ca",
		peerSerial: "1",
		peerFingerprint256: "",
		peerFingerprint1: "",
		peerCertificatePem: "",
		peerValidFromMs: 0,
		peerValidToMs: 0,
		localUriSans: ["spiffe://b"],
		localDnsSans: [],
		localIpSans: [],
		localEmailSans: [],
		localSubject: "CN=b",
	};
	const info = createStreamInfo(createConnectionInfo({ remoteAddress: "[::1]:7", localAddress: "/run/pipe", requestedServerName: "b.example", tls }));
	Object.assign(info, { startAt: 1000, startTimeMs: 1_700_000_000_250, endAt: 3500.5, responseCode: 403, upstreamFirstSentAt: 1000.25 });
	info.request = createRequestView({ method: "PUT", path: "/p", headers: { "x-a": "1", "x-b": "2", "x-request-id": "id" } });
	info.response = createHeaders({});
	info.responseFlags = responseFlags.UAEX | responseFlags.DC;
	info.filterState = new Map([
		["state", { text: "text", kind: "text" }],
		["number", { text: "300", kind: "number" }],
		["plain", { text: "text", kind: "plain" }],
	]);
	const { commonProperties: common, request, response } = buildHttpEntry(info, options);
	assert.deepEqual(common?.downstreamRemoteAddress, { socketAddress: { address: "::1", portValue: 7 } });
	assert.deepEqual(common?.downstreamLocalAddress, { pipe: { path: "/run/pipe" } });
	assert.deepEqual(common?.tlsProperties, {
		tlsVersion: 4,
		tlsCipherSuite: 0x1301,
		tlsSniHostname: "b.example",
		tlsSessionId: "ab",
		localCertificateProperties: { subjectAltName: [{ uri: "spiffe://b" }], subject: "CN=b" },
		peerCertificateProperties: { subjectAltName: [{ uri: "spiffe://a" }], subject: "CN=a", issuer: "CN=ca" },
	});
	assert.deepEqual(common?.startTime, { seconds: 1_700_000_000n, nanos: 250_000_000 });
	assert.deepEqual(common?.duration, { seconds: 2n, nanos: 500_500_000 });
	assert.deepEqual(common?.timeToFirstUpstreamTxByte, { seconds: 0n, nanos: 250_000 });
	assert.equal(common?.timeToLastRxByte, undefined);
	assert.deepEqual(common?.responseFlags, { unauthorizedDetails: { reason: 1 }, downstreamConnectionTermination: true });
	assert.deepEqual(Buffer.from((common?.filterStateObjects?.["number"]?.value ?? []) as Uint8Array), Buffer.from([0x08, 0xac, 0x02]));
	assert.equal(common?.filterStateObjects?.["plain"], undefined);
	assert.deepEqual(Buffer.from((common?.filterStateObjects?.["state"]?.value ?? []) as Uint8Array), Buffer.from("\n\u0004text"));
	assert.equal(common?.streamId, "id");
	assert.deepEqual([request?.requestMethod, request?.requestHeaders, response?.responseCode], [4, { "x-a": "1" }, 403]);
});

test("a TCP connection's entry has an id of its own, and its bytes", () => {
	const info = createStreamInfo(createConnectionInfo());
	Object.assign(info, { bytesReceived: 5, bytesSent: 7 });
	const entry = buildTcpEntry(info, options);
	assert.deepEqual(entry.connectionProperties, { receivedBytes: 5n, sentBytes: 7n });
	assert.match(entry.commonProperties?.streamId ?? "", /^[0-9a-f-]{36}$/);
	assert.equal(buildTcpEntry(info, options).commonProperties?.streamId, entry.commonProperties?.streamId);
});

interface Service {
	readonly server: Http2Server;
	readonly streams: ServerHttp2Stream[];
	readonly messages: StreamAccessLogsMessage[];
	readonly port: number;
}

/** `reads`: what comes is taken; else the client's window fills up. */
async function startService(reads: boolean): Promise<Service> {
	const server = createHttp2Server({ settings: { initialWindowSize: 1_000 } });
	const streams: ServerHttp2Stream[] = [];
	const messages: StreamAccessLogsMessage[] = [];
	server.on("stream", (either) => {
		const stream = either as ServerHttp2Stream;
		streams.push(stream);
		stream.on("error", () => undefined);
		stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
		stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
		let rest: Buffer = Buffer.alloc(0);
		if (!reads) return;
		stream.on("data", (piece: Buffer) => {
			rest = Buffer.concat([rest, piece]);
			while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
				const end = 5 + rest.readUInt32BE(1);
				messages.push(StreamAccessLogsMessage.decode(rest.subarray(5, end)));
				rest = rest.subarray(end);
			}
		});
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return { server, streams, messages, port: (server.address() as AddressInfo).port };
}

const logTo = (parts: Partial<GrpcAccessLog> = {}): GrpcAccessLog => ({
	kind: "grpc",
	protocol: "http",
	service: { cluster: "logs", authority: "logs", timeoutMs: 0, metadata: [["x-token", "secret"]] },
	logName: "log",
	flushMs: 10,
	bufferBytes: 16_384,
	requestHeaders: [],
	responseHeaders: [],
	responseTrailers: [],
	filterState: [],
	customTags: [],
	filter: undefined,
	...parts,
});

async function start(service: Service, log: GrpcAccessLog, listeners = ["listener"]): Promise<Standalone> {
	const proxy = await startStandalone("net");
	const table = tableOf([routeOf("/", { kind: "direct", status: 200, body: Buffer.from("ok") })]);
	await proxy.apply(
		updateOf({
			listeners: listeners.map((name) => listenerOf(name, [chainOf([managerOf(table, { accessLogs: [log] })])])),
			clusters: [clusterOf("logs", { upstreamProtocol: "http2" })],
			hosts: [hostsOf("logs", [service.port])],
		}),
	);
	after(async () => {
		await proxy.close();
		for (const stream of service.streams) stream.destroy();
		service.server.close();
	});
	return proxy;
}

const counterOf = (proxy: Standalone, wanted: string) => {
	const blocks = proxy.worker.context.stats.dump().counters.filter(({ prefix }) => prefix === "access_logs.grpc_access_log.");
	return blocks.flatMap(({ names, values }) => names.map((name, i) => ({ name, value: values[i] ?? 0 }))).find(({ name }) => name === wanted)?.value ?? 0;
};

async function until(isTrue: () => boolean): Promise<void> {
	for (const end = performance.now() + 20_000; !isTrue(); await sleep(5)) assert.ok(performance.now() < end, "it did not come to that");
}

const pathsOf = ({ messages }: Service) => messages.flatMap(({ httpLogs }) => httpLogs?.logEntry.map(({ request }) => request?.path) ?? []);

test("listeners with the same log share a stream; one that ended is opened again", async () => {
	const service = await startService(true);
	const proxy = await start(service, logTo(), ["a", "b"]);
	await get(proxy.port("a"), "/a");
	await get(proxy.port("b"), "/b");
	await until(() => pathsOf(service).length === 2);
	assert.equal(service.streams.length, 1);
	service.streams[0]?.end();
	await until(() => service.streams[0]?.closed === true);
	// The end is on its way: what is sent before it is noticed is lost, as everything under way.
	while (!pathsOf(service).includes("/again")) {
		await get(proxy.port("a"), "/again");
		await sleep(20);
	}
	assert.equal(service.streams.length, 2);
	assert.deepEqual(
		service.messages.flatMap(({ identifier }) => (identifier === undefined ? [] : [identifier.logName])),
		["log", "log"],
	);
});

test("a service that does not read costs entries, not requests", async () => {
	const service = await startService(false);
	const proxy = await start(service, logTo({ bufferBytes: 400 }));
	// The peer's window and ours in front of it fill up; then the buffer does.
	for (let i = 0; counterOf(proxy, "logs_dropped") === 0; i++) {
		assert.ok(i < 5_000, "nothing was dropped");
		assert.equal(statusOf(await get(proxy.port("listener"), `/${"x".repeat(2_000)}`)), 200);
	}
	assert.ok(counterOf(proxy, "logs_written") > 0);
	for (let i = 0; i < 10; i++) assert.equal(statusOf(await get(proxy.port("listener"), "/")), 200);
});

test("a log whose cluster is not there loses its entries, and says so", async () => {
	const service = await startService(true);
	const proxy = await start(service, logTo({ service: { cluster: "absent", authority: "absent", timeoutMs: 0, metadata: [] }, bufferBytes: 0 }));
	assert.equal(statusOf(await get(proxy.port("listener"), "/")), 200);
	await until(() => counterOf(proxy, "grpc_entries_flush_failed") === 1);
});
