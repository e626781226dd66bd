import assert from "node:assert/strict";
import { createServer, get } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import { after, test } from "node:test";
import { ExportLogsServiceRequest } from "@weft/xds/generated/opentelemetry/proto/collector/logs/v1/logs_service.ts";
import { ExportTraceServiceRequest } from "@weft/xds/generated/opentelemetry/proto/collector/trace/v1/trace_service.ts";
import type { AccessLog } from "../../config/access-logs.ts";
import type { HttpConnectionManager } from "../../config/http-connection-manager.ts";
import { RuntimeValues } from "../../config/runtime-values.ts";
import type { TelemetryService, Tracing } from "../../config/telemetry.ts";
import { RequestHead } from "../codec/request-head.ts";
import { createHeaders } from "../headers/headers-view.ts";
import { chainOf, clusterOf, forwardTo, hostsOf, listenerOf, managerOf, routeOf, startStandalone, tableOf, updateOf } from "../worker/standalone.ts";
import { randomId } from "./span.ts";
import { readB3, readW3c, writeB3, writeW3c } from "./trace-context.ts";
import { decideTrace } from "./trace-decision.ts";

const tracing: Tracing = {
	clientSampling: 10_000,
	randomSampling: 10_000,
	overallSampling: 10_000,
	verbose: false,
	pathTagLengthMax: 256,
	customTags: [],
	spawnUpstreamSpan: false,
	provider: undefined,
	packTraceReason: true,
	samplesByRequestId: true,
};

test("whether a request is traced", () => {
	// The first eight digits make 0x00000bb8 = 3 000: sampled from a share of 30.01 % on.
	const id = "00000bb8-0000-4000-8000-000000000000";
	const cases: readonly (readonly [
		headers: Readonly<Record<string, string>>,
		config: Partial<Tracing>,
		reason: string | undefined,
		digit: string | undefined,
	])[] = [
		[{ "x-request-id": id }, {}, "sampled", "9"],
		[{ "x-request-id": id }, { randomSampling: 3_000 }, "notTraceable", "4"],
		[{ "x-request-id": id }, { randomSampling: 3_001 }, "sampled", "9"],
		[{ "x-request-id": id }, { overallSampling: 3_000 }, "notTraceable", "4"],
		[{ "x-request-id": id, "x-client-trace-id": "a" }, { randomSampling: 0 }, "clientForced", "b"],
		[{ "x-request-id": id, "x-client-trace-id": "a" }, { randomSampling: 0, clientSampling: 0 }, "notTraceable", "4"],
		[{ "x-request-id": id, "x-envoy-force-trace": "1" }, { randomSampling: 0 }, "serviceForced", "a"],
		[{ "x-request-id": id.replace("-4", "-9") }, { randomSampling: 0 }, "sampled", "9"],
		[{ "x-request-id": id.replace("-4", "-a") }, { randomSampling: 0, overallSampling: 0 }, "notTraceable", "4"],
		[{ "x-request-id": id }, { packTraceReason: false }, "sampled", "4"],
		// Dice of 0.5 instead of the request id.
		[{ "x-request-id": id }, { samplesByRequestId: false, randomSampling: 5_000 }, "notTraceable", "4"],
		[{ "x-request-id": id }, { samplesByRequestId: false, randomSampling: 5_001 }, "sampled", "9"],
		[{ "x-request-id": "not a uuid" }, {}, undefined, undefined],
		[{}, {}, undefined, undefined],
	];
	for (const [headers, config, reason, digit] of cases) {
		const head = new RequestHead();
		for (const [name, value] of Object.entries(headers)) head.append(name, value);
		assert.equal(
			decideTrace(head, { ...tracing, ...config }, undefined, () => 0.5, new RuntimeValues()),
			reason,
			JSON.stringify([headers, config]),
		);
		if (digit !== undefined) assert.equal(head.get("x-request-id")?.[14], digit, JSON.stringify([headers, config]));
	}
});

test("trace contexts that callers send", () => {
	const trace = "463ac35c9f6413ad48485a3953bb6124";
	const span = "a2fb4a1d1a96d312";
	const cases: readonly (readonly [headers: Readonly<Record<string, string>>, seen: string])[] = [
		[{ "x-b3-traceid": trace, "x-b3-spanid": span, "x-b3-sampled": "1" }, `b3 ${trace} ${span} - true`],
		[{ "x-b3-traceid": trace.slice(16).toUpperCase(), "x-b3-spanid": "1", "x-b3-flags": "1" }, `b3 ${trace.slice(16)} 0000000000000001 - true`],
		[{ "x-b3-sampled": "0" }, "b3   - false"],
		[{ "x-b3-traceid": "xyz", "x-b3-spanid": span }, "none"],
		[{ b3: `${trace}-${span}-1-${span}` }, `b3single ${trace} ${span} ${span} true`],
		[{ b3: `${trace}-${span}` }, `b3single ${trace} ${span} - undefined`],
		[{ b3: "d" }, "b3single   - true"],
		[{ b3: "nonsense-1" }, "none"],
		[{ traceparent: `00-${trace}-${span}-01`, tracestate: "a=b" }, `w3c ${trace} ${span} - true`],
		[{ traceparent: `01-${trace}-${span}-00-more` }, `w3c ${trace} ${span} - false`],
		[{ traceparent: `00-${trace}-${span}-01-more` }, "none"],
		[{ traceparent: `ff-${trace}-${span}-01` }, "none"],
		[{ traceparent: `00-${"0".repeat(32)}-${span}-01` }, "none"],
	];
	for (const [headers, seen] of cases) {
		const context = readB3(createHeaders(headers)) ?? readW3c(createHeaders(headers));
		const text = context && `${context.format} ${context.traceId} ${context.spanId} ${context.parentId || "-"} ${context.isSampled}`;
		assert.equal(text ?? "none", seen, JSON.stringify(headers));
	}
});

