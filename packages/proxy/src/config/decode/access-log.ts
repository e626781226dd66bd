import type {
	AccessLog as LogMessage,
	AccessLogFilter as FilterMessage,
	ComparisonFilter,
	ExtensionFilter,
	RuntimeFilter,
} from "@weft/xds/generated/envoy/config/accesslog/v3/accesslog.ts";
import { AccessLogType } from "@weft/xds/generated/envoy/data/accesslog/v3/accesslog.ts";
import type { SubstitutionFormatString } from "@weft/xds/generated/envoy/config/core/v3/substitution_format_string.ts";
import type { FileAccessLog } from "@weft/xds/generated/envoy/extensions/access_loggers/file/v3/file.ts";
import type { ExpressionFilter } from "@weft/xds/generated/envoy/extensions/access_loggers/filters/cel/v3/cel.ts";
import type { HttpGrpcAccessLogConfig, TcpGrpcAccessLogConfig } from "@weft/xds/generated/envoy/extensions/access_loggers/grpc/v3/als.ts";
import type { OpenTelemetryAccessLogConfig } from "@weft/xds/generated/envoy/extensions/access_loggers/open_telemetry/v3/logs_service.ts";
import type { StdoutAccessLog } from "@weft/xds/generated/envoy/extensions/access_loggers/stream/v3/stream.ts";
import type { AccessLog, AccessLogFilter, FileAccessLog as FileLog } from "../access-logs.ts";
import type { Fraction } from "../matchers.ts";
import { openAny } from "./any.ts";
import { type DecodeEnvironment, dataText } from "./environment.ts";
import { checkFormatters } from "./formatters.ts";
import { type At, onlySupports, report, under } from "./issues.ts";
import { decodeHttpGrpcLog, decodeTcpGrpcLog } from "./grpc-log.ts";
import { decodeFraction, decodeHeaderMatch, decodeMetadataMatch, never } from "./matchers.ts";
import { decodeOpenTelemetryLog } from "./open-telemetry-log.ts";

/** Envoy's format when a logger names none. */
export const defaultLogFormat =
	'[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';

export function decodeAccessLogs(at: At, logs: readonly LogMessage[], environment: DecodeEnvironment): readonly AccessLog[] {
	return logs.map((log, i) => decodeAccessLog(under(at, `accessLog[${i}]`), log, environment)).filter((log) => log !== undefined);
}

function decodeAccessLog(at: At, log: LogMessage, environment: DecodeEnvironment): AccessLog | undefined {
	const opened = openAny(at, log.typedConfig, `access logger ${log.name}`);
	const filter = log.filter && decodeLogFilter(under(at, "filter"), log.filter);
	switch (opened?.typeName) {
		case undefined:
			return undefined;
		case "envoy.extensions.access_loggers.file.v3.FileAccessLog": {
			const file = opened.message as FileAccessLog;
			return { kind: "file", path: file.path, format: decodeFileFormat(at, file, environment), filter };
		}
		case "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig":
			return withFilter(decodeHttpGrpcLog(at, opened.message as HttpGrpcAccessLogConfig), filter);
		case "envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig":
			return withFilter(decodeTcpGrpcLog(at, opened.message as TcpGrpcAccessLogConfig), filter);
		case "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig":
			return withFilter(decodeOpenTelemetryLog(at, opened.message as OpenTelemetryAccessLogConfig), filter);
		case "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog":
		case "envoy.extensions.access_loggers.stream.v3.StderrAccessLog": {
			const path = opened.typeName.endsWith("StdoutAccessLog") ? "/dev/stdout" : "/dev/stderr";
			const { logFormat } = opened.message as StdoutAccessLog;
			return { kind: "file", path, format: decodeFormat(under(at, "logFormat"), logFormat, environment), filter };
		}
	}
	report(at, `access logger of type ${opened?.typeName} is not implemented`);
	return undefined;
}

function withFilter<T>(log: T | undefined, filter: AccessLogFilter | undefined): (T & { readonly filter: AccessLogFilter | undefined }) | undefined {
	return log && { ...log, filter };
}

function decodeFileFormat(at: At, file: FileAccessLog, environment: DecodeEnvironment): FileLog["format"] {
	if (file.format !== undefined && file.format !== "") return { kind: "text", text: file.format };
	const json = file.jsonFormat ?? file.typedJsonFormat;
	if (json !== undefined) return { kind: "json", fields: json };
	return decodeFormat(under(at, "logFormat"), file.logFormat, environment);
}

