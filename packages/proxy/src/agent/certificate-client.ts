import { IstioCertificateRequest, IstioCertificateResponse } from "@weft/xds/generated/istio/v1/auth/ca.ts";
import { nodeTls } from "../data/tls/node-tls.ts";
import { GrpcChannel } from "../grpc/channel.ts";
import type { GrpcEnvironment } from "../grpc/environment.ts";
import { compileServerVerifier, trustOnly } from "../grpc/server-verifier.ts";
import type { CallHeaders } from "./agent-variables.ts";
import { type GrpcTarget, type GrpcTls, parseHostPort } from "../grpc/target.ts";

/** The name that istiod's certificate always carries, whatever address leads to it. */
export const controlPlaneServerName = "istiod.istio-system.svc";

/** CA_PROVIDER: who serves CA_ADDR. Istio has others, for clouds. */
export const caProviderOfIstio = "Citadel";
export const refusedCaProvider = (name: string): string =>
	`CA_PROVIDER=${name}: certificates come from an IstioCertificateService alone, which is ${caProviderOfIstio}; remove the variable`;

/** The name that the server at this address (`host:port`) has in its certificate; undefined: the address has none, it is Istio's usual one. */
export function serverNameOf(address: string): string | undefined {
	const host = address.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
	return host === "localhost" || /^[\d.]+$/.test(host) || host.includes(":") ? undefined : host;
}

export interface CreateCertificateCall {
	/** host:port. */
	readonly address: string;
	readonly serverName: string;
	/** What the server's certificate must lead to. */
	readonly rootsPem: string;
	readonly bearerToken: string | undefined;
	/** Our own certificate, to be presented if the server asks. */
	readonly client: { readonly certChainPem: string; readonly privateKeyPem: string } | undefined;
	readonly clusterId: string;
	readonly csrPem: string;
	/** Which of the authority's signers; undefined: the usual one. */
	readonly certSigner: string | undefined;
	readonly ttlMs: number;
	readonly timeoutMs: number;
	readonly signal: AbortSignal | undefined;
}

/** One certificate: PEM, leaf first, root bundle last. Rejects with what went wrong, never with what was sent. */
export type CreateCertificate = (call: CreateCertificateCall) => Promise<readonly string[]>;

const path = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
const messageBytesMax = 1024 * 1024;
const connectTimeoutMs = 5_000;

/**
 * Asks an `IstioCertificateService` over TLS. A connection a call: they are hours apart, and each must see the newest roots.
 * `headers` go with each.
 */
export function createCertificateOverGrpc(environment: GrpcEnvironment, headers: CallHeaders = {}): CreateCertificate {
	return async (call) => {
		try {
			return await ask(call, environment, headers);
		} catch (error) {
			throw new Error(`certificate authority ${call.address}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
		}
	};
}

async function ask(call: CreateCertificateCall, environment: GrpcEnvironment, headers: CallHeaders): Promise<readonly string[]> {
	const { address, serverName, csrPem, certSigner, ttlMs, timeoutMs, signal } = call;
	const target: GrpcTarget = { endpoints: [parseHostPort(address)], authority: serverName, connectTimeoutMs, tls: () => tlsOf(call) };
	const request = {
		csr: csrPem,
		validityDuration: BigInt(Math.round(ttlMs / 1000)),
		metadata: certSigner === undefined ? undefined : { CertSigner: certSigner },
	};
	const channel = new GrpcChannel(target, environment);
	try {
		const options = { path, metadata: { ...headers, ...metadataOf(call) }, messageBytesMax, timeoutMs };
		const answer = await channel.unary(options, IstioCertificateRequest.encode(request).finish(), signal);
		return IstioCertificateResponse.decode(answer).certChain;
	} finally {
		channel.close();
	}
}

function metadataOf({ clusterId, bearerToken }: CreateCertificateCall): Readonly<Record<string, string>> {
	return { clusterid: clusterId, ...(bearerToken === undefined ? {} : { authorization: `Bearer ${bearerToken}` }) };
}

function tlsOf({ rootsPem, client, serverName }: CreateCertificateCall): GrpcTls {
	const own = client === undefined ? {} : { cert: client.certChainPem, key: client.privateKeyPem };
	const context = nodeTls().createSecureContext({ ca: rootsPem, ...own, minVersion: "TLSv1.2" });
	return { context, serverName, verify: compileServerVerifier(trustOnly(rootsPem), serverName) };
}
