import { createHash } from "node:crypto";
import { toJson } from "@weft/xds";
import { type ApiConfigSource, ApiConfigSource_ApiType, type ConfigSource } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import type { AdsSource, ResourceSource, StreamSource } from "../resource-source.ts";
import type { DecodeEnvironment } from "./environment.ts";
import { checkManagementService } from "./management-service.ts";
import { type At, durationMsOr, onlySupports, report, under } from "./issues.ts";

/** Of `initial_fetch_timeout`, Envoy's. */
const fetchTimeoutMsDefault = 15_000;

// Of no effect on streams: what belongs to REST. The node goes with the first message of a stream.
const apiFields = ["apiType", "transportApiVersion", "grpcServices", "setNodeOnFirstMessageOnly", "rateLimitSettings", "refreshDelay", "requestTimeout"];

export function decodeConfigSource(at: At, source: ConfigSource | undefined, environment: DecodeEnvironment): ResourceSource {
	const initialFetchTimeoutMs = durationMsOr(source?.initialFetchTimeout, fetchTimeoutMsDefault);
	const path = source?.pathConfigSource?.path ?? source?.path ?? "";
	if (path !== "") return { kind: "file", id: idOf(path), path, watchedFolder: source?.pathConfigSource?.watchedDirectory?.path, initialFetchTimeoutMs };
	if (source?.self !== undefined) return { ...originOf(at, environment), initialFetchTimeoutMs };
	if (source?.apiConfigSource === undefined) return adsWith(initialFetchTimeoutMs);
	return { ...decodeApi(under(at, "apiConfigSource"), source.apiConfigSource, environment), initialFetchTimeoutMs };
}

const ads = { kind: "ads", id: "" } as const;
/** One object for nearly all, since workers are sent every reference. */
const usualAds = [0, fetchTimeoutMsDefault].map((initialFetchTimeoutMs): AdsSource => ({ ...ads, initialFetchTimeoutMs }));

function adsWith(initialFetchTimeoutMs: number): AdsSource {
	return usualAds.find((usual) => usual.initialFetchTimeoutMs === initialFetchTimeoutMs) ?? { ...ads, initialFetchTimeoutMs };
}

/** From the server that this very resource came from. Envoy refuses that everywhere, in these words. */
function originOf(at: At, { origin }: DecodeEnvironment): Exclude<ResourceSource, { readonly kind: "file" }> | typeof ads {
	if (origin !== undefined && origin.kind !== "file") return origin;
	report(at, "Missing config source specifier in envoy::config::core::v3::ConfigSource: self stands for no management server here");
	return ads;
}

function decodeApi(at: At, api: ApiConfigSource, environment: DecodeEnvironment): Omit<StreamSource, "initialFetchTimeoutMs"> {
	onlySupports(at, "envoy.config.core.v3.ApiConfigSource", api, apiFields);
	const { AGGREGATED_DELTA_GRPC, AGGREGATED_GRPC, DELTA_GRPC, GRPC } = ApiConfigSource_ApiType;
	if (api.apiType === AGGREGATED_GRPC || api.apiType === AGGREGATED_DELTA_GRPC)
		report(under(at, "apiType"), `Unsupported config source ${nameOf(api.apiType)}`);
	else if (api.apiType !== GRPC && api.apiType !== DELTA_GRPC)
		report(under(at, "apiType"), `${nameOf(api.apiType)} is not implemented: use GRPC or DELTA_GRPC`);
	if (api.grpcServices.length !== 1) report(under(at, "grpcServices"), "exactly one gRPC service must be named");
	const [service] = api.grpcServices;
	if (service !== undefined) checkManagementService(under(at, "grpcServices[0]"), service, environment);
	const mode = api.apiType === DELTA_GRPC ? "delta" : "sotw";
	const json = JSON.stringify(toJson("envoy.config.core.v3.GrpcService", service ?? {}));
	const rate = decodeRequestRate(api);
	return { kind: "stream", id: idOf(JSON.stringify([mode, rate, json])), mode, service: json, ...(rate && { rate }) };
}

/** Envoy's defaults; it takes once a year for the slowest. */
export function decodeRequestRate({ rateLimitSettings }: ApiConfigSource): StreamSource["rate"] {
	if (rateLimitSettings === undefined) return undefined;
	const { fillRate = 10, maxTokens = 100 } = rateLimitSettings;
	return { tokensMax: maxTokens, tokensPerSecond: Math.max(fillRate, 1 / 31_536_000) };
}

function nameOf(apiType: ApiConfigSource["apiType"]): string {
	return Object.entries(ApiConfigSource_ApiType).find(([, value]) => value === apiType)?.[0] ?? String(apiType);
}

/** Has no slash, which divides a table's name from that of a virtual host. */
function idOf(text: string): string {
	return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
