import type { ExtensionProvider } from "@weft/api";
import type { Any } from "@weft/xds";
import { DatadogConfig } from "@weft/xds/generated/envoy/config/trace/v3/datadog.ts";
import { OpenTelemetryConfig } from "@weft/xds/generated/envoy/config/trace/v3/opentelemetry.ts";
import { SkyWalkingConfig } from "@weft/xds/generated/envoy/config/trace/v3/skywalking.ts";
import { ZipkinConfig, ZipkinConfig_CollectorEndpointVersion, ZipkinConfig_TraceContextOption } from "@weft/xds/generated/envoy/config/trace/v3/zipkin.ts";
import { DynatraceResourceDetectorConfig } from "@weft/xds/generated/envoy/extensions/tracers/opentelemetry/resource_detectors/v3/dynatrace_resource_detector.ts";
import { EnvironmentResourceDetectorConfig } from "@weft/xds/generated/envoy/extensions/tracers/opentelemetry/resource_detectors/v3/environment_resource_detector.ts";
import { DynatraceSamplerConfig } from "@weft/xds/generated/envoy/extensions/tracers/opentelemetry/samplers/v3/dynatrace_sampler.ts";
import type { ProxyNode } from "../../model/proxy-node.ts";
import { envoyGrpc, type ProviderService, resolveProviderService, type ServicesByHost } from "../policy/provider-service.ts";
import { durationOf, headerOption, packed } from "../routes/values.ts";
import { semanticServiceName } from "./tracing-service-name.ts";

// Tracers of MeshConfig.extensionProviders, as HttpConnectionManager.tracing.provider.

export interface TracerInput {
	/** Who makes the span, not whom it is about. */
	readonly node: ProxyNode;
	readonly services: ServicesByHost;
	/** Proxies of Istio 1.29 and later take the collector's whole address; for others there are the older fields. */
	readonly isRecent: boolean;
}

export interface Tracer {
	readonly provider: { readonly name: string; readonly typedConfig: Any };
	readonly maxTagLength: number | undefined;
	/** The tracer decides about sampling by itself: it must see everything. */
	readonly hasSampler: boolean;
	readonly spawnUpstreamSpan: boolean;
}

/** Undefined for a provider that traces nothing, or whose service is not there. */
export function buildTracer(provider: ExtensionProvider, input: TracerInput): Tracer | undefined {
	const { zipkin, datadog, skywalking, opentelemetry } = provider;
	const config = zipkin ?? datadog ?? skywalking ?? opentelemetry;
	const target = config && resolveProviderService(input.services, config.service, config.port);
	if (target === undefined) return undefined;
	const tracer = (name: string, typedConfig: Any, rest: Partial<Tracer> = {}): Tracer => ({
		provider: { name: `envoy.tracers.${name}`, typedConfig },
		maxTagLength: undefined,
		hasSampler: false,
		spawnUpstreamSpan: false,
		...rest,
	});
	if (zipkin) return tracer("zipkin", zipkinConfig(zipkin, target, input), { maxTagLength: zipkin.maxTagLength });
	if (datadog) {
		const typed = { collectorCluster: target.cluster, serviceName: input.node.cluster, collectorHostname: target.hostname };
		return tracer("datadog", packed("envoy.config.trace.v3.DatadogConfig", DatadogConfig, typed), { maxTagLength: datadog.maxTagLength });
	}
	if (skywalking) {
		const typed = { grpcService: envoyGrpc(target), ...(skywalking.accessToken ? { clientConfig: { backendToken: skywalking.accessToken } } : {}) };
		return tracer("skywalking", packed("envoy.config.trace.v3.SkyWalkingConfig", SkyWalkingConfig, typed), { spawnUpstreamSpan: true });
	}
	if (!opentelemetry) return undefined;
	const sampler = opentelemetry.dynatraceSampler && dynatraceSampler(opentelemetry, target, input.services);
	if (opentelemetry.dynatraceSampler && !sampler) return undefined;
	const typed = {
		serviceName: isSemantic(opentelemetry) ? semanticServiceName(input.node) : input.node.cluster,
		...otelExporter(opentelemetry, target),
		resourceDetectors: resourceDetectors(opentelemetry),
		...(sampler ? { sampler } : {}),
	};
	return tracer("opentelemetry", packed("envoy.config.trace.v3.OpenTelemetryConfig", OpenTelemetryConfig, typed), {
		maxTagLength: opentelemetry.maxTagLength,
		hasSampler: sampler !== undefined,
	});
}

type Zipkin = NonNullable<ExtensionProvider["zipkin"]>;

const zipkinTimeout = { seconds: 5n, nanos: 0 };

