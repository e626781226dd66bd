import type { ExportTraceServiceRequest } from "@weft/xds/generated/opentelemetry/proto/collector/trace/v1/trace_service.ts";
import type { KeyValue } from "@weft/xds/generated/opentelemetry/proto/common/v1/common.ts";
import { version } from "../../config/version.ts";
import type { TracingProvider } from "../../config/telemetry.ts";
import type { WorkerContext } from "../worker/context.ts";
import { BatchSender } from "./batch-sender.ts";
import { randomId, type Span } from "./span.ts";
import { readW3c, writeW3c } from "./trace-context.ts";
import type { Tracer } from "./tracer.ts";

type OpenTelemetry = Extract<TracingProvider, { readonly kind: "openTelemetry" }>;

const method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const spansMin = 5;
const flushMs = 5_000;

/** Loaded by those whose configuration asks for it: most sidecars never do. */
const loadMessages = () => import("@weft/xds/generated/opentelemetry/proto/collector/trace/v1/trace_service.ts");

/** W3C's trace context between the proxies, and spans as OTLP (https://opentelemetry.io/docs/specs/otlp/). */
export function createOpenTelemetryTracer(config: OpenTelemetry, context: WorkerContext): Tracer {
	const scope = context.stats.openScope("tracing.opentelemetry.");
	const count = (at: number, by: number) => {
		const { counters } = context.stats;
		counters[at] = (counters[at] as number) + by;
	};
	const sent = scope.counter("spans_sent");
	const dropped = scope.counter("spans_dropped");
	const timerFlushed = scope.counter("timer_flushed");
	let messages: Awaited<ReturnType<typeof loadMessages>> | undefined;
	void loadMessages().then((loaded) => (messages = loaded));
	const resource = attributesOf({
		"telemetry.sdk.language": "nodejs",
		"telemetry.sdk.name": "weft-proxy",
		"telemetry.sdk.version": version,
		...config.resource,
		"service.name": config.serviceName,
	});
	const describe = (spans: readonly Span[]): ExportTraceServiceRequest => ({
		resourceSpans: [{ resource: { attributes: resource }, scopeSpans: [{ scope: { name: "weft-proxy", version }, spans: spans.map(otlpSpan) }] }],
	});
	const isHttp = config.service.kind === "http";
	const sender = new BatchSender<Span>(context, {
		service: config.service,
		path: isHttp ? config.service.path : method,
		headers: isHttp ? ["content-type", "application/x-protobuf", "user-agent", `OTel-OTLP-Exporter-weft-proxy/${version}`] : [],
		get itemsMin() {
			return context.runtime.integer("tracing.opentelemetry.min_flush_spans", spansMin);
		},
		get flushMs() {
			return context.runtime.integer("tracing.opentelemetry.flush_interval_ms", flushMs);
		},
		encode: (spans) => messages && Buffer.from(messages.ExportTraceServiceRequest.encode(describe(spans)).finish()),
		onEvent(event, items) {
			if (event === "sent") count(sent, items);
			else if (event === "timerFlushed") count(timerFlushed, 1);
			else if (event === "dropped") count(dropped, items);
		},
	});
	return {
		start(head, { startUs, isTraced, isServer, authority }) {
			const caller = readW3c(head);
			return {
				traceId: caller?.traceId ?? randomId(context.random, 32),
				spanId: randomId(context.random, 16),
				parentId: caller?.spanId ?? "",
				isSampled: config.samplesAll || (isTraced && caller?.isSampled !== false),
				kind: isServer ? "server" : "client",
				isShared: false,
				isParentRemote: caller !== undefined,
				state: caller?.state ?? "",
				name: isServer ? "ingress" : `egress ${authority}`,
				startUs,
				durationUs: 0,
				isError: false,
				tags: [],
				events: [],
			};
		},
		spawn(parent, name, startUs) {
			const own = { spanId: randomId(context.random, 16), parentId: parent.spanId, kind: "client", isParentRemote: false } as const;
			return { ...parent, ...own, name, startUs, durationUs: 0, isError: false, tags: [], events: [] };
		},
		inject: (span, head) => writeW3c(head, span),
		report: (span) => sender.add(span),
		close() {
			sender.close();
			scope.close();
		},
	};
}

function attributesOf(values: Readonly<Record<string, string>>): KeyValue[] {
	return Object.entries(values).map(([key, stringValue]) => ({ key, value: { stringValue } }));
}

/** trace_flags in the low byte; then: whether it is known that the parent is remote, and whether it is. */
const flagBits = { sampled: 0x1, knowsRemote: 0x100, remote: 0x200 } as const;
const kinds = { server: 2, client: 3 } as const;
const error = { message: "", code: 2 } as const;

function otlpSpan(span: Span) {
	const ns = (us: number): bigint => BigInt(Math.round(us)) * 1000n;
	return {
		traceId: Buffer.from(span.traceId, "hex"),
		spanId: Buffer.from(span.spanId, "hex"),
		traceState: span.state,
		parentSpanId: Buffer.from(span.parentId, "hex"),
		flags: flagBits.sampled | flagBits.knowsRemote | (span.isParentRemote ? flagBits.remote : 0),
		name: span.name,
		kind: kinds[span.kind],
		startTimeUnixNano: ns(span.startUs),
		endTimeUnixNano: ns(span.startUs + span.durationUs),
		attributes: span.tags.map(([key, stringValue]) => ({ key, value: { stringValue } })),
		events: span.events.map(([name, atUs]) => ({ name, timeUnixNano: ns(atUs) })),
		status: span.isError ? error : undefined,
	};
}
