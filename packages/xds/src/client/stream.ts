import { DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse } from "../generated/envoy/service/discovery/v3/discovery.ts";
import type { MessageFns } from "../message.ts";
import { type DiscoveryService, discoveryMethod } from "./methods.ts";

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

/** One bidirectional gRPC call, of bytes. */
export interface ByteStream {
	/** Kept until it can leave. */
	send(message: Uint8Array): void;
	/** After `pause` no message comes until `resume`; what the server may send meanwhile is bounded. */
	pause(): void;
	resume(): void;
	/** Nothing comes any more, `onEnd` included. */
	cancel(): void;
}

export interface ByteStreamEvents {
	/** The message stays as it is: nobody writes to its memory again. */
	readonly onMessage: (message: Uint8Array) => void;
	/** Once. */
	readonly onEnd: (reason: string) => void;
}

/** Whatever carries gRPC: opens a call of this method. It may take messages of `responseBytesMax`. */
export type OpenByteStream = (path: string, events: ByteStreamEvents) => ByteStream;

/** How large one response may be. A mesh of ten thousand services stays below it. */
export const responseBytesMax: number = 64 * 1024 * 1024;

/** xDS over gRPC: a stream of the aggregated service, or of one type's own. */
export function openXdsStream(mode: "delta" | "sotw", openBytes: OpenByteStream, service: DiscoveryService = "aggregated"): OpenStream {
	const path = discoveryMethod(service, mode);
	return (events) =>
		mode === "delta"
			? open(openBytes, path, DeltaDiscoveryRequest, DeltaDiscoveryResponse, events)
			: open(openBytes, path, DiscoveryRequest, DiscoveryResponse, events);
}

function open<Q, R extends DeltaDiscoveryResponse | DiscoveryResponse>(
	openBytes: OpenByteStream,
	path: string,
	requests: MessageFns<Q>,
	responses: MessageFns<R>,
	{ onResponse, onEnd }: StreamEvents,
): XdsStream {
	let closed = false;
	const end = (reason: string) => {
		if (closed) return;
		closed = true;
		onEnd(reason);
	};
	const stop = (reason: string) => {
		stream.cancel();
		end(reason);
	};
	const stream = openBytes(path, {
		onMessage(bytes) {
			let response: R;
			try {
				response = responses.decode(bytes);
			} catch (error) {
				return stop(`a response cannot be decoded: ${error instanceof Error ? error.message : String(error)}`);
			}
			onResponse(response);
		},
		onEnd: end,
	});
	return {
		// The kind of stream decides the kind of request: the client sends what it opened the stream for.
		send: (request) => stream.send(requests.encode(request as Q).finish()),
		pause: () => stream.pause(),
		resume: () => stream.resume(),
		close: () => stop("closed"),
	};
}
