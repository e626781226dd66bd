import type { Http2Options } from "../../config/http2-options.ts";
import { writeWindowUpdate } from "./frame-writer.ts";
import type { Http2Stream } from "./http2-stream.ts";
import type { Outbound } from "./outbound.ts";
import { defaultWindow } from "./protocol.ts";

/** What the peer may send, on the connection and on its streams (RFC 9113 §5.2). */
export class ReceiveWindows {
	readonly #outbound: Outbound;
	readonly #options: Http2Options;
	/** Of the connection. */
	#window = defaultWindow;
	#credit = 0;
	/** Nothing is given back any more. */
	isClosed = false;

	constructor(outbound: Outbound, options: Http2Options) {
		this.#outbound = outbound;
		this.#options = options;
	}

	/** Our side of the preface: what the connection's window has above the default. */
	start(): void {
		const { connectionWindow } = this.#options;
		if (connectionWindow <= defaultWindow) return;
		this.#window = connectionWindow;
		writeWindowUpdate(this.#outbound, 0, connectionWindow - defaultWindow);
	}

	/** A DATA frame of this length begins. False: it is more than the connection's window. */
	take(length: number): boolean {
		if (length > this.#window) return false;
		this.#window -= length;
		return true;
	}

	/** What has been read of a stream's. */
	addCredit(stream: Http2Stream, bytes: number): void {
		stream.credit += bytes;
		if (stream.pauses !== 0) {
			stream.heldBytes += bytes;
			return;
		}
		this.giveBack(bytes);
		this.#refill(stream);
	}

	/** At half the window, so that the peer neither waits nor is told of every frame. */
	#refill(stream: Http2Stream): void {
		const { credit } = stream;
		if (stream.isRemoteClosed || credit < this.#options.streamWindow >>> 1) return;
		stream.credit = 0;
		stream.receiveWindow += credit;
		writeWindowUpdate(this.#outbound, stream.id, credit);
	}

	/** Of the connection's window. */
	giveBack(bytes: number): void {
		this.#credit += bytes;
		if (this.#credit < this.#options.connectionWindow >>> 1 || this.isClosed) return;
		this.#window += this.#credit;
		writeWindowUpdate(this.#outbound, 0, this.#credit);
		this.#credit = 0;
	}

	/** The stream is gone, or goes on: the connection gets back what it held. */
	release(stream: Http2Stream): void {
		const { heldBytes } = stream;
		stream.heldBytes = 0;
		if (heldBytes > 0) this.giveBack(heldBytes);
	}

	/** Reasons are the caller's bits; the peer's window is not refilled while any stands. */
	pause(stream: Http2Stream, reason: number): void {
		stream.pauses |= reason;
	}

	resume(stream: Http2Stream, reason: number): void {
		if ((stream.pauses & reason) === 0) return;
		stream.pauses &= ~reason;
		if (stream.pauses !== 0 || stream.isGone) return;
		this.release(stream);
		this.#refill(stream);
	}
}
