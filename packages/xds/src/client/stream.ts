import { type ChannelCredentials, type ChannelOptions, Client, type ClientDuplexStream, Metadata } from "@grpc/grpc-js";
import { DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse } from "../generated/envoy/service/discovery/v3/discovery.ts";
import type { MessageFns } from "../message.ts";

/** One stream to a management server, as the client uses it; tests give their own. */
export interface XdsStream {
	send(request: DeltaDiscoveryRequest | DiscoveryRequest): void;
	/** Stops and goes on reading: the bound on what waits to be applied. */
	pause(): void;
	resume(): void;
	close(): void;
}

export interface StreamEvents {
	readonly onResponse: (response: DeltaDiscoveryResponse | DiscoveryResponse) => void;
	/** Called once. */
	readonly onEnd: (reason: string) => void;
}

export type OpenStream = (events: StreamEvents) => XdsStream;

/** How large one response may be. A mesh of ten thousand services stays below it. */
export const responseBytesMax = 64 * 1024 * 1024;

const paths = {
	delta: "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
	sotw: "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
	secrets: "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
} as const;

export interface GrpcTarget {
	/** host:port or unix:path. */
	readonly address: string;
	/** Asked before each stream, so that a renewed certificate is used. */
	readonly credentials: () => ChannelCredentials;
	readonly options?: ChannelOptions;
	/** Asked before each stream: an authorization header, for instance. */
	readonly metadata?: () => Promise<Readonly<Record<string, string>>>;
}

/** Streams over gRPC, each on a connection of its own. `secrets` is SDS alone, state of the world. */
export function openGrpcStream(kind: keyof typeof paths, target: GrpcTarget): OpenStream {
	return (events) =>
		kind === "delta"
			? open(paths.delta, DeltaDiscoveryRequest, DeltaDiscoveryResponse, target, events)
			: open(paths[kind], DiscoveryRequest, DiscoveryResponse, target, events);
}

function open<Q, R extends DeltaDiscoveryResponse | DiscoveryResponse>(
	path: string,
	requests: MessageFns<Q>,
	responses: MessageFns<R>,
	target: GrpcTarget,
	events: StreamEvents,
): XdsStream {
	let closed = false;
	let client: Client | undefined;
	let call: ClientDuplexStream<Q, R> | undefined;
	const waiting: Q[] = [];
	const end = (reason: string) => {
		if (closed) return;
		closed = true;
		client?.close();
		events.onEnd(reason);
	};
	const start = async () => {
		const extra = await target.metadata?.();
		if (closed) return;
		const metadata = new Metadata();
		for (const [name, value] of Object.entries(extra ?? {})) metadata.set(name, value);
		client = new Client(target.address, target.credentials(), {
			"grpc.max_receive_message_length": responseBytesMax,
			"grpc.keepalive_time_ms": 30_000,
			"grpc.keepalive_timeout_ms": 10_000,
			"grpc.enable_http_proxy": 0,
			"grpc.use_local_subchannel_pool": 1,
			...target.options,
		});
		call = client.makeBidiStreamRequest(
			path,
			(message: Q) => Buffer.from(requests.encode(message).finish()),
			(bytes: Buffer) => responses.decode(bytes),
			metadata,
		);
		call.on("data", (response: R) => events.onResponse(response));
		call.on("error", (error: Error) => end(error.message));
		call.on("end", () => end("the server ended the stream"));
		for (const message of waiting.splice(0)) call.write(message);
	};
	start().catch((error: unknown) => end(error instanceof Error ? error.message : String(error)));
	return {
		send(request) {
			// The kind of stream decides the kind of request: the client sends what it opened the stream for.
			const message = request as Q;
			if (call) call.write(message);
			else waiting.push(message);
		},
		pause: () => void call?.pause(),
		resume: () => void call?.resume(),
		close: () => {
			call?.cancel();
			end("closed");
		},
	};
}
