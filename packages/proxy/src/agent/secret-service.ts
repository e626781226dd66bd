import type { Logger } from "@weft/runtime";
import {
	DeltaDiscoveryRequest,
	DeltaDiscoveryResponse,
	DiscoveryRequest,
	DiscoveryResponse,
} from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import type { GrpcMethods, GrpcServerCall, GrpcServerEvents } from "../grpc/socket-server.ts";
import { followNamedFiles, isNamedFile } from "./named-file-secrets.ts";
import { createDeltaSecretStream, createSotwSecretStream, namesMax, type SecretStream } from "./secret-stream.ts";
import { buildSecrets, secretNames, type SecretSet } from "./secrets.ts";
import type { WorkloadIdentity } from "./workload-identity.ts";

interface Codec<T> {
	encode(message: T): { finish(): Uint8Array };
	decode(bytes: Uint8Array): T;
}

const service = "/envoy.service.secret.v3.SecretDiscoveryService";
export const secretServicePaths = { sotw: `${service}/StreamSecrets`, delta: `${service}/DeltaSecrets` } as const;

interface Protocol<Request, Response> {
	readonly createStream: (logger: Logger, isServed: (name: string) => boolean) => SecretStream<Request, Response>;
	readonly requests: Codec<Request>;
	readonly responses: Codec<Response>;
	readonly namesOf: (request: Request) => readonly string[];
}

const sotw: Protocol<DiscoveryRequest, DiscoveryResponse> = {
	createStream: createSotwSecretStream,
	requests: DiscoveryRequest,
	responses: DiscoveryResponse,
	namesOf: ({ resourceNames }) => resourceNames,
};
const delta: Protocol<DeltaDiscoveryRequest, DeltaDiscoveryResponse> = {
	createStream: createDeltaSecretStream,
	requests: DeltaDiscoveryRequest,
	responses: DeltaDiscoveryResponse,
	namesOf: ({ resourceNamesSubscribe }) => resourceNamesSubscribe,
};

export interface SecretService {
	readonly methods: GrpcMethods;
	/** The revocation lists have changed. */
	refresh(): void;
	/** No more renewals are pushed. */
	stop(): void;
}

export interface SecretServiceOptions {
	readonly identity: WorkloadIdentity;
	/** Revocation lists that peers are held against; "" : none. */
	readonly crlPem: () => string;
	readonly logger: Logger;
	/** Who asks may have files of this process by naming them: for the proxy beside us alone. */
	readonly servesFiles?: boolean;
}

/** Serves the identity's secrets over SDS; every renewal is pushed to every open stream. */
export function createSecretService({ identity, crlPem, logger, servesFiles = false }: SecretServiceOptions): SecretService {
	let secrets: SecretSet = new Map();
	const subscribers = new Set<(secrets: SecretSet) => void>();
	const refresh = () => {
		const { current } = identity;
		// Expired: new streams get nothing, and peers refuse what Envoy still holds.
		const own: SecretSet = current === undefined ? new Map() : buildSecrets(current, crlPem());
		secrets = new Map([...own, ...(files?.current ?? [])]);
		for (const push of subscribers) if (secrets.size > 0) push(secrets);
	};
	const files = servesFiles ? followNamedFiles(() => refresh(), logger) : undefined;
	const isServed = (name: string) => secretNames.has(name) || (servesFiles && isNamedFile(name));
	const leave = identity.subscribe(refresh);
	const follow = (names: readonly string[]) => {
		if (files === undefined || !names.some(isNamedFile)) return;
		files.follow(names.slice(0, namesMax));
		refresh();
	};
	const serve =
		<Request, Response>({ createStream, requests, responses, namesOf }: Protocol<Request, Response>) =>
		(call: GrpcServerCall): GrpcServerEvents => {
			const stream = createStream(logger, isServed);
			const send = (response: Response | undefined) => {
				if (response !== undefined) call.send(responses.encode(response).finish());
			};
			const push = (next: SecretSet) => send(stream.onSecrets(next));
			push(secrets);
			subscribers.add(push);
			return {
				onMessage(message) {
					const request = requests.decode(message);
					follow(namesOf(request));
					send(stream.onRequest(request));
				},
				onEnd: () => call.end(),
				onClose: () => void subscribers.delete(push),
			};
		};
	return {
		methods: {
			[secretServicePaths.sotw]: serve(sotw),
			[secretServicePaths.delta]: serve(delta),
		},
		refresh,
		stop() {
			leave();
			files?.stop();
		},
	};
}
