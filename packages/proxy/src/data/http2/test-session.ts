import type { Http2Options } from "../../config/http2-options.ts";
import { http2Defaults } from "../../config/http2-defaults.ts";
import { RequestHead } from "../codec/request-head.ts";
import { type Connection, silentHandler } from "../transport/connection.ts";
import type { HpackDecoder } from "./hpack-decoder.ts";
import { Http2Stream } from "./http2-stream.ts";
import { Outbound, OutboundQueue } from "./outbound.ts";
import type { Http2ConnectionError } from "./protocol.ts";
import { type Malformed, RequestFields } from "./request-fields.ts";
import { Http2Session, type SessionOwner } from "./session.ts";
import { FrameLog, type ReceivedFrame } from "./test-frames.ts";

/** Test helper: a server's session without a socket, that says what happens to its streams. */
export class TestSession implements SessionOwner {
	readonly isServer = true;
	readonly listBytesMax: number;
	readonly headersMax = 100;
	readonly session: Http2Session;
	readonly events: string[] = [];
	readonly stats: number[] = [];
	error: Http2ConnectionError | undefined;
	nowMs = 1;
	readonly streamWindow: number;
	/** Whether the transport takes what is written. */
	isReading = true;
	readonly #log = new FrameLog();
	readonly #outbound: Outbound;

	constructor(options: Partial<Http2Options> = {}, listBytesMax = 60 * 1024) {
		this.listBytesMax = listBytesMax;
		this.streamWindow = options.streamWindow ?? http2Defaults.streamWindow;
		const connection = {
			handler: silentHandler,
			write: (bytes: Uint8Array) => {
				this.#log.reader.feed(Buffer.from(bytes), 0, bytes.length);
				return this.isReading ? "written" : "queued";
			},
		} as unknown as Connection;
		this.#outbound = new Outbound(connection, new OutboundQueue(() => {}));
		this.session = new Http2Session(this, { ...http2Defaults, ...options }, this.#outbound, () => this.nowMs);
		this.session.start();
	}

	/** All that was sent so far. */
	get frames(): readonly ReceivedFrame[] {
		this.#outbound.flush();
		return this.#log.frames;
	}

	feed(...pieces: readonly Buffer[]): void {
		const bytes = Buffer.concat(pieces);
		this.session.feed(bytes, 0, bytes.length);
	}

	openStream(id: number): TestStream {
		this.events.push(`open ${id}`);
		return new TestStream(this, id);
	}
	onStreamClosed(): void {}
	onSettings(): void {}
	onGoaway(lastStreamId: number, code: number): void {
		this.events.push(`goaway ${lastStreamId} ${code}`);
	}
	onPong(): void {
		this.events.push("pong");
	}
	onFailed(error: Http2ConnectionError): void {
		this.error = error;
	}
	count(stat: number): void {
		this.stats.push(stat);
	}
}

const fields = new RequestFields();

export class TestStream extends Http2Stream {
	readonly head = new RequestHead();
	readonly #owner: TestSession;

	constructor(owner: TestSession, id: number) {
		super(owner.session, id, owner.session.peer.initialWindowSize, owner.streamWindow, owner.nowMs);
		this.#owner = owner;
	}

	#say(text: string): void {
		this.#owner.events.push(`${text} ${this.id}`);
	}

	override readHead(decoder: HpackDecoder, bytes: Buffer, start: number, end: number, isEnd: boolean): Malformed | undefined {
		fields.begin(this.head, decoder.id, this.#owner.listBytesMax, this.#owner.headersMax);
		decoder.decode(bytes, start, end, fields);
		const malformed = fields.finish(isEnd, true);
		this.hasHead = true;
		this.expectedBytes = this.head.contentLength;
		return malformed;
	}
	override onHead(isEnd: boolean): void {
		this.#say(`head ${this.head.method} ${this.head.path}${isEnd ? " end" : ""}`);
	}
	override onMalformed(reason: Malformed): boolean {
		this.#say(`malformed ${reason}`);
		return false;
	}
	override onData(bytes: Buffer, start: number, end: number): void {
		this.#say(`data ${bytes.latin1Slice(start, end)}`);
	}
	override onTrailers(trailers: readonly string[]): void {
		this.#say(`trailers ${trailers.join("=")}`);
	}
	override onEnd(): void {
		this.#say("end");
	}
	override onReset(code: number, cause: string): void {
		this.#say(`reset ${cause} ${code}`);
	}
	override onBlocked(): void {
		this.#say("blocked");
	}
	override onDrain(): void {
		this.#say("drain");
	}
}