export function decodeFormat(at: At, format: SubstitutionFormatString | undefined, environment: DecodeEnvironment): FileLog["format"] {
	if (format === undefined) return { kind: "text", text: defaultLogFormat };
	// `contentType` is for local replies, `jsonFormatOptions.sortProperties` is what is done anyway.
	onlySupports(at, "envoy.config.core.v3.SubstitutionFormatString", format, [
		"textFormat",
		"jsonFormat",
		"textFormatSource",
		"contentType",
		"jsonFormatOptions",
		"formatters",
	]);
	checkFormatters(at, format.formatters);
	if (format.jsonFormat !== undefined) return { kind: "json", fields: format.jsonFormat };
	if (format.textFormatSource !== undefined) return { kind: "text", text: dataText(under(at, "textFormatSource"), format.textFormatSource, environment) };
	return { kind: "text", text: format.textFormat || defaultLogFormat };
}

export function decodeLogFilter(at: At, filter: FilterMessage): AccessLogFilter | undefined {
	if (filter.statusCodeFilter !== undefined) return decodeComparison("status", filter.statusCodeFilter.comparison);
	if (filter.durationFilter !== undefined) return decodeComparison("duration", filter.durationFilter.comparison);
	if (filter.notHealthCheckFilter !== undefined) return { kind: "notHealthCheck" };
	if (filter.andFilter !== undefined) return { kind: "and", filters: decodeFilters(under(at, "andFilter"), filter.andFilter.filters) };
	if (filter.orFilter !== undefined) return { kind: "or", filters: decodeFilters(under(at, "orFilter"), filter.orFilter.filters) };
	if (filter.responseFlagFilter !== undefined) return { kind: "responseFlag", flags: filter.responseFlagFilter.flags };
	if (filter.headerFilter?.header !== undefined)
		return { kind: "header", header: decodeHeaderMatch(under(at, "headerFilter.header"), filter.headerFilter.header) };
	if (filter.runtimeFilter !== undefined) return { kind: "random", fraction: decodeSampling(under(at, "runtimeFilter"), filter.runtimeFilter) };
	if (filter.grpcStatusFilter !== undefined) return { kind: "grpcStatus", ...filter.grpcStatusFilter };
	if (filter.logTypeFilter !== undefined) {
		const { exclude, types } = filter.logTypeFilter;
		return { kind: "logType", types: types.map((type) => logTypes[type] ?? ""), exclude };
	}
	if (filter.metadataFilter !== undefined) {
		const { matcher, matchIfKeyNotFound = true } = filter.metadataFilter;
		return { kind: "metadata", match: matcher && decodeMetadataMatch(under(at, "metadataFilter.matcher"), matcher), matchesIfAbsent: matchIfKeyNotFound };
	}
	if (filter.extensionFilter !== undefined) return decodeExtensionFilter(under(at, "extensionFilter"), filter.extensionFilter);
	const name = Object.entries(filter).find(([, value]) => value !== undefined)?.[0];
	report(at, `access log filter ${name} is not implemented`);
	return undefined;
}

function decodeSampling(at: At, { percentSampled, runtimeKey }: RuntimeFilter): Fraction {
	return { ...(percentSampled === undefined ? never : decodeFraction(at, percentSampled)), runtimeKey };
}

function decodeExtensionFilter(at: At, { name, typedConfig }: ExtensionFilter): AccessLogFilter | undefined {
	const opened = openAny(at, typedConfig, `access log filter ${name}`);
	if (opened === undefined) return undefined;
	if (opened.typeName === "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter")
		return { kind: "cel", expression: (opened.message as ExpressionFilter).expression };
	report(at, `access log filter ${name} of type ${opened.typeName} is not implemented`);
	return undefined;
}

function decodeFilters(at: At, filters: readonly FilterMessage[]): readonly AccessLogFilter[] {
	return filters.map((filter, i) => decodeLogFilter(under(at, `filters[${i}]`), filter)).filter((filter) => filter !== undefined);
}

const logTypes = Object.keys(AccessLogType);

const ops = ["eq", "ge", "le", "ne"] as const;

function decodeComparison(kind: "status" | "duration", comparison: ComparisonFilter | undefined): AccessLogFilter {
	const { defaultValue: value = 0, runtimeKey = "" } = comparison?.value ?? {};
	return { kind, op: ops[comparison?.op ?? 0] ?? "eq", value, ...(runtimeKey !== "" && { runtimeKey }) };
}
