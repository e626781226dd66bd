import type { GrpcService, GrpcService_GoogleGrpc } from "@weft/xds/generated/envoy/config/core/v3/grpc_service.ts";
import { parseHostPort } from "../../grpc/target.ts";
import type { DecodeEnvironment } from "./environment.ts";
import { type At, onlySupports, report, under } from "./issues.ts";

const typeName = "envoy.config.core.v3.GrpcService";
const sslType = `${typeName}.GoogleGrpc.SslCredentials`;

/** Can the main thread speak to this management server? A stream has no `timeout`; `stat_prefix` names statistics of gRPC's own client. */
export function checkManagementService(at: At, service: GrpcService, environment: DecodeEnvironment): void {
	onlySupports(at, typeName, service, ["envoyGrpc", "googleGrpc", "timeout", "initialMetadata"]);
	service.initialMetadata.forEach(({ value }, i) => {
		if (/%[A-Z_]+[%(]/.test(value)) report(under(at, `initialMetadata[${i}]`), "command operators in initial_metadata are not implemented");
	});
	const { envoyGrpc, googleGrpc } = service;
	if (envoyGrpc !== undefined) {
		onlySupports(under(at, "envoyGrpc"), `${typeName}.EnvoyGrpc`, envoyGrpc, ["clusterName", "authority"]);
		checkCluster(under(at, "envoyGrpc.clusterName"), envoyGrpc.clusterName, environment);
	} else if (googleGrpc !== undefined) checkGoogle(under(at, "googleGrpc"), googleGrpc);
	else report(at, "no gRPC service is named");
}

/** What tells of clusters must not need one that it tells of. In Envoy's words. */
function checkCluster(at: At, name: string, { managementClusters }: DecodeEnvironment): void {
	if (managementClusters !== undefined && !managementClusters.has(name))
		report(
			at,
			`envoy.config.core.v3.ApiConfigSource must have a statically defined non-EDS cluster: '${name}' does not exist, was added via api, or is an EDS cluster`,
		);
}

function checkGoogle(at: At, google: GrpcService_GoogleGrpc): void {
	onlySupports(at, `${typeName}.GoogleGrpc`, google, ["targetUri", "channelCredentials", "statPrefix"]);
	try {
		parseHostPort(google.targetUri);
	} catch (error) {
		report(under(at, "targetUri"), (error as Error).message);
	}
	const credentials = google.channelCredentials;
	if (credentials === undefined) return;
	const here = under(at, "channelCredentials");
	onlySupports(here, `${typeName}.GoogleGrpc.ChannelCredentials`, credentials, ["sslCredentials", "localCredentials"]);
	if (credentials.sslCredentials !== undefined) onlySupports(under(here, "sslCredentials"), sslType, credentials.sslCredentials, ["rootCerts"]);
}
