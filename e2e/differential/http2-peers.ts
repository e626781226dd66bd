import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { HpackDecoder } from "../../packages/proxy/src/data/http2/hpack-decoder.ts";
import { clientPreface, frameFlag, frameType } from "../../packages/proxy/src/data/http2/protocol.ts";
import { decodeFields, frame, headers, RawPeer, type ReceivedFrame, settings, uint32 } from "../../packages/proxy/src/data/http2/test-frames.ts";
import { headerLines } from "./observation.ts";

export type Field = readonly [name: string, value: string];
export type Setting = readonly [id: number, value: number];

export const open: number = frameFlag.endHeaders;
export const whole: number = frameFlag.endHeaders | frameFlag.endStream;
export const data = (id: number, text: string, isEnd = false): Buffer => frame(frameType.data, isEnd ? frameFlag.endStream : 0, id, text);
export const reset = (id: number, code: number): Buffer => frame(frameType.rstStream, 0, id, uint32(code));
export const goaway = (last: number, code = 0): Buffer => frame(frameType.goaway, 0, 0, uint32(last, code));
export const windowUpdate = (id: number, bytes: number): Buffer => frame(frameType.windowUpdate, 0, id, uint32(bytes));
export const settingsFrame = settings;
export const fields = (id: number, list: readonly Field[], flags = whole): Buffer => headers(id, list, flags);

export interface StreamMessage {
	heads: Field[][];
	body: string;
	/** `end`: END_STREAM; `reset N`; undefined: neither has come. */
	ending: string | undefined;
}

/** What came on one connection, by stream, and what concerns the connection. */
export class Incoming {
	readonly peer: RawPeer;
	readonly streams = new Map<number, StreamMessage>();
	/** In order: GOAWAY, answers to PING, SETTINGS after the first. */
	readonly events: string[] = [];
	ownSettings: Setting[] = [];
	readonly #decoder = new HpackDecoder(4096);
	#read = 0;
	#block: Buffer[] = [];
	#isEndBehindBlock = false;

	constructor(peer: RawPeer) {
		this.peer = peer;
	}

