import type { Logger } from "@weft/runtime";
import {
	DeltaDiscoveryRequest,
	DeltaDiscoveryResponse,
	DiscoveryRequest,
	DiscoveryResponse,
} from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import type { GrpcMethods, GrpcServerCall, GrpcServerEvents } from "../grpc/socket-server.ts";
import { createDeltaSecretStream, createSotwSecretStream, type SecretStream } from "./secret-stream.ts";
import { buildSecrets, type SecretSet } from "./secrets.ts";
import type { WorkloadIdentity } from "./workload-identity.ts";

interface Codec<T> {
	encode(message: T): { finish(): Uint8Array };
	decode(bytes: Uint8Array): T;
}

const service = "/envoy.service.secret.v3.SecretDiscoveryService";
export const secretServicePaths = { sotw: `${service}/StreamSecrets`, delta: `${service}/DeltaSecrets` } as const;

export interface SecretService {
	readonly methods: GrpcMethods;
	/** The revocation lists have changed. */
	refresh(): void;
	/** No more renewals are pushed. */
	stop(): void;
}

/**
 * Serves the identity's secrets over SDS; every renewal is pushed to every open stream.
 *
 * @param crlPem revocation lists that peers are held against; "" : none
 */
export function createSecretService(identity: WorkloadIdentity, crlPem: () => string, logger: Logger): SecretService {
	let secrets: SecretSet = new Map();
	const subscribers = new Set<(secrets: SecretSet) => void>();
	const refresh = () => {
		const { current } = identity;
		// Expired: new streams get nothing, and peers refuse what Envoy still holds.
		secrets = current === undefined ? new Map() : buildSecrets(current, crlPem());
		for (const push of subscribers) if (secrets.size > 0) push(secrets);
	};
	const stop = identity.subscribe(refresh);
	const serve =
		<Request, Response>(createStream: (logger: Logger) => SecretStream<Request, Response>, requests: Codec<Request>, responses: Codec<Response>) =>
		(call: GrpcServerCall): GrpcServerEvents => {
			const stream = createStream(logger);
			const send = (response: Response | undefined) => {
				if (response !== undefined) call.send(responses.encode(response).finish());
			};
			const push = (next: SecretSet) => send(stream.onSecrets(next));
			push(secrets);
			subscribers.add(push);
			return {
				onMessage: (message) => send(stream.onRequest(requests.decode(message))),
				onEnd: () => call.end(),
				onClose: () => void subscribers.delete(push),
			};
		};
	return {
		methods: {
			[secretServicePaths.sotw]: serve(createSotwSecretStream, DiscoveryRequest, DiscoveryResponse),
			[secretServicePaths.delta]: serve(createDeltaSecretStream, DeltaDiscoveryRequest, DeltaDiscoveryResponse),
		},
		refresh,
		stop,
	};
}
