import { type CallOptions, ChannelCredentials, Client, Metadata, type ServiceError } from "@grpc/grpc-js";
import { IstioCertificateRequest, IstioCertificateResponse } from "@weft/xds/generated/istio/v1/auth/ca.ts";

/** The name that istiod's certificate always carries, whatever address leads to it. */
export const controlPlaneServerName = "istiod.istio-system.svc";

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
	readonly ttlMs: number;
	readonly timeoutMs: number;
	readonly signal: AbortSignal | undefined;
}

/** One certificate: PEM, leaf first, root bundle last. Rejects with what went wrong, never with what was sent. */
export type CreateCertificate = (call: CreateCertificateCall) => Promise<readonly string[]>;

const path = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
const encode = (request: IstioCertificateRequest): Buffer => Buffer.from(IstioCertificateRequest.encode(request).finish());
const decode = (bytes: Buffer): IstioCertificateResponse => IstioCertificateResponse.decode(bytes);

/** Asks an `IstioCertificateService` over TLS. A connection a call: they are hours apart, and each must see the newest roots. */
export const createCertificateOverGrpc: CreateCertificate = async (call) => {
	const client = new Client(call.address, credentialsOf(call), {
		"grpc.ssl_target_name_override": call.serverName,
		"grpc.default_authority": call.serverName,
		"grpc.max_receive_message_length": 1024 * 1024,
		"grpc.enable_retries": 0,
		"grpc.enable_http_proxy": 0,
	});
	try {
		return await unary(client, call);
	} finally {
		client.close();
	}
};

function credentialsOf({ rootsPem, client }: CreateCertificateCall): ChannelCredentials {
	const roots = Buffer.from(rootsPem);
	if (client === undefined) return ChannelCredentials.createSsl(roots);
	return ChannelCredentials.createSsl(roots, Buffer.from(client.privateKeyPem), Buffer.from(client.certChainPem));
}

function unary(client: Client, call: CreateCertificateCall): Promise<readonly string[]> {
	const metadata = new Metadata();
	metadata.set("clusterid", call.clusterId);
	if (call.bearerToken !== undefined) metadata.set("authorization", `Bearer ${call.bearerToken}`);
	const options: CallOptions = { deadline: Date.now() + call.timeoutMs };
	const request = { csr: call.csrPem, validityDuration: BigInt(Math.round(call.ttlMs / 1000)), metadata: undefined };
	return new Promise((resolve, reject) => {
		const answered = (error: ServiceError | null, response?: IstioCertificateResponse) => {
			call.signal?.removeEventListener("abort", cancel);
			if (error !== null) reject(new Error(`certificate authority ${call.address}: ${error.message}`));
			else resolve(response?.certChain ?? []);
		};
		const unaryCall = client.makeUnaryRequest(path, encode, decode, request, metadata, options, answered);
		const cancel = () => unaryCall.cancel();
		call.signal?.addEventListener("abort", cancel, { once: true });
		if (call.signal?.aborted) cancel();
	});
}
