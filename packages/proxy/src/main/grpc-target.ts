import { readFileSync } from "node:fs";
import type { GrpcService, GrpcService_GoogleGrpc } from "@weft/xds/generated/envoy/config/core/v3/grpc_service.ts";
import type { BootstrapConfig } from "../config/bootstrap/decode-bootstrap.ts";
import type { Cluster } from "../config/clusters.ts";
import type { DecodedCluster } from "../config/decode/index.ts";
import { keyOf } from "../config/resource-source.ts";
import type { PeerValidation, Secret, TlsParams, UpstreamTls } from "../config/tls.ts";
import { SecureContexts } from "../data/tls/secure-contexts.ts";
import { compileServerVerifier, trustOnly } from "../grpc/server-verifier.ts";
import { endpointText, type GrpcEndpoint, type GrpcTarget, type GrpcTls, parseHostPort } from "../grpc/target.ts";
import type { ConfigStore } from "./config-store.ts";

export interface TargetSources {
	readonly cluster: (name: string) => DecodedCluster | undefined;
	/** By its key. */
	readonly secret: (key: string) => Secret | undefined;
	readonly readFile: (path: string) => Uint8Array;
}

export interface ServiceTarget {
	readonly target: GrpcTarget;
	/** Goes with every call. */
	readonly metadata: Readonly<Record<string, string>>;
}

/** Where a gRPC service of the configuration is, and how to speak to it. An error is a text. */
export function resolveGrpcTarget(service: GrpcService | undefined, sources: TargetSources): ServiceTarget | string {
	const target = resolveTarget(service, sources);
	if (typeof target === "string") return target;
	const metadata = Object.fromEntries((service?.initialMetadata ?? []).map(({ key, value }) => [key.toLowerCase(), value]));
	return { target, metadata };
}

function resolveTarget(service: GrpcService | undefined, sources: TargetSources): GrpcTarget | string {
	if (service?.envoyGrpc !== undefined) return resolveCluster(service.envoyGrpc.clusterName, service.envoyGrpc.authority, sources);
	if (service?.googleGrpc !== undefined) return resolveGoogle(service.googleGrpc, sources);
	return "no gRPC service is named";
}

/** As gRPC has it. */
const googleConnectTimeoutMs = 20_000;
const anyParams: TlsParams = { minVersion: "TLSv1.2", maxVersion: "TLSv1.3", ciphers: "", curves: "" };

function resolveGoogle({ targetUri, callCredentials, channelCredentials }: GrpcService_GoogleGrpc, sources: TargetSources): GrpcTarget | string {
	if (callCredentials.length > 0) return "google_grpc.call_credentials is not implemented";
	let endpoint: GrpcEndpoint;
	try {
		endpoint = parseHostPort(targetUri);
	} catch (error) {
		return `google_grpc.target_uri: ${(error as Error).message}`;
	}
	const authority = endpoint.kind === "pipe" ? "localhost" : endpointText(endpoint);
	const target: GrpcTarget = { endpoints: [endpoint], authority, connectTimeoutMs: googleConnectTimeoutMs, tls: undefined };
	const ssl = channelCredentials?.sslCredentials;
	if (ssl === undefined) return target;
	const serverName = endpoint.kind === "pipe" ? "localhost" : endpoint.address;
	const readRoots = (): PeerValidation => {
		const file = ssl.rootCerts?.filename ?? "";
		const inline = ssl.rootCerts?.inlineString ?? "";
		const caPem = file === "" ? inline : Buffer.from(sources.readFile(file)).toString();
		return caPem === "" ? { ...trustOnly(""), trust: { kind: "system" } } : trustOnly(caPem);
	};
	return { ...target, tls: () => createTls({ params: anyParams, certificates: [] }, readRoots(), serverName, serverName, sources) };
}

function resolveCluster(name: string, authority: string, sources: TargetSources): GrpcTarget | string {
	const decoded = sources.cluster(name);
	if (decoded === undefined) return `there is no static cluster ${name}`;
	const { cluster, hosts } = decoded;
	const endpoints = (hosts?.priorities ?? []).flat().flatMap((locality) => locality.hosts.map(({ address }) => address));
	if (endpoints.length === 0) return `cluster ${name} has no endpoint`;
	const { transport, connectTimeoutMs } = cluster;
	// As Envoy does it: the cluster's name.
	if (transport.kind === "raw") return { endpoints, authority: authority || name, connectTimeoutMs, tls: undefined };
	const { tls } = transport;
	return { endpoints, authority: authority || tls.sni || name, connectTimeoutMs, tls: () => tlsOfCluster(cluster, tls, sources) };
}

/** Without roots fail closed: what configures a proxy must be who it says. */
function tlsOfCluster(cluster: Cluster, tls: UpstreamTls, sources: TargetSources): GrpcTls {
	const { validation } = tls;
	if (validation === undefined) throw new Error(`cluster ${cluster.name}: no trusted roots for the management server`);
	// Where no names are configured the server has to be the one that SNI asks for.
	return createTls(tls, validation, tls.sni, validation.sans.length === 0 ? tls.sni : "", sources);
}

function createTls(
	{ params, certificates }: Pick<UpstreamTls, "params" | "certificates">,
	validation: PeerValidation,
	serverName: string,
	expectedName: string,
	{ secret }: TargetSources,
): GrpcTls {
	const keys = [...certificates, validation.trust].flatMap((source) => (source.kind === "secret" ? [keyOf(source)] : []));
	const secrets = new Map(keys.flatMap((key) => secret(key) ?? []).map((found) => [found.name, found]));
	// A cache of its own, so that keys that were replaced are not held on to.
	const resolved = new SecureContexts().resolve({ params, certificates, trust: validation.trust }, secrets);
	if (resolved.kind === "missing") throw new Error(`the secret ${resolved.secret} has not come`);
	return { context: resolved.value, serverName, verify: compileServerVerifier(validation, expectedName) };
}

export function targetSources(config: BootstrapConfig, store: ConfigStore): TargetSources {
	return {
		cluster: (name) => store.wanted.clusters.get(name) ?? config.clusters.find(({ value }) => value.cluster.name === name)?.value,
		secret: (name) => store.wanted.secrets.get(name),
		readFile: readFileSync,
	};
}
