import { networkInterfaces } from "node:os";
import type { TracingProvider } from "../../config/telemetry.ts";
import type { WorkerContext } from "../worker/context.ts";
import { type BatchEvent, BatchSender } from "./batch-sender.ts";
import { randomId, type Span } from "./span.ts";
import { readB3, readW3c, writeB3, writeW3c } from "./trace-context.ts";
import type { Tracer } from "./tracer.ts";

type Zipkin = Extract<TracingProvider, { readonly kind: "zipkin" }>;

// Envoy's: five spans, or what there is after five seconds.
const spansMin = 5;
const flushMs = 5_000;

/** B3 between the proxies, and spans as JSON of Zipkin's second API (https://zipkin.io/zipkin-api/#/default/post_spans). */
export function createZipkinTracer(config: Zipkin, context: WorkerContext): Tracer {
	const endpoint = { serviceName: context.node.cluster, ...ownAddress(), port: 0 };
	const scope = context.stats.openScope("tracing.zipkin.");
	const count = counter(context, scope);
	const sender = new BatchSender<Span>(context, {
		service: config.service,
		path: config.service.path,
		headers: ["content-type", "application/json"],
		get itemsMin() {
			return context.runtime.integer("tracing.zipkin.min_flush_spans", spansMin);
		},
		get flushMs() {
			return context.runtime.integer("tracing.zipkin.flush_interval_ms", flushMs);
		},
		encode: (spans) => Buffer.from(JSON.stringify(spans.map((span) => zipkinSpan(span, endpoint)))),
		onEvent: (event, items) => count[event](items),
	});
	/** Spans whose caller spoke B3 in one header; it is answered likewise. */
	const single = new WeakSet<Span>();
	return {
		start(head, { startUs, isTraced, isServer, authority }) {
			const caller = readB3(head) ?? (config.withW3c ? readW3c(head) : undefined);
			const isShared = isServer && config.sharesSpans;
			const joins = isShared && caller !== undefined && caller.traceId !== "" && caller.format !== "w3c";
			const traceId = caller?.traceId || randomId(context.random, config.has128BitTraceIds ? 32 : 16);
			const isRoot = caller === undefined || caller.traceId === "";
			const span: Span = {
				traceId,
				spanId: joins ? caller.spanId : isRoot ? traceId.slice(-16) : randomId(context.random, 16),
				parentId: joins ? caller.parentId : (caller?.spanId ?? ""),
				isSampled: caller?.isSampled ?? isTraced,
				kind: isServer ? "server" : "client",
				isShared,
				isParentRemote: !isRoot,
				state: caller?.state ?? "",
				name: authority,
				startUs,
				durationUs: 0,
				isError: false,
				tags: [],
				events: [],
			};
			if (caller?.format === "b3single") single.add(span);
			return span;
		},
		spawn(parent, name, startUs) {
			const own = { spanId: randomId(context.random, 16), parentId: parent.spanId, kind: "client", isShared: false, isParentRemote: false } as const;
			const span: Span = { ...parent, ...own, name, startUs, durationUs: 0, isError: false, tags: [], events: [] };
			if (single.has(parent)) single.add(span);
			return span;
		},
		inject(span, head) {
			writeB3(head, span, single.has(span));
			if (config.withW3c) writeW3c(head, span);
		},
		report: (span) => sender.add(span),
		close() {
			sender.close();
			scope.close();
		},
	};
}

function counter(context: WorkerContext, scope: ReturnType<WorkerContext["stats"]["openScope"]>): Readonly<Record<BatchEvent, (by: number) => void>> {
	const of = (name: string) => {
		const at = scope.counter(name);
		return (by: number) => {
			const { counters } = context.stats;
			counters[at] = (counters[at] as number) + by;
		};
	};
	return {
		sent: of("spans_sent"),
		timerFlushed: of("timer_flushed"),
		reported: of("reports_sent"),
		noCluster: of("reports_skipped_no_cluster"),
		failed: of("reports_failed"),
		dropped: of("reports_dropped"),
	};
}

interface Endpoint {
	readonly serviceName: string;
	readonly ipv4?: string;
	readonly ipv6?: string;
	readonly port: number;
}

/** The first address of this machine that others can see. */
function ownAddress(): { readonly ipv4?: string; readonly ipv6?: string } {
	const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
	const own = addresses.find(({ family, internal }) => family === "IPv4" && !internal) ?? addresses.find(({ internal }) => !internal);
	if (own === undefined) return { ipv4: "127.0.0.1" };
	return own.family === "IPv4" ? { ipv4: own.address } : { ipv6: own.address };
}

function zipkinSpan(span: Span, localEndpoint: Endpoint): object {
	const endUs = span.startUs + span.durationUs;
	const over = { timestamp: endUs, value: span.kind === "client" ? "cr" : "ss" };
	return {
		traceId: span.traceId,
		name: span.name,
		id: span.spanId,
		...(span.parentId === "" ? {} : { parentId: span.parentId }),
		kind: span.kind === "client" ? "CLIENT" : "SERVER",
		timestamp: span.startUs,
		duration: Math.max(1, span.durationUs),
		localEndpoint,
		annotations: [...span.events.map(([value, timestamp]) => ({ timestamp, value })), over],
		tags: Object.fromEntries(span.tags.filter(([, value]) => value !== "")),
		...(span.isShared ? { shared: true } : {}),
	};
}
