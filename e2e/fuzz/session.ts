import { http2Defaults } from "../../packages/proxy/src/config/http2-defaults.ts";
import type { Http2Options } from "../../packages/proxy/src/config/http2-options.ts";
import { RequestHead } from "../../packages/proxy/src/data/codec/request-head.ts";
import { ResponseHead } from "../../packages/proxy/src/data/codec/response-head.ts";
import type { HpackDecoder } from "../../packages/proxy/src/data/http2/hpack-decoder.ts";
import { Http2Stream } from "../../packages/proxy/src/data/http2/http2-stream.ts";
import { Outbound, OutboundQueue } from "../../packages/proxy/src/data/http2/outbound.ts";
import type { Http2ConnectionError } from "../../packages/proxy/src/data/http2/protocol.ts";
import { type Malformed, RequestFields } from "../../packages/proxy/src/data/http2/request-fields.ts";
import { ResponseFields } from "../../packages/proxy/src/data/http2/response-fields.ts";
import { Http2Session, type SessionOwner } from "../../packages/proxy/src/data/http2/session.ts";
import { FrameLog } from "../../packages/proxy/src/data/http2/test-frames.ts";
import { type Connection, silentHandler } from "../../packages/proxy/src/data/transport/connection.ts";

/** Few streams and small limits, so that short inputs meet them. */
const options: Http2Options = { ...http2Defaults, maxConcurrentStreams: 4 };
const listBytesMax = 512;
const headersMax = 12;
/** Streams of a client that wait for their answers. */
const ownStreams = 3;

/** The fuzzer holds the event loop, so nothing may wait for its next turn. */
class HeldQueue extends OutboundQueue {
	override add(): void {}
}
const queue = new HeldQueue(() => {});

/** One end of a connection without a socket; `events` is what its owner hears, `sent` what its peer does. */
export class FuzzedSession implements SessionOwner {
	readonly isServer: boolean;
	readonly listBytesMax = listBytesMax;
	readonly headersMax = headersMax;
	readonly session: Http2Session;
	readonly events: string[] = [];
	readonly #open = new Set<number>();
	readonly #log = new FrameLog();
	readonly #outbound: Outbound;
	#dataOf = 0;

	constructor(isServer: boolean) {
		this.isServer = isServer;
		const write = (bytes: Uint8Array) => {
			this.#log.reader.feed(Buffer.from(bytes), 0, bytes.length);
			return "written";
		};
		this.#outbound = new Outbound({ handler: silentHandler, write } as unknown as Connection, queue);
		this.session = new Http2Session(this, options, this.#outbound, () => 1);
		this.session.start();
		for (let i = 0; i < (isServer ? 0 : ownStreams); i++) {
			const stream = new FuzzedStream(this, 0);
			if (!this.session.streams.openOwn(stream)) continue;
			this.#open.add(stream.id);
			// The first goes on sending.
			if (i > 0) this.session.onLocalEnd(stream);
		}
	}

	/** Streams that were opened and of whose end nobody was told. */
	get openStreams(): readonly number[] {
		return [...this.#open];
	}

	/** Frames but for WINDOW_UPDATE, which depends on the pieces that DATA comes in: type, flags, stream, payload. */
	get sent(): readonly string[] {
		this.#outbound.flush();
		return this.#log.frames
			.filter(({ type }) => type !== 8)
			.map(({ type, flags, streamId, payload }) => `${type} ${flags} ${streamId} ${payload.toString("hex")}`);
	}

	/** DATA that comes in pieces is one event. */
	say(text: string, streamOfData = 0): void {
		if (streamOfData !== 0 && streamOfData === this.#dataOf) this.events[this.events.length - 1] += text;
		else this.events.push(streamOfData === 0 ? text : `data ${streamOfData} ${text}`);
		this.#dataOf = streamOfData;
	}

	/** How much of a DATA frame that is one too many was passed on depends on its pieces. */
	forgetData(stream: number): void {
		if (this.#dataOf === stream) this.events.pop();
		this.#dataOf = 0;
	}

	openStream(id: number): FuzzedStream {
		this.say(`open ${id}`);
		this.#open.add(id);
		return new FuzzedStream(this, id);
	}
	onStreamClosed(stream: Http2Stream): void {
		this.say(`closed ${stream.id}`);
		if (!this.#open.delete(stream.id)) throw new Error(`stream ${stream.id} was closed twice, or never opened`);
	}
	onSettings(): void {
		this.say("settings");
	}
	onGoaway(lastStreamId: number, code: number): void {
		this.say(`goaway ${lastStreamId} ${code}`);
		if (!this.isServer) this.session.streams.dropAfter(lastStreamId, code);
	}
	onPong(): void {
		this.say("pong");
	}
	onFailed(error: Http2ConnectionError): void {
		this.say(`failed ${error.code} ${error.message}`);
	}
	count(): void {}
}

const requestFields = new RequestFields();
const responseFields = new ResponseFields();

class FuzzedStream extends Http2Stream {
	readonly #owner: FuzzedSession;
	readonly #request = new RequestHead();
	readonly #response = new ResponseHead();

	constructor(owner: FuzzedSession, id: number) {
		super(owner.session, id, owner.session.peer.initialWindowSize, options.streamWindow, 0);
		this.#owner = owner;
	}

	override readHead(decoder: HpackDecoder, bytes: Buffer, start: number, end: number, isEnd: boolean): Malformed | undefined {
		const head = this.#owner.isServer ? this.#request : this.#response;
		if (this.#owner.isServer) requestFields.begin(this.#request, decoder.id, listBytesMax, headersMax);
		else responseFields.begin(this.#response, decoder.id, listBytesMax, headersMax);
		const fields = this.#owner.isServer ? requestFields : responseFields;
		decoder.decode(bytes, start, end, fields);
		const malformed = fields.finish(isEnd, true);
		this.hasHead = this.#owner.isServer || malformed !== undefined || this.#response.status >= 200;
		if (malformed === undefined) this.expectedBytes = head.contentLength;
		return malformed;
	}
	override onHead(isEnd: boolean): void {
		const lines: string[] = [];
		const head = this.#owner.isServer ? this.#request : this.#response;
		head.forEach((name, value) => lines.push(`${name}: ${value}`));
		const first = this.#owner.isServer ? `${this.#request.method} ${this.#request.path} @${this.#request.authority}` : String(this.#response.status);
		this.#owner.say(`head ${this.id} ${isEnd} ${first} [${lines.join("|")}]`);
	}
	override onMalformed(reason: Malformed): boolean {
		this.#owner.forgetData(this.id);
		this.#owner.say(`malformed ${this.id} ${reason}`);
		return false;
	}
	override onData(bytes: Buffer, start: number, end: number): void {
		this.#owner.say(bytes.latin1Slice(start, end), this.id);
	}
	override onTrailers(trailers: readonly string[]): void {
		this.#owner.say(`trailers ${this.id} ${trailers.join("=")}`);
	}
	override onEnd(): void {
		this.#owner.say(`end ${this.id}`);
	}
	override onReset(code: number, cause: string): void {
		this.#owner.say(`reset ${this.id} ${cause} ${code}`);
	}
	override onBlocked(): void {}
	override onDrain(): void {}
}
