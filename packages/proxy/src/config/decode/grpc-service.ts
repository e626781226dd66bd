import type { GrpcService as ServiceMessage } from "@weft/xds/generated/envoy/config/core/v3/grpc_service.ts";
import type { GrpcService } from "../grpc-service.ts";
import { type At, durationMsOr, onlySupports, report, under } from "./issues.ts";

/** A gRPC service that the data path calls, by the cluster it is in. */
export function decodeGrpcService(at: At, message: ServiceMessage, timeoutMsDefault: number): GrpcService {
	onlySupports(at, "envoy.config.core.v3.GrpcService", message, ["envoyGrpc", "timeout", "initialMetadata"]);
	const envoy = message.envoyGrpc;
	if (envoy !== undefined) onlySupports(under(at, "envoyGrpc"), "envoy.config.core.v3.GrpcService.EnvoyGrpc", envoy, ["clusterName", "authority"]);
	const metadata = message.initialMetadata.map(({ key, value }, i): readonly [string, string] => {
		if (/%[A-Z_]+[%(]/.test(value)) report(under(at, `initialMetadata[${i}]`), "command operators in initial_metadata are not implemented");
		return [key.toLowerCase(), value.replaceAll("%%", "%")];
	});
	const cluster = envoy?.clusterName ?? "";
	// 0 is for ever elsewhere; a check must not wait that long.
	return { cluster, authority: envoy?.authority || cluster, timeoutMs: durationMsOr(message.timeout, timeoutMsDefault) || timeoutMsDefault, metadata };
}
