import type { FractionalPercent, Percent } from "@weft/xds/generated/envoy/type/v3/percent.ts";
import type { CustomTag as CustomTagMessage } from "@weft/xds/generated/envoy/type/tracing/v3/custom_tag.ts";
import type { Decorator as DecoratorMessage, Tracing as RouteTracingMessage } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { Tracing_Http } from "@weft/xds/generated/envoy/config/trace/v3/http_tracer.ts";
import type { OpenTelemetryConfig } from "@weft/xds/generated/envoy/config/trace/v3/opentelemetry.ts";
import { type ZipkinConfig, ZipkinConfig_CollectorEndpointVersion } from "@weft/xds/generated/envoy/config/trace/v3/zipkin.ts";
import type {
	HttpConnectionManager,
	HttpConnectionManager_Tracing,
} from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import type { UuidRequestIdConfig } from "@weft/xds/generated/envoy/extensions/request_id/uuid/v3/uuid.ts";
import type { CustomTag, Decorator, RouteTracing, TelemetryService, TenThousandths, Tracing, TracingProvider } from "../telemetry.ts";
import { openAny } from "./any.ts";
import type { DecodeEnvironment } from "./environment.ts";
import { type At, onlySupports, report, under } from "./issues.ts";
import { decodeOpenTelemetry } from "./open-telemetry.ts";
import { decodeHttpTelemetry, reportTimeoutMs } from "./telemetry-service.ts";

const managerType = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const all: TenThousandths = 10_000;

export function decodeTracing(at: At, hcm: HttpConnectionManager, environment: DecodeEnvironment): Tracing | undefined {
	const requestId = decodeRequestId(at, hcm);
	const message = hcm.tracing;
	if (message === undefined) return undefined;
	const here = under(at, "tracing");
	onlySupports(here, `${managerType}.Tracing`, message, [
		"clientSampling",
		"randomSampling",
		"overallSampling",
		"verbose",
		"maxPathTagLength",
		"customTags",
		"provider",
		"spawnUpstreamSpan",
	]);
	return {
		clientSampling: ofPercent(message.clientSampling),
		randomSampling: ofPercent(message.randomSampling),
		overallSampling: ofPercent(message.overallSampling),
		verbose: message.verbose,
		pathTagLengthMax: message.maxPathTagLength ?? 256,
		customTags: decodeCustomTags(here, message.customTags),
		...decodeProvider(under(here, "provider"), message, environment),
		packTraceReason: requestId?.packTraceReason ?? true,
		samplesByRequestId: requestId?.useRequestIdForTraceSampling ?? true,
	};
}

function decodeRequestId(at: At, hcm: HttpConnectionManager): UuidRequestIdConfig | undefined {
	const config = hcm.requestIdExtension?.typedConfig;
	if (config === undefined) return undefined;
	const opened = openAny(under(at, "requestIdExtension"), config, "request id extension");
	if (opened === undefined) return undefined;
	if (opened.typeName === "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig") return opened.message as UuidRequestIdConfig;
	report(under(at, "requestIdExtension"), `request id extension of type ${opened.typeName} is not implemented`);
	return undefined;
}

function ofPercent(percent: Percent | undefined): TenThousandths {
	return percent === undefined ? all : Math.floor(percent.value * 100);
}

const denominators = [100, 10_000, 1_000_000] as const;

function ofFraction(fraction: FractionalPercent | undefined): TenThousandths {
	return fraction === undefined ? all : (fraction.numerator / (denominators[fraction.denominator] ?? 100)) * 10_000;
}

export function decodeRouteTracing(at: At, message: RouteTracingMessage | undefined): RouteTracing | undefined {
	if (message === undefined) return undefined;
	onlySupports(at, "envoy.config.route.v3.Tracing", message, ["clientSampling", "randomSampling", "overallSampling", "customTags"]);
	return {
		clientSampling: ofFraction(message.clientSampling),
		randomSampling: ofFraction(message.randomSampling),
		overallSampling: ofFraction(message.overallSampling),
		customTags: decodeCustomTags(at, message.customTags),
	};
}

export function decodeDecorator(message: DecoratorMessage | undefined): Decorator | undefined {
	return message && { operation: message.operation, propagate: message.propagate ?? true };
}

