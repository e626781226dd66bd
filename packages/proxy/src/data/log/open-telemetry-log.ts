import type { AnyValue, KeyValue } from "@weft/xds/generated/opentelemetry/proto/common/v1/common.ts";
import type { LogTemplate, OpenTelemetryAccessLog } from "../../config/access-logs.ts";
import { version } from "../../config/version.ts";
import { compileFormat, type FormatterEnvironment } from "../headers/formatter.ts";
import { BatchSender } from "../tracing/batch-sender.ts";
import type { WorkerContext } from "../worker/context.ts";
import { compileLogFilter, type LogStream } from "./access-log.ts";
import type { StreamInfo } from "./stream-info.ts";

const method = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
/** As many as Envoy's 16 KiB of buffer hold, about. */
const recordsMin = 20;

/** Loaded by those whose configuration asks for it. */
const loadMessages = () => import("@weft/xds/generated/opentelemetry/proto/collector/logs/v1/logs_service.ts");

interface LogRecord {
	readonly timeUnixNano: bigint;
	readonly observedTimeUnixNano: bigint;
	readonly body: AnyValue | undefined;
	readonly attributes: KeyValue[];
	readonly traceId: Uint8Array;
	readonly spanId: Uint8Array;
}

const noBytes = new Uint8Array(0);

/** Access logs as OTLP log records, over gRPC or HTTP to a collector. */
export function compileOpenTelemetryLog(
	log: OpenTelemetryAccessLog,
	context: WorkerContext,
): { readonly value: LogStream; readonly errors: readonly string[]; readonly close: () => void } {
	const errors: string[] = [];
	const filter = log.filter && compileLogFilter(log.filter, errors, context);
	const body = log.body === undefined ? undefined : compileTemplate(log.body, context.environment, errors);
	const attributes = Object.entries(log.attributes).map(([key, template]) => [key, compileTemplate(template, context.environment, errors)] as const);
	const scope = context.stats.openScope(`access_logs.open_telemetry_access_log.${log.statPrefix}`);
	const [written, dropped] = [scope.counter("logs_written"), scope.counter("logs_dropped")];
	const count = (at: number, by: number) => {
		const { counters } = context.stats;
		counters[at] = (counters[at] as number) + by;
	};
	let messages: Awaited<ReturnType<typeof loadMessages>> | undefined;
	void loadMessages().then((loaded) => (messages = loaded));
	const resource = Object.entries({ ...builtinLabels(log, context), ...log.resource }).map(([key, stringValue]) => ({ key, value: { stringValue } }));
	const isHttp = log.service.kind === "http";
	const sender = new BatchSender<LogRecord>(context, {
		service: log.service,
		path: isHttp ? log.service.path : method,
		headers: isHttp ? ["content-type", "application/x-protobuf", "user-agent", `OTel-OTLP-Exporter-weft-proxy/${version}`] : [],
		itemsMin: recordsMin,
		flushMs: log.flushMs,
		encode(logRecords) {
			const request = { resourceLogs: [{ resource: { attributes: resource }, scopeLogs: [{ scope: undefined, logRecords: [...logRecords] }] }] };
			return messages && Buffer.from(messages.ExportLogsServiceRequest.encode(request).finish());
		},
		onEvent(event, items) {
			if (event === "sent") count(written, items);
			else if (event === "dropped") count(dropped, items);
		},
	});
	const value: LogStream = (info) => {
		if (filter !== undefined && !filter(info)) return;
		const startNs = BigInt(Math.round(info.startTimeMs * 1000)) * 1000n;
		sender.add({
			timeUnixNano: startNs,
			observedTimeUnixNano: BigInt(context.wallMs()) * 1_000_000n,
			body: body?.(info),
			attributes: attributes.map(([key, read]) => ({ key, value: read(info) })),
			traceId: info.traceId === "" ? noBytes : Buffer.from(info.traceId.padStart(32, "0"), "hex"),
			spanId: noBytes,
		});
	};
	const close = () => {
		sender.close();
		scope.close();
	};
	return { value, errors, close };
}

function builtinLabels({ hasBuiltinLabels, logName }: OpenTelemetryAccessLog, { node }: WorkerContext): Readonly<Record<string, string>> {
	return hasBuiltinLabels ? { log_name: logName, zone_name: node.locality.zone, cluster_name: node.cluster, node_name: node.id } : {};
}

/** Strings are formats; what surrounds them stays. */
function compileTemplate(template: LogTemplate, environment: FormatterEnvironment, errors: string[]): (info: StreamInfo) => AnyValue {
	if (typeof template === "string") {
		const format = compileFormat(template, "-", environment);
		errors.push(...format.errors);
		return (info) => ({ stringValue: format.value?.(info) ?? "" });
	}
	if (typeof template === "boolean") return () => ({ boolValue: template });
	if (typeof template === "number") return () => (Number.isInteger(template) ? { intValue: BigInt(template) } : { doubleValue: template });
	if (Array.isArray(template)) {
		const values = (template as readonly LogTemplate[]).map((one) => compileTemplate(one, environment, errors));
		return (info) => ({ arrayValue: { values: values.map((read) => read(info)) } });
	}
	const entries = Object.entries(template as Readonly<Record<string, LogTemplate>>).map(
		([key, one]) => [key, compileTemplate(one, environment, errors)] as const,
	);
	return (info) => ({ kvlistValue: { values: entries.map(([key, read]) => ({ key, value: read(info) })) } });
}