test("trace contexts that upstreams get", () => {
	const context = { traceId: "48485a3953bb6124", spanId: "a2fb4a1d1a96d312", parentId: "", isSampled: true, state: "a=b" };
	const head = createHeaders({ "x-b3-parentspanid": "stale" });
	writeB3(head, context, false);
	writeW3c(head, context);
	writeB3(head, { ...context, parentId: "1".repeat(16), isSampled: false }, true);
	assert.deepEqual(Object.fromEntries(head.entries()), {
		"x-b3-traceid": "48485a3953bb6124",
		"x-b3-spanid": "a2fb4a1d1a96d312",
		"x-b3-sampled": "1",
		traceparent: "00-000000000000000048485a3953bb6124-a2fb4a1d1a96d312-01",
		tracestate: "a=b",
		b3: `48485a3953bb6124-a2fb4a1d1a96d312-0-${"1".repeat(16)}`,
	});
	assert.notEqual(
		randomId(() => 0, 16),
		"0".repeat(16),
	);
});

const portOf = (server: Server) => (server.address() as AddressInfo).port;

test("OTLP over gRPC: spans and log records reach a collector that speaks only HTTP/2", async () => {
	const received = new Map<string, Buffer>();
	let onReceived = () => {};
	const collector = createHttp2Server();
	// node:http2 gives the stream of a server, and its types a stream of either side.
	collector.on("stream", (either, headers) => {
		const stream = either as ServerHttp2Stream;
		const pieces: Buffer[] = [];
		stream.on("data", (piece: Buffer) => pieces.push(piece));
		stream.on("end", () => {
			received.set(String(headers[":path"]), Buffer.concat(pieces));
			stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
			stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
			stream.end(Buffer.from([0, 0, 0, 0, 0]));
			onReceived();
		});
	});
	const upstream = createServer((_, response) => response.end("ok"));
	await Promise.all([collector, upstream].map((server) => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))));
	const proxy = await startStandalone("net");
	after(async () => {
		await proxy.close();
		collector.close();
		upstream.close().closeAllConnections();
	});
	const service: TelemetryService = { kind: "grpc", cluster: "collector", authority: "collector", path: "", timeoutMs: 1_000, headers: ["x-token", "secret"] };
	const log: AccessLog = {
		kind: "openTelemetry",
		service,
		logName: "log",
		flushMs: 20,
		hasBuiltinLabels: true,
		resource: { team: "blue" },
		body: "%REQ(:PATH)% %RESPONSE_CODE%",
		attributes: { method: "%REQ(:METHOD)%", answer: 42, span: "%SPAN_ID%" },
		statPrefix: "",
		filter: { kind: "grpcStatus", statuses: [2], exclude: false },
	};
	const manager: Partial<HttpConnectionManager> = {
		accessLogs: [log],
		tracing: { ...tracing, provider: { kind: "openTelemetry", service, serviceName: "svc", resource: {}, samplesAll: false } },
	};
	const table = tableOf([routeOf("/", forwardTo("upstream"))]);
	await proxy.apply(
		updateOf({
			listeners: [listenerOf("listener", [chainOf([managerOf(table, manager)])])],
			clusters: [clusterOf("upstream"), clusterOf("collector", { upstreamProtocol: "http2" })],
			hosts: [hostsOf("upstream", [portOf(upstream)]), hostsOf("collector", [portOf(collector)])],
		}),
	);
	const all = new Promise<void>((resolve) => {
		onReceived = () => received.size === 2 && resolve();
	});
	for (let i = 0; i < 5; i++) {
		await new Promise((resolve) => get({ port: proxy.port("listener"), path: "/hello", agent: false }, (response) => response.resume().on("end", resolve)));
	}
	await all;
	const take = (path: string) => {
		const framed = received.get(path) as Buffer;
		assert.equal(framed.readUInt32BE(1), framed.length - 5);
		return framed.subarray(5);
	};
	const spans = ExportTraceServiceRequest.decode(take("/opentelemetry.proto.collector.trace.v1.TraceService/Export"));
	const logs = ExportLogsServiceRequest.decode(take("/opentelemetry.proto.collector.logs.v1.LogsService/Export"));
	const reported = spans.resourceSpans[0]?.scopeSpans[0]?.spans ?? [];
	const [record] = logs.resourceLogs[0]?.scopeLogs[0]?.logRecords ?? [];
	assert.equal(reported.length, 5);
	assert.equal(record?.body?.stringValue, "/hello 200");
	const attributes = new Map(record?.attributes.map(({ key, value }) => [key, value?.stringValue ?? value?.intValue]));
	assert.deepEqual([attributes.get("method"), attributes.get("answer")], ["GET", 42n]);
	// The records may come in several reports, of which this is the last.
	const hex = (id: Uint8Array | undefined) => Buffer.from(id ?? []).toString("hex");
	assert.ok(reported.some(({ spanId, traceId }) => hex(traceId) === hex(record?.traceId) && hex(spanId) === attributes.get("span")));
	assert.ok(logs.resourceLogs[0]?.resource?.attributes.some(({ key, value }) => key === "team" && value?.stringValue === "blue"));
});
