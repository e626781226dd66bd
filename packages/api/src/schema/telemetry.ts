import { bool, double, duration, list, map, obj, oneOf, opt, type StaticOf, text } from "./builders.ts";
import { policyTarget, providerRefSchema } from "./common.ts";

// https://istio.io/latest/docs/reference/config/telemetry/

const modes = ["CLIENT_AND_SERVER", "CLIENT", "SERVER"] as const;
export type WorkloadMode = (typeof modes)[number];
const modeMatch = obj({ mode: opt(oneOf(modes)) });
const providers = opt(list(providerRefSchema));

const customTagSchema = obj(
	{
		literal: opt(obj({ value: text() })),
		environment: opt(obj({ name: text(), defaultValue: opt(text()) })),
		header: opt(obj({ name: text(), defaultValue: opt(text()) })),
		formatter: opt(obj({ value: text({ description: "An access log format string." }) })),
	},
	{ "x-weft-one-of": [["literal", "environment", "header", "formatter"]] },
);
export type TelemetryCustomTag = StaticOf<typeof customTagSchema>;

const tracingSchema = obj({
	match: opt(modeMatch),
	providers,
	randomSamplingPercentage: opt(double({ description: "0 to 100." })),
	disableSpanReporting: opt(bool()),
	customTags: opt(map(customTagSchema)),
	useRequestIdForTraceSampling: opt(bool()),
	enableIstioTags: opt(bool()),
	disableContextPropagation: opt(bool()),
});
export type TelemetryTracing = StaticOf<typeof tracingSchema>;

export const metricNames = [
	"ALL_METRICS",
	"REQUEST_COUNT",
	"REQUEST_DURATION",
	"REQUEST_SIZE",
	"RESPONSE_SIZE",
	"TCP_OPENED_CONNECTIONS",
	"TCP_CLOSED_CONNECTIONS",
	"TCP_SENT_BYTES",
	"TCP_RECEIVED_BYTES",
	"GRPC_REQUEST_MESSAGES",
	"GRPC_RESPONSE_MESSAGES",
] as const;
export type MetricName = (typeof metricNames)[number];

const tagOverrideSchema = obj({ operation: opt(oneOf(["UPSERT", "REMOVE"])), value: opt(text({ description: "A CEL expression." })) });
export type TagOverride = StaticOf<typeof tagOverrideSchema>;

const overrideSchema = obj({
	match: opt(obj({ metric: opt(oneOf(metricNames)), customMetric: opt(text()), mode: opt(oneOf(modes)) }, { "x-weft-one-of": [["metric", "customMetric"]] })),
	disabled: opt(bool()),
	tagOverrides: opt(map(tagOverrideSchema)),
});
export type MetricsOverride = StaticOf<typeof overrideSchema>;

const metricsSchema = obj({ providers, overrides: opt(list(overrideSchema)), reportingInterval: opt(duration()) });
export type TelemetryMetrics = StaticOf<typeof metricsSchema>;

const accessLoggingSchema = obj({
	match: opt(modeMatch),
	providers,
	disabled: opt(bool()),
	filter: opt(obj({ expression: opt(text({ description: "A CEL expression; requests for which it is true are logged." })) })),
});
export type TelemetryAccessLogging = StaticOf<typeof accessLoggingSchema>;

export const telemetrySchema = obj({
	...policyTarget,
	tracing: opt(list(tracingSchema)),
	metrics: opt(list(metricsSchema)),
	accessLogging: opt(list(accessLoggingSchema)),
});
export type TelemetrySpec = StaticOf<typeof telemetrySchema>;
