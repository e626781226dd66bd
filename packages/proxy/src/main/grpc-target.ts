import { ChannelCredentials } from "@grpc/grpc-js";
import type { GrpcTarget } from "@weft/xds/client";
import type { GrpcService } from "@weft/xds/generated/envoy/config/core/v3/grpc_service.ts";
import type { DecodedCluster } from "../config/decode/index.ts";
import type { Secret, UpstreamTls } from "../config/runtime-config.ts";
import { addressText } from "./slots.ts";

export interface TargetSources {
	readonly cluster: (name: string) => DecodedCluster | undefined;
	readonly secret: (name: string) => Secret | undefined;
	readonly readFile: (path: string) => Uint8Array;
}

/** Where a gRPC service of the configuration is, and how to speak to it. An error is a text. */
export function resolveGrpcTarget(service: GrpcService | undefined, sources: TargetSources): GrpcTarget | string {
	const initial = Object.fromEntries((service?.initialMetadata ?? []).map(({ key, value }) => [key.toLowerCase(), value]));
	const metadata = async () => initial;
	const envoy = service?.envoyGrpc;
	if (envoy !== undefined) return resolveCluster(envoy.clusterName, envoy.authority, metadata, sources);
	const google = service?.googleGrpc;
	if (google === undefined) return "no gRPC service is named";
	if (google.callCredentials.length > 0) return "google_grpc.call_credentials is not implemented";
	const ssl = google.channelCredentials?.sslCredentials;
	const root = ssl?.rootCerts?.filename ?? "";
	const inline = ssl?.rootCerts?.inlineString ?? "";
	const credentials = () =>
		ssl === undefined
			? ChannelCredentials.createInsecure()
			: ChannelCredentials.createSsl(root === "" ? (inline === "" ? null : Buffer.from(inline)) : Buffer.from(sources.readFile(root)));
	return { address: google.targetUri, credentials, metadata };
}

function resolveCluster(
	name: string,
	authority: string,
	metadata: () => Promise<Readonly<Record<string, string>>>,
	sources: TargetSources,
): GrpcTarget | string {
	const decoded = sources.cluster(name);
	if (decoded === undefined) return `there is no static cluster ${name}`;
	const host = decoded.hosts?.priorities.flat().flatMap((locality) => locality.hosts)[0];
	if (host === undefined) return `cluster ${name} has no endpoint`;
	const address = host.address.kind === "pipe" ? `unix:${host.address.path}` : addressText(host.address);
	const { transport } = decoded.cluster;
	if (transport.kind === "raw") {
		const options = authority === "" ? {} : { "grpc.default_authority": authority };
		return { address, credentials: () => ChannelCredentials.createInsecure(), options, metadata };
	}
	const serverName = transport.tls.sni;
	const options = serverName === "" ? {} : { "grpc.ssl_target_name_override": serverName, "grpc.default_authority": authority || serverName };
	return { address, credentials: () => tlsCredentials(transport.tls, sources), options, metadata };
}

function tlsCredentials(tls: UpstreamTls, { secret }: TargetSources): ChannelCredentials {
	const trust = tls.validation?.trust;
	const roots = trust?.kind === "inline" ? trust.caPem : trust?.kind === "secret" ? secret(trust.name)?.validation?.caPem : undefined;
	// Without roots of its own gRPC would trust the system's: fail closed instead, unless that is what was asked for.
	if (roots === undefined && trust?.kind !== "system") throw new Error("no trusted roots for the management server");
	const own = tls.certificates[0];
	const pair = own?.kind === "inline" ? own : own?.kind === "secret" ? secret(own.name)?.certificate : undefined;
	return ChannelCredentials.createSsl(
		roots === undefined ? null : Buffer.from(roots),
		pair ? Buffer.from(pair.privateKeyPem) : null,
		pair ? Buffer.from(pair.certChainPem) : null,
	);
}