export function decodeCustomTags(at: At, tags: readonly CustomTagMessage[]): readonly CustomTag[] {
	return tags.flatMap((message, i) => decodeCustomTag(under(at, `customTags[${i}]`), message) ?? []);
}

function decodeCustomTag(at: At, message: CustomTagMessage): CustomTag | undefined {
	const { tag, literal, environment, requestHeader, metadata } = message;
	if (literal !== undefined) return { kind: "literal", tag, value: literal.value };
	if (environment !== undefined) return { kind: "environment", tag, name: environment.name, defaultValue: environment.defaultValue };
	if (requestHeader !== undefined) return { kind: "header", tag, name: requestHeader.name.toLowerCase(), defaultValue: requestHeader.defaultValue };
	if (metadata === undefined) {
		report(at, "the value of this tag is of a kind that is not implemented");
		return undefined;
	}
	const of = metadata.kind?.request !== undefined ? "request" : metadata.kind?.route !== undefined ? "route" : undefined;
	if (of === undefined) {
		report(under(at, "metadata.kind"), "only metadata of the request and of the route is implemented");
		return undefined;
	}
	const path = [metadata.metadataKey?.key ?? "", ...(metadata.metadataKey?.path ?? []).map((segment) => segment.key ?? "")];
	return { kind: "metadata", tag, of, path, defaultValue: metadata.defaultValue };
}

interface Provided {
	readonly provider: TracingProvider | undefined;
	readonly spawnUpstreamSpan: boolean;
}

function decodeProvider(at: At, tracing: HttpConnectionManager_Tracing, environment: DecodeEnvironment): Provided {
	const spawnUpstreamSpan = tracing.spawnUpstreamSpan ?? false;
	const none = { provider: undefined, spawnUpstreamSpan };
	const message: Tracing_Http | undefined = tracing.provider;
	if (message === undefined) return none;
	const opened = openAny(at, message.typedConfig, `tracer ${message.name}`);
	switch (opened?.typeName) {
		case undefined:
			return none;
		case "envoy.config.trace.v3.ZipkinConfig": {
			const config = opened.message as ZipkinConfig;
			return { provider: decodeZipkin(under(at, "typedConfig"), config), spawnUpstreamSpan: spawnUpstreamSpan || config.splitSpansForRequest };
		}
		case "envoy.config.trace.v3.OpenTelemetryConfig":
			return { provider: decodeOpenTelemetry(under(at, "typedConfig"), opened.message as OpenTelemetryConfig, environment), spawnUpstreamSpan };
	}
	report(at, `tracer ${message.name} of type ${opened?.typeName} is not implemented`);
	return none;
}

function decodeZipkin(at: At, config: ZipkinConfig): TracingProvider {
	onlySupports(at, "envoy.config.trace.v3.ZipkinConfig", config, [
		"collectorService",
		"collectorCluster",
		"collectorEndpoint",
		"traceId128bit",
		"sharedSpanContext",
		"collectorEndpointVersion",
		"collectorHostname",
		"splitSpansForRequest",
		"traceContextOption",
	]);
	const version = config.collectorEndpointVersion;
	// 0 was JSON of the first version; Envoy reads it as the default since that is gone.
	if (version === ZipkinConfig_CollectorEndpointVersion.HTTP_PROTO)
		report(under(at, "collectorEndpointVersion"), "HTTP_PROTO is not implemented: HTTP_JSON is");
	if (version === ZipkinConfig_CollectorEndpointVersion.GRPC) report(under(at, "collectorEndpointVersion"), "GRPC is not implemented: HTTP_JSON is");
	return {
		kind: "zipkin",
		service: zipkinCollector(at, config),
		has128BitTraceIds: config.traceId128bit,
		sharesSpans: config.sharedSpanContext ?? true,
		withW3c: config.traceContextOption === 1,
	};
}

function zipkinCollector(at: At, config: ZipkinConfig): TelemetryService {
	if (config.collectorService !== undefined) return decodeHttpTelemetry(under(at, "collectorService"), config.collectorService);
	if (config.collectorCluster === "") report(at, "collector_cluster or collector_service must be specified");
	else if (config.collectorEndpoint === "") report(at, "collector_endpoint must be specified when using collector_cluster");
	const authority = config.collectorHostname || config.collectorCluster;
	return { kind: "http", cluster: config.collectorCluster, authority, path: config.collectorEndpoint, timeoutMs: reportTimeoutMs, headers: [] };
}