	/** Takes what is new; `onStream` is told of each stream that changed. */
	take(onStream: (id: number, stream: StreamMessage) => void = () => {}): void {
		for (; this.#read < this.peer.frames.length; this.#read++) {
			const one = this.peer.frames[this.#read] as ReceivedFrame;
			const stream = this.#take(one);
			if (stream !== undefined) onStream(one.streamId, stream);
		}
	}

	#take(one: ReceivedFrame): StreamMessage | undefined {
		const { type, flags, streamId, payload } = one;
		if (streamId === 0) {
			this.#takeOfConnection(one);
			return undefined;
		}
		const stream = this.streams.get(streamId) ?? { heads: [], body: "", ending: undefined };
		this.streams.set(streamId, stream);
		if (type === frameType.headers || type === frameType.continuation) {
			if (type === frameType.headers) this.#isEndBehindBlock = (flags & frameFlag.endStream) !== 0;
			this.#block.push(payload);
			if ((flags & frameFlag.endHeaders) === 0) return undefined;
			stream.heads.push(decodeFields(this.#decoder, Buffer.concat(this.#block)));
			this.#block = [];
			if (this.#isEndBehindBlock) stream.ending = "end";
			return stream;
		}
		if (type === frameType.data) {
			stream.body += payload.toString("latin1");
			if ((flags & frameFlag.endStream) !== 0) stream.ending = "end";
			return stream;
		}
		if (type !== frameType.rstStream) return undefined;
		stream.ending = stream.ending === "end" ? `end, reset ${payload.readUInt32BE(0)}` : `reset ${payload.readUInt32BE(0)}`;
		return stream;
	}

	#takeOfConnection({ type, flags, payload }: ReceivedFrame): void {
		const isAck = (flags & frameFlag.ack) !== 0;
		if (type === frameType.goaway) this.events.push(`goaway ${payload.readUInt32BE(0)} code ${payload.readUInt32BE(4)}`);
		if (type === frameType.ping && isAck) this.events.push(`pong ${payload.toString("latin1")}`);
		if (type === frameType.settings && !isAck) {
			for (let at = 0; at + 6 <= payload.length; at += 6) this.ownSettings.push([payload.readUInt16BE(at), payload.readUInt32BE(at + 2)]);
		}
	}

	describe(): readonly unknown[] {
		return [...this.streams].toSorted(([a], [b]) => a - b).map(([id, stream]) => ({ id, ...describeStream(stream) }));
	}
}

/** Interim heads, the head, the body, trailers, and how it ended. */
export function describeStream({ heads, body, ending }: StreamMessage): object {
	const isInterim = (head: readonly Field[]) => head.some(([name, value]) => name === ":status" && value.startsWith("1"));
	const interim = heads.filter(isInterim);
	const [head, ...trailers] = heads.filter((one) => !isInterim(one));
	return {
		interim: interim.map(headerLines),
		headers: head === undefined ? "none" : headerLines(head),
		body: body.length > 300 ? `${body.length} bytes` : body,
		trailers: trailers.flatMap(headerLines),
		ending: ending ?? "open",
	};
}

const waitMsMax = 4_000;

/** A client that writes frames by hand. */
export class FrameClient {
	readonly incoming: Incoming;
	readonly #peer: RawPeer;
	#nextId = 1;

	private constructor(peer: RawPeer) {
		this.#peer = peer;
		this.incoming = new Incoming(peer);
	}

	static async connect(port: number, ...own: readonly Setting[]): Promise<FrameClient> {
		const socket = connect({ port, host: "127.0.0.1" });
		await once(socket, "connect");
		socket.setNoDelay(true);
		const client = new FrameClient(new RawPeer(socket, false));
		client.send(clientPreface, settings(...own));
		await client.#until(() => client.#peer.frames.some(({ type }) => type === frameType.settings));
		client.send(frame(frameType.settings, frameFlag.ack, 0));
		return client;
	}

	send(...pieces: readonly Buffer[]): void {
		this.#peer.send(...pieces);
	}

	/** Opens the next stream with these fields, as they are. */
	open(list: readonly Field[], flags: number = whole): number {
		const id = this.#nextId;
		this.#nextId += 2;
		this.send(headers(id, list, flags));
		return id;
	}

	/** Waits for the end of these streams, or of the connection; not for ever. */
	async ended(...ids: readonly number[]): Promise<void> {
		await this.#until(() => ids.every((id) => this.incoming.streams.get(id)?.ending !== undefined));
	}

	async answered(id: number): Promise<void> {
		await this.#until(() => (this.incoming.streams.get(id)?.heads.length ?? 0) > 0);
	}

	async bodyOf(id: number, bytes: number): Promise<void> {
		await this.#until(() => (this.incoming.streams.get(id)?.body.length ?? 0) >= bytes);
	}

	async events(count: number): Promise<void> {
		await this.#until(() => this.incoming.events.length >= count);
	}

	async closed(): Promise<void> {
		await this.#until(() => this.#peer.isClosed);
	}

	get isClosed(): boolean {
		return this.#peer.isClosed;
	}

	endSending(): void {
		this.#peer.socket.end();
	}

	close(): void {
		this.#peer.close();
	}

	async #until(holds: () => boolean): Promise<void> {
		const tooLate = new Promise((resolve) => void setTimeout(resolve, waitMsMax).unref());
		const look = () => {
			this.incoming.take();
			return holds();
		};
		await Promise.race([this.#peer.until(look), tooLate]);
		this.incoming.take();
	}
}

/** One request as it reached an HTTP/2 upstream, with what answers it. */
export class UpstreamStream {
	readonly id: number;
	readonly connection: UpstreamConnection;
	readonly message: StreamMessage;
	isAnswered = false;

	constructor(id: number, connection: UpstreamConnection, message: StreamMessage) {
		this.id = id;
		this.connection = connection;
		this.message = message;
	}

	field(name: string): string {
		return this.message.heads[0]?.find(([key]) => key === name)?.[1] ?? "";
	}

	send(...pieces: readonly Buffer[]): void {
		this.connection.incoming.peer.send(...pieces);
	}

	head(status: number | string, more: readonly Field[] = [], flags = open): void {
		this.send(headers(this.id, [[":status", String(status)], ...more], flags));
	}

	data(text: string, isEnd = true): void {
		this.send(data(this.id, text, isEnd));
	}

	trailers(list: readonly Field[]): void {
		this.send(headers(this.id, list, whole));
	}

	reset(code: number): void {
		this.send(reset(this.id, code));
	}
}

export interface UpstreamConnection {
	readonly index: number;
	readonly incoming: Incoming;
}

/** `onHead`: when the fields are there; true takes the answer over. `onEnd`: when the request is complete. */
export interface Http2Script {
	onHead?(stream: UpstreamStream): boolean;
	onEnd?(stream: UpstreamStream): void;
}

export function echoStream(stream: UpstreamStream): void {
	stream.head(200, [["content-type", "text/plain"]]);
	stream.data(`saw ${stream.field(":method")} ${stream.field(":path")}`);
}

/** An HTTP/2 upstream of frames that keeps what it was sent. */
export class FrameUpstream {
	script: Http2Script = {};
	readonly #ownSettings: readonly Setting[];
	#connections: UpstreamConnection[] = [];
	#seen: UpstreamStream[] = [];
	readonly #server: Server;

	constructor(...own: readonly Setting[]) {
		this.#ownSettings = own;
		this.#server = createServer((socket) => {
			socket.setNoDelay(true);
			const peer = new RawPeer(socket, true);
			const connection = { index: this.#connections.length, incoming: new Incoming(peer) };
			this.#connections.push(connection);
			peer.send(settings(...this.#ownSettings), frame(frameType.settings, frameFlag.ack, 0));
			// Never true: it is called for every piece that comes.
			void peer.until(() => {
				connection.incoming.take((id, message) => this.#changed(connection, id, message));
				return false;
			});
		});
	}

	async listen(): Promise<number> {
		this.#server.listen(0, "127.0.0.1");
		await once(this.#server, "listening");
		return (this.#server.address() as AddressInfo).port;
	}

	#changed(connection: UpstreamConnection, id: number, message: StreamMessage): void {
		let stream = this.#seen.find((one) => one.connection === connection && one.id === id);
		if (stream === undefined) {
			stream = new UpstreamStream(id, connection, message);
			this.#seen.push(stream);
			stream.isAnswered = this.script.onHead?.(stream) === true;
		}
		if (stream.isAnswered || message.ending !== "end") return;
		stream.isAnswered = true;
		(this.script.onEnd ?? echoStream)(stream);
	}

	describe(name: string): readonly unknown[] {
		return this.#seen.map(({ connection, message }) => ({ upstream: name, connection: connection.index, ...describeStream(message) }));
	}

	events(name: string): readonly string[] {
		return this.#connections.flatMap(({ incoming, index }) => incoming.events.map((event) => `${name} ${index}: ${event}`));
	}

	/** The next case starts without connections. */
	clear(): void {
		for (const { incoming } of this.#connections) incoming.peer.close();
		this.#connections = [];
		this.#seen = [];
	}

	close(): void {
		this.clear();
		this.#server.close();
	}
}
