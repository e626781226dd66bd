import type { AnyValue, KeyValueList } from "@weft/xds/generated/opentelemetry/proto/common/v1/common.ts";
import type { OpenTelemetryAccessLogConfig } from "@weft/xds/generated/envoy/extensions/access_loggers/open_telemetry/v3/logs_service.ts";
import type { LogTemplate, OpenTelemetryAccessLog } from "../access-logs.ts";
import { checkFormatters } from "./formatters.ts";
import { type At, durationMsOr, onlySupports, report, under } from "./issues.ts";
import { decodeGrpcTelemetry } from "./telemetry-service.ts";

const typeName = "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig";

export function decodeOpenTelemetryLog(at: At, config: OpenTelemetryAccessLogConfig): Omit<OpenTelemetryAccessLog, "filter"> | undefined {
	onlySupports(at, typeName, config, ["commonConfig", "disableBuiltinLabels", "resourceAttributes", "body", "attributes", "statPrefix", "formatters"]);
	checkFormatters(at, config.formatters);
	const common = config.commonConfig;
	const here = under(at, "commonConfig");
	if (common?.grpcService === undefined) {
		report(here, "grpc_service is not set");
		return undefined;
	}
	// Filter state objects are Envoy's own protobufs: here there are none to send, in records of OTLP as little as there.
	onlySupports(here, "envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig", common, [
		"logName",
		"grpcService",
		"transportApiVersion",
		"bufferFlushInterval",
		"bufferSizeBytes",
		"filterStateObjectsToLog",
	]);
	return {
		kind: "openTelemetry",
		service: decodeGrpcTelemetry(under(here, "grpcService"), common.grpcService),
		logName: common.logName,
		flushMs: durationMsOr(common.bufferFlushInterval, 1_000),
		hasBuiltinLabels: !config.disableBuiltinLabels,
		resource: Object.fromEntries(Object.entries(decodeList(config.resourceAttributes)).map(([key, value]) => [key, String(value)])),
		body: config.body && decodeValue(config.body),
		attributes: decodeList(config.attributes),
		statPrefix: config.statPrefix === "" ? "" : `${config.statPrefix}.`,
	};
}

function decodeList(list: KeyValueList | undefined): Readonly<Record<string, LogTemplate>> {
	return Object.fromEntries((list?.values ?? []).map(({ key, value }) => [key, value === undefined ? "" : decodeValue(value)]));
}

function decodeValue(value: AnyValue): LogTemplate {
	if (value.arrayValue !== undefined) return value.arrayValue.values.map(decodeValue);
	if (value.kvlistValue !== undefined) return decodeList(value.kvlistValue);
	return value.stringValue ?? value.boolValue ?? value.doubleValue ?? (value.intValue === undefined ? "" : Number(value.intValue));
}
