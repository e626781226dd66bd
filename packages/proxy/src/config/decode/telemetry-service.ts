import type { GrpcService } from "@weft/xds/generated/envoy/config/core/v3/grpc_service.ts";
import type { HttpService } from "@weft/xds/generated/envoy/config/core/v3/http_service.ts";
import type { TelemetryService } from "../telemetry.ts";
import { decodeMutation } from "./headers.ts";
import { type At, durationMsOr, onlySupports, report, under } from "./issues.ts";

/** Envoy's own deadline for a report. */
export const reportTimeoutMs = 5_000;

/** A collector behind an `http_service`. */
export function decodeHttpTelemetry(at: At, service: HttpService): TelemetryService {
	onlySupports(at, "envoy.config.core.v3.HttpService", service, ["httpUri", "requestHeadersToAdd"]);
	const { authority, path } = splitUri(service.httpUri?.uri ?? "");
	const headers = service.requestHeadersToAdd.flatMap((option, i) => literalHeader(under(at, `requestHeadersToAdd[${i}]`), decodeMutation(at, option)));
	return {
		kind: "http",
		cluster: service.httpUri?.cluster ?? "",
		authority,
		path,
		timeoutMs: durationMsOr(service.httpUri?.timeout, 0) || reportTimeoutMs,
		headers,
	};
}

/** A collector behind a `grpc_service`. */
export function decodeGrpcTelemetry(at: At, service: GrpcService): TelemetryService {
	onlySupports(at, "envoy.config.core.v3.GrpcService", service, ["envoyGrpc", "timeout", "initialMetadata"]);
	if (service.envoyGrpc === undefined) report(at, "only envoy_grpc is implemented");
	const { clusterName = "", authority = "" } = service.envoyGrpc ?? {};
	const headers = service.initialMetadata.flatMap(({ key, value }, i) => literalHeader(under(at, `initialMetadata[${i}]`), { name: key.toLowerCase(), value }));
	return {
		kind: "grpc",
		cluster: clusterName,
		authority: authority || clusterName,
		path: "",
		timeoutMs: durationMsOr(service.timeout, 0) || reportTimeoutMs,
		headers,
	};
}

/** There is no request whose values a command operator could take. */
function literalHeader(at: At, { name, value }: { readonly name: string; readonly value: string }): readonly string[] {
	if (/%[A-Z_]+[%(]/.test(value)) report(at, "command operators in headers to a collector are not implemented");
	return [name, value.replaceAll("%%", "%")];
}

/** `http://host/path`, or without a scheme. */
function splitUri(uri: string): { readonly authority: string; readonly path: string } {
	const rest = uri.slice(uri.indexOf("://") < 0 ? 0 : uri.indexOf("://") + 3);
	const slash = rest.indexOf("/");
	return slash < 0 ? { authority: rest, path: "/" } : { authority: rest.slice(0, slash), path: rest.slice(slash) };
}
