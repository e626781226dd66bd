import type { TypedExtensionConfig } from "@weft/xds/generated/envoy/config/core/v3/extension.ts";
import type { OpenTelemetryConfig } from "@weft/xds/generated/envoy/config/trace/v3/opentelemetry.ts";
import type { StaticConfigResourceDetectorConfig } from "@weft/xds/generated/envoy/extensions/tracers/opentelemetry/resource_detectors/v3/static_config_resource_detector.ts";
import type { TelemetryService, TracingProvider } from "../telemetry.ts";
import { openAny } from "./any.ts";
import type { DecodeEnvironment } from "./environment.ts";
import { type At, onlySupports, report, under } from "./issues.ts";
import { decodeGrpcTelemetry, decodeHttpTelemetry } from "./telemetry-service.ts";

const typeName = "envoy.config.trace.v3.OpenTelemetryConfig";

export function decodeOpenTelemetry(at: At, config: OpenTelemetryConfig, environment: DecodeEnvironment): TracingProvider | undefined {
	onlySupports(at, typeName, config, ["grpcService", "httpService", "serviceName", "resourceDetectors", "sampler"]);
	const service = decodeCollector(at, config);
	if (service === undefined) return undefined;
	return {
		kind: "openTelemetry",
		service,
		serviceName: config.serviceName || "unknown_service:envoy",
		resource: decodeResource(at, config.resourceDetectors, environment),
		samplesAll: decodeSampler(under(at, "sampler"), config.sampler),
	};
}

function decodeCollector(at: At, { grpcService, httpService }: OpenTelemetryConfig): TelemetryService | undefined {
	if (grpcService !== undefined && httpService !== undefined) report(at, "OpenTelemetry Tracer cannot have both gRPC and HTTP exporters configured");
	if (httpService !== undefined) return decodeHttpTelemetry(under(at, "httpService"), httpService);
	if (grpcService !== undefined) return decodeGrpcTelemetry(under(at, "grpcService"), grpcService);
	report(at, "neither grpc_service nor http_service is set");
	return undefined;
}

const detectorTypes = "envoy.extensions.tracers.opentelemetry.resource_detectors.v3";

function decodeResource(at: At, detectors: readonly TypedExtensionConfig[], environment: DecodeEnvironment): Readonly<Record<string, string>> {
	const attributes: Record<string, string> = {};
	for (const [i, { name, typedConfig }] of detectors.entries()) {
		const here = under(at, `resourceDetectors[${i}]`);
		const opened = openAny(here, typedConfig, `resource detector ${name}`);
		if (opened === undefined) continue;
		if (opened.typeName === `${detectorTypes}.StaticConfigResourceDetectorConfig`) {
			Object.assign(attributes, (opened.message as StaticConfigResourceDetectorConfig).attributes);
		} else if (opened.typeName === `${detectorTypes}.EnvironmentResourceDetectorConfig`) {
			Object.assign(attributes, parseAttributes(environment.variable("OTEL_RESOURCE_ATTRIBUTES") ?? ""));
		} else report(here, `resource detector of type ${opened.typeName} is not implemented`);
	}
	return attributes;
}

/** `key=value,key=value`, values percent-encoded (OpenTelemetry's resource SDK specification). */
function parseAttributes(text: string): Readonly<Record<string, string>> {
	const pairs = text.split(",").map((pair) => [pair.slice(0, Math.max(0, pair.indexOf("="))).trim(), pair.slice(pair.indexOf("=") + 1).trim()] as const);
	return Object.fromEntries(pairs.filter(([key]) => key !== "").map(([key, value]) => [key, decodePercent(value)]));
}

function decodePercent(text: string): string {
	try {
		return decodeURIComponent(text);
	} catch {
		// Not encoded, then.
		return text;
	}
}

function decodeSampler(at: At, sampler: TypedExtensionConfig | undefined): boolean {
	if (sampler === undefined) return false;
	const opened = openAny(at, sampler.typedConfig, `sampler ${sampler.name}`);
	if (opened !== undefined && !opened.typeName.endsWith(".AlwaysOnSamplerConfig")) report(at, `sampler of type ${opened.typeName} is not implemented`);
	return true;
}
