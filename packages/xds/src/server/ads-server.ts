import { type ServerDuplexStream, type ServiceDefinition, status, type UntypedServiceImplementation } from "@grpc/grpc-js";
import { type Clock, createTurns, type Logger, type Turns } from "@weft/runtime";
import type { Node } from "../generated/envoy/config/core/v3/base.ts";
import type { Any } from "../generated/google/protobuf/any.ts";
import { DeltaDiscoveryResponse, DiscoveryResponse } from "../generated/envoy/service/discovery/v3/discovery.ts";
import { healthTypeUrl, type XdsType } from "../type-urls.ts";
import { decodeDelta, decodeSotw } from "./decode-request.ts";
import type { ResourceView } from "./resource.ts";
import { createMessageWriter, type MessageWriter } from "./message-writer.ts";
import { type ClientRequest, ClientStream, type StreamState } from "./stream.ts";

/** Largest request taken: names of every cluster of a large mesh fit. */
export const requestBytesMax = 16 << 20;

const stalledCheckMs = 5_000;

export interface Peer {
	/** Address of the transport, for logs. */
	readonly address: string;
	/** URI SANs of a verified client certificate; undefined without one. */
	readonly spiffeIds: readonly string[] | undefined;
}

/** A connected client. */
export interface XdsClient {
	readonly id: number;
	readonly node: Node;
	readonly peer: Peer;
	readonly connectedAtMs: number;
	readonly protocol: "delta" | "sotw";
	push(view: ResourceView): void;
	/** Version of the last view the client has taken and answered whole. */
	readonly syncedVersion: string;
	/** Responses that the present view caused. */
	readonly sentForView: number;
	states(): readonly StreamState[];
	/** Version of the resource that the client has acknowledged; undefined while it has not, or has refused. */
	acknowledged(type: XdsType, name: string): string | undefined;
	/** Ends the stream with a gRPC status. */
	close(code: number, details: string): void;
}

export class RefusedError extends Error {
	readonly code: number;
	constructor(code: number, details: string) {
		super(details);
		this.code = code;
	}
}

export interface AdsDelegate {
	/**
	 * The first request of a stream: its view comes by `client.push`. Throws or rejects with RefusedError to refuse the client;
	 * until a promise resolves, nothing more is read of the stream.
	 */
	connected(client: XdsClient): void | Promise<void>;
	/** Called for every client that `connected` was called for, also while that has not resolved. */
	disconnected(client: XdsClient): void;
	/** The client says that its workload is healthy (undefined), or why not. */
	health?(client: XdsClient, problem: string | undefined): void;
	sent?(client: XdsClient, type: XdsType, resources: number, bytes: number): void;
	acked?(client: XdsClient, type: XdsType): void;
	nacked?(client: XdsClient, type: XdsType, message: string, names: readonly string[]): void;
	synced?(client: XdsClient): void;
}

type Stream = ServerDuplexStream<ClientRequest, Buffer>;

/** What is known of a caller. */
export type IncomingCall = Pick<Stream, "getAuthContext" | "getPeer" | "metadata">;

/** A question about the control plane itself, in the same kind of stream: its type URL begins with `istio.io/`. */
export interface DebugQuestion {
	readonly typeUrl: string;
	readonly names: readonly string[];
	readonly peer: Peer;
}

export interface DebugAnswer {
	/** A name is told to clients of the delta protocol alone; "" where there is none. */
	readonly resources: readonly { readonly name: string; readonly resource: Any }[];
	readonly version: string;
	/** `control_plane.identifier`. */
	readonly identifier: string;
}

export interface AdsServerOptions {
	readonly delegate: AdsDelegate;
	readonly clock: Clock;
	readonly logger: Logger;
	/**
	 * SPIFFE IDs of the caller, from its verified certificate or token; undefined where nobody is asked for any.
	 * Throws or rejects with RefusedError where they cannot be told.
	 */
	readonly identify: (call: IncomingCall) => readonly string[] | undefined | Promise<readonly string[] | undefined>;
	/** Answers `istio.io/debug…`; undefined: silence. Throws RefusedError to refuse. */
	readonly debug?: (question: DebugQuestion) => DebugAnswer | undefined;
}

const debugPrefix = "istio.io/";

const passBuffer = (message: Buffer) => message;

function method(name: string, decode: (bytes: Buffer) => ClientRequest): ServiceDefinition[string] {
	return {
		path: `/envoy.service.discovery.v3.AggregatedDiscoveryService/${name}`,
		requestStream: true,
		responseStream: true,
		// Bytes are encoded by wire.ts and framed by message-writer.ts.
		requestSerialize: passBuffer,
		requestDeserialize: decode,
		responseSerialize: passBuffer,
		responseDeserialize: (bytes: Buffer) => bytes,
	};
}

/** envoy.service.discovery.v3.AggregatedDiscoveryService for a grpc.Server: both methods, delta and state of the world. */
export function adsService(options: AdsServerOptions): { definition: ServiceDefinition; implementation: UntypedServiceImplementation } {
	let nextId = 0;
	const streams = new Map<ClientStream, () => void>();
	const turns = createTurns(options.clock);
	// One look at all streams now and then: a timer for each write would cost more than the write.
	setInterval(() => streams.forEach((cut, stream) => stream.stalled && cut()), stalledCheckMs).unref();
	return {
		definition: {
			StreamAggregatedResources: method("StreamAggregatedResources", decodeSotw),
			DeltaAggregatedResources: method("DeltaAggregatedResources", decodeDelta),
		},
		implementation: {
			StreamAggregatedResources: (call: Stream) => serve(call, "sotw", ++nextId, options, { streams, turns }),
			DeltaAggregatedResources: (call: Stream) => serve(call, "delta", ++nextId, options, { streams, turns }),
		},
	};
}

