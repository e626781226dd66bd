import { type Server, type ServerDuplexStream, type ServiceDefinition, status } from "@grpc/grpc-js";
import type { Logger } from "@weft/runtime";
import {
	DeltaDiscoveryRequest,
	DeltaDiscoveryResponse,
	DiscoveryRequest,
	DiscoveryResponse,
} from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { createDeltaSecretStream, createSotwSecretStream, type SecretStream } from "./secret-stream.ts";
import { buildSecrets, type SecretSet } from "./secrets.ts";
import type { WorkloadIdentity } from "./workload-identity.ts";

// Responses that may wait for a subscriber that does not read, each a few kB.
const unreadMax = 16;

interface Codec<T> {
	encode(message: T): { finish(): Uint8Array };
	decode(bytes: Uint8Array): T;
}

function method<Request, Response>(name: string, request: Codec<Request>, response: Codec<Response>) {
	return {
		path: `/envoy.service.secret.v3.SecretDiscoveryService/${name}`,
		requestStream: true as const,
		responseStream: true as const,
		requestSerialize: (message: Request) => Buffer.from(request.encode(message).finish()),
		requestDeserialize: (bytes: Buffer) => request.decode(bytes),
		responseSerialize: (message: Response) => Buffer.from(response.encode(message).finish()),
		responseDeserialize: (bytes: Buffer) => response.decode(bytes),
	};
}

export const secretServiceDefinition = {
	streamSecrets: method("StreamSecrets", DiscoveryRequest, DiscoveryResponse),
	deltaSecrets: method("DeltaSecrets", DeltaDiscoveryRequest, DeltaDiscoveryResponse),
} satisfies ServiceDefinition;

/** Serves the identity's secrets over SDS; every renewal is pushed to every open stream. Returns what stops the pushing. */
export function addSecretService(server: Server, identity: WorkloadIdentity, logger: Logger): () => void {
	let secrets: SecretSet = new Map();
	const subscribers = new Set<(secrets: SecretSet) => void>();
	const leave = identity.subscribe((certificate) => {
		// Expired: new streams get nothing, and peers refuse what Envoy still holds.
		secrets = certificate === undefined ? new Map() : buildSecrets(certificate);
		for (const push of subscribers) if (secrets.size > 0) push(secrets);
	});
	const serve = <Request, Response>(call: ServerDuplexStream<Request, Response>, stream: SecretStream<Request, Response>) => {
		const send = (response: Response | undefined) => {
			if (response === undefined) return;
			if (call.writableLength < unreadMax) call.write(response);
			else call.emit("error", { code: status.RESOURCE_EXHAUSTED, details: "secrets are not being read" });
		};
		const push = (next: SecretSet) => send(stream.onSecrets(next));
		const close = () => subscribers.delete(push);
		push(secrets);
		subscribers.add(push);
		call.on("data", (request: Request) => send(stream.onRequest(request)));
		call.on("end", () => {
			close();
			call.end();
		});
		call.on("cancelled", close);
		call.on("error", (error: Error) => {
			close();
			logger.debug("SDS stream ended", { error });
		});
	};
	server.addService(secretServiceDefinition, {
		streamSecrets: (call: ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>) => serve(call, createSotwSecretStream(logger)),
		deltaSecrets: (call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>) => serve(call, createDeltaSecretStream(logger)),
	});
	return leave;
}
