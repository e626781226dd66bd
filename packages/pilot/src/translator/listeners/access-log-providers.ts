import type { ExtensionProvider, MeshConfig } from "@weft/api";
import { ApiVersion } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import { FileAccessLog } from "@weft/xds/generated/envoy/extensions/access_loggers/file/v3/file.ts";
import { HttpGrpcAccessLogConfig, TcpGrpcAccessLogConfig } from "@weft/xds/generated/envoy/extensions/access_loggers/grpc/v3/als.ts";
import { OpenTelemetryAccessLogConfig } from "@weft/xds/generated/envoy/extensions/access_loggers/open_telemetry/v3/logs_service.ts";
import { envoyGrpc, resolveProviderService, type ServicesByHost } from "../policy/provider-service.ts";
import { packed } from "../routes/values.ts";
import { defaultText, formattersFor, jsonFormat, meshFormat, textFormat } from "./access-log-format.ts";

// Loggers of MeshConfig.extensionProviders, as entries of Envoy's access_log.

/** What the metadata exchange leaves behind about the two workloads. */
const peers = ["upstream_peer", "downstream_peer"];
/** Older proxies keep it under these names. */
const wasmPeers = ["wasm.upstream_peer", "wasm.upstream_peer_id", "wasm.downstream_peer", "wasm.downstream_peer_id"];

/** Undefined for a provider that logs nothing (a tracer, say), or whose service is not there. */
export function buildLogger(provider: ExtensionProvider, mesh: MeshConfig, services: ServicesByHost): object | undefined {
	if (provider.envoyFileAccessLog) return fileProvider(provider, provider.envoyFileAccessLog, mesh);
	if (provider.envoyHttpAls) return httpService(provider.envoyHttpAls, services);
	if (provider.envoyTcpAls) return tcpService(provider.envoyTcpAls, services);
	return provider.envoyOtelAls ? openTelemetry(provider.envoyOtelAls, services) : undefined;
}

export function buildFileLogger(path: string, logFormat: object): object {
	return {
		name: "envoy.access_loggers.file",
		typedConfig: packed("envoy.extensions.access_loggers.file.v3.FileAccessLog", FileAccessLog, { path, logFormat }),
	};
}

type FileProvider = NonNullable<ExtensionProvider["envoyFileAccessLog"]>;

/** The built-in provider logs as the mesh config says, unless it is declared anew with a format. */
function fileProvider({ name }: ExtensionProvider, { path, logFormat, omitEmptyValues }: FileProvider, mesh: MeshConfig): object {
	const asMesh = name === "envoy" && logFormat === undefined && !omitEmptyValues;
	const format = asMesh ? meshFormat(mesh) : logFormat?.labels ? jsonFormat(logFormat.labels) : textFormat(logFormat?.text);
	return buildFileLogger(path || "/dev/stdout", omitEmptyValues ? { ...format, omitEmptyValues } : format);
}

interface AlsProvider {
	readonly service: string;
	readonly port: number;
	readonly logName?: string;
	readonly filterStateObjectsToLog?: readonly string[];
}

/** envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig. */
function commonConfig(provider: AlsProvider, defaultName: string, state: readonly string[], services: ServicesByHost): object | undefined {
	const target = resolveProviderService(services, provider.service, provider.port);
	return (
		target && {
			logName: provider.logName || defaultName,
			grpcService: envoyGrpc(target),
			transportApiVersion: ApiVersion.V3,
			filterStateObjectsToLog: [...(provider.filterStateObjectsToLog?.length ? provider.filterStateObjectsToLog : state)],
		}
	);
}

function httpService(provider: NonNullable<ExtensionProvider["envoyHttpAls"]>, services: ServicesByHost): object | undefined {
	const common = commonConfig(provider, "http_envoy_accesslog", peers, services);
	const typeName = "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig";
	return (
		common && {
			name: "envoy.access_loggers.http_grpc",
			typedConfig: packed(typeName, HttpGrpcAccessLogConfig, {
				commonConfig: common,
				additionalRequestHeadersToLog: [...(provider.additionalRequestHeadersToLog ?? [])],
				additionalResponseHeadersToLog: [...(provider.additionalResponseHeadersToLog ?? [])],
				additionalResponseTrailersToLog: [...(provider.additionalResponseTrailersToLog ?? [])],
			}),
		}
	);
}

function tcpService(provider: AlsProvider, services: ServicesByHost): object | undefined {
	const common = commonConfig(provider, "tcp_envoy_accesslog", peers, services);
	const typeName = "envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig";
	return common && { name: "envoy.tcp_grpc_access_log", typedConfig: packed(typeName, TcpGrpcAccessLogConfig, { commonConfig: common }) };
}

function openTelemetry(provider: NonNullable<ExtensionProvider["envoyOtelAls"]>, services: ServicesByHost): object | undefined {
	const common = commonConfig(provider, "otel_envoy_accesslog", [...peers, ...wasmPeers], services);
	if (common === undefined) return undefined;
	const { text, labels = {} } = provider.logFormat ?? {};
	const body = text || defaultText;
	const attributes = Object.entries(labels)
		.sort(([a], [b]) => (a < b ? -1 : 1))
		.map(([key, value]) => ({ key, value: { stringValue: typeof value === "string" ? value : "" } }));
	const config = {
		commonConfig: common,
		disableBuiltinLabels: true,
		body: { stringValue: body },
		...(attributes.length > 0 ? { attributes: { values: attributes } } : {}),
		...formattersFor([body, ...Object.values(labels)]),
	};
	const typeName = "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig";
	return { name: "envoy.access_loggers.open_telemetry", typedConfig: packed(typeName, OpenTelemetryAccessLogConfig, config) };
}