function zipkinConfig(zipkin: Zipkin, { hostname, cluster }: ProviderService, { isRecent }: TracerInput): Any {
	const endpoint = zipkin.path || "/api/v2/spans";
	const headers = headerOptions(zipkin.headers);
	const collector = isRecent
		? {
				collectorService: {
					httpUri: { uri: `http://${hostname}${endpoint}`, cluster, timeout: durationOf(zipkin.timeout) ?? zipkinTimeout },
					requestHeadersToAdd: headers,
				},
			}
		: { collectorCluster: cluster, collectorEndpoint: endpoint, collectorHostname: hostname };
	const both = zipkin.traceContextOption === "USE_B3_WITH_W3C_PROPAGATION" && isRecent;
	return packed("envoy.config.trace.v3.ZipkinConfig", ZipkinConfig, {
		...collector,
		collectorEndpointVersion: ZipkinConfig_CollectorEndpointVersion.HTTP_JSON,
		traceId128bit: !zipkin.enable64bitTraceId,
		sharedSpanContext: false,
		traceContextOption: both ? ZipkinConfig_TraceContextOption.USE_B3_WITH_W3C_PROPAGATION : ZipkinConfig_TraceContextOption.USE_B3,
	});
}

type OpenTelemetry = NonNullable<ExtensionProvider["opentelemetry"]>;
type HttpHeaders = NonNullable<OpenTelemetry["http"]>["headers"];

function otelExporter({ http, grpc }: OpenTelemetry, target: ProviderService): object {
	if (http) return { httpService: httpService(http, target) };
	const metadata = (grpc?.initialMetadata ?? []).map(({ name = "", value = "" }) => ({ key: name, value }));
	const timeout = durationOf(grpc?.timeout);
	return { grpcService: envoyGrpc(target, { ...(timeout ? { timeout } : {}), ...(metadata.length > 0 ? { initialMetadata: metadata } : {}) }) };
}

/** As the API has it. Envoy takes no address without one. */
const exportTimeout = { seconds: 3n, nanos: 0 };

function httpService({ path = "", timeout, headers }: NonNullable<OpenTelemetry["http"]>, { hostname, cluster }: ProviderService): object {
	return {
		httpUri: { uri: path ? `${hostname}/${path.replace(/^\/+/, "")}` : hostname, cluster, timeout: durationOf(timeout) ?? exportTimeout },
		requestHeadersToAdd: headerOptions(headers),
	};
}

function headerOptions(headers: HttpHeaders): readonly object[] {
	return (headers ?? []).map(({ name = "", value = "" }) => headerOption(name, value, true));
}

const detectors = "envoy.extensions.tracers.opentelemetry.resource_detectors.v3";

const isSemantic = ({ serviceAttributeEnrichment }: OpenTelemetry): boolean => serviceAttributeEnrichment === "OTEL_SEMANTIC_CONVENTIONS";

/** By OpenTelemetry's conventions the environment may say more of the service than its name. */
function resourceDetectors(config: OpenTelemetry): readonly object[] {
	const { resourceDetectors: wanted } = config;
	const environment = {
		name: "envoy.tracers.opentelemetry.resource_detectors.environment",
		typedConfig: packed(`${detectors}.EnvironmentResourceDetectorConfig`, EnvironmentResourceDetectorConfig, {}),
	};
	const dynatrace = packed(`${detectors}.DynatraceResourceDetectorConfig`, DynatraceResourceDetectorConfig, {});
	return [
		...(wanted?.environment ? [environment] : []),
		...(wanted?.dynatrace ? [{ name: "envoy.tracers.opentelemetry.resource_detectors.dynatrace", typedConfig: dynatrace }] : []),
		...(isSemantic(config) && !wanted?.environment ? [environment] : []),
	];
}

/** Asks Dynatrace what to sample: at an address of its own, or where the spans go. */
function dynatraceSampler({ http, dynatraceSampler: sampler }: OpenTelemetry, target: ProviderService, services: ServicesByHost): object | undefined {
	const own = sampler?.httpService;
	const place = own ? resolveProviderService(services, own.service, own.port) : target;
	const settings = own ? (own.http ?? {}) : http && { ...http, path: "api/v2/samplingConfiguration" };
	if (place === undefined || settings === undefined) return undefined;
	const config = {
		tenant: sampler?.tenant ?? "",
		clusterId: sampler?.clusterId ?? 0,
		rootSpansPerMinute: sampler?.rootSpansPerMinute ?? 0,
		httpService: httpService(settings, place),
	};
	return {
		name: "envoy.tracers.opentelemetry.samplers.dynatrace",
		typedConfig: packed("envoy.extensions.tracers.opentelemetry.samplers.v3.DynatraceSamplerConfig", DynatraceSamplerConfig, config),
	};
}