/** What the streams of one server share. */
interface Shared {
	/** How each is cut. */
	readonly streams: Map<ClientStream, () => void>;
	readonly turns: Turns;
}

function serve(call: Stream, protocol: "delta" | "sotw", id: number, options: AdsServerOptions, { streams, turns }: Shared): void {
	const { delegate, clock, logger } = options;
	const fail = (code: number, details: string) => {
		call.emit("error", { code, details, metadata: call.metadata });
	};
	let client: XdsClient | undefined;
	const write = createMessageWriter(call);
	const answerDebug = createDebugAnswers(options, write);
	const stream = new ClientStream(protocol, write, clock, turns, {
		sent: (type, resources, bytes) => client && delegate.sent?.(client, type, resources, bytes),
		acked: (type) => client && delegate.acked?.(client, type),
		nacked: (type, message, names) => client && delegate.nacked?.(client, type, message, names),
		synced: () => client && delegate.synced?.(client),
	});
	streams.set(stream, () => fail(status.DEADLINE_EXCEEDED, "the client takes no data"));
	let ended = false;
	const end = () => {
		ended = true;
		stream.close();
		streams.delete(stream);
		if (client) delegate.disconnected(client);
		client = undefined;
	};
	let peer: Peer | undefined;
	const refuse = (error: unknown) => {
		const refused = error instanceof RefusedError;
		if (!refused) logger.error("xDS request failed", { error, peer: call.getPeer() });
		fail(refused ? error.code : status.INTERNAL, refused ? error.message : "internal error");
		end();
	};
	const take = (request: ClientRequest, from: XdsClient): void => {
		if (request.typeUrl === healthTypeUrl) return delegate.health?.(from, request.error);
		stream.request(request);
	};
	// Whoever it is has to be known first, and taken in: nothing more is read meanwhile.
	const begin = async (request: ClientRequest): Promise<void> => {
		call.pause();
		try {
			peer ??= { address: call.getPeer(), spiffeIds: await options.identify(call) };
			if (ended) return;
			if (request.typeUrl.startsWith(debugPrefix)) answerDebug(request, peer);
			else if (!request.node) return fail(status.INVALID_ARGUMENT, "the first request of a stream must carry node");
			else {
				client = connect(id, request.node, peer, stream, clock, fail);
				await delegate.connected(client);
				if (client && !ended) take(request, client);
			}
			if (!ended) call.resume();
		} catch (error) {
			if (!ended) refuse(error);
		}
	};
	call.on("data", (request: ClientRequest) => {
		if (!client || !peer) return void begin(request);
		try {
			if (request.typeUrl.startsWith(debugPrefix)) answerDebug(request, peer);
			else take(request, client);
		} catch (error) {
			refuse(error);
		}
	});
	call.on("end", () => {
		end();
		call.end();
	});
	call.on("cancelled", end);
	call.on("error", end);
}

/** Answers the debug questions of one stream. */
function createDebugAnswers({ debug }: AdsServerOptions, write: MessageWriter): (request: ClientRequest, peer: Peer) => void {
	/** Of the last answer to each type; only types that are answered are kept. */
	const lastNonces = new Map<string, string>();
	let answers = 0;
	return (request, peer) => {
		const { typeUrl, nonce, change } = request;
		// An acknowledgement names our own nonce; istioctl gives its questions nonces as well.
		if (!debug || lastNonces.get(typeUrl) === nonce) return;
		const answer = debug({ typeUrl, names: change.protocol === "delta" ? change.subscribe : change.names, peer });
		if (!answer) return;
		const ownNonce = `${answer.version}.debug.${++answers}`;
		lastNonces.set(typeUrl, ownNonce);
		const bytes = change.protocol === "delta" ? deltaAnswer(answer, typeUrl, ownNonce) : sotwAnswer(answer, typeUrl, ownNonce);
		// A client that is gone has its own event.
		write({ pieces: [bytes], length: bytes.length }, () => undefined);
	};
}

function sotwAnswer({ resources, version, identifier }: DebugAnswer, typeUrl: string, nonce: string): Uint8Array {
	const found = resources.map(({ resource }) => resource);
	return DiscoveryResponse.encode(
		DiscoveryResponse.fromPartial({ versionInfo: version, resources: found, typeUrl, nonce, controlPlane: { identifier } }),
	).finish();
}

function deltaAnswer({ resources, version, identifier }: DebugAnswer, typeUrl: string, nonce: string): Uint8Array {
	const found = resources.map(({ name, resource }) => ({ name, version, resource }));
	return DeltaDiscoveryResponse.encode(
		DeltaDiscoveryResponse.fromPartial({ systemVersionInfo: version, resources: found, typeUrl, nonce, controlPlane: { identifier } }),
	).finish();
}

function connect(id: number, node: Node, peer: Peer, stream: ClientStream, clock: Clock, fail: (code: number, details: string) => void): XdsClient {
	return {
		id,
		node,
		peer,
		connectedAtMs: clock.nowMs(),
		protocol: stream.protocol,
		push: (view) => stream.push(view),
		get syncedVersion() {
			return stream.syncedVersion;
		},
		get sentForView() {
			return stream.sentForView;
		},
		states: () => stream.states(),
		acknowledged: (type, name) => stream.acknowledged(type, name),
		close(code, details) {
			stream.close();
			fail(code, details);
		},
	};
}
