import { receiveBufferBytes, ReceiveBuffers } from "./receive-buffers.ts";
import type { RingCalls } from "./ring-calls.ts";

// linux/io_uring.h
const setupFlags = { cqSize: 1 << 3, submitAll: 1 << 7, taskrunFlag: 1 << 9, singleIssuer: 1 << 12, deferTaskrun: 1 << 13 } as const;
const operations = { cancel: 14, send: 26, receive: 27 } as const;
/** What a connection brings at most before anybody was asked whether it is to go on. */
const receiveBytesMax = 4 * receiveBufferBytes;
const notASocket = 88;
const registerEventDescriptor = 4;
const offsets = { rings: 0, submissions: 0x1000_0000 } as const;
const getEvents = 1;
const bufferSelect = 1 << 5;
const receiveMultishot = 1 << 1;
/** There will be nothing yet: who reads again has just read all. */
const receivePollFirst = 1 << 0;
const eventsDisabled = 1;
/** IORING_SQ_TASKRUN and IORING_SQ_CQ_OVERFLOW */
const workWaits = (1 << 2) | (1 << 1);
const flagBuffer = 1;
const flagMore = 2;
/** MSG_NOSIGNAL | MSG_DONTWAIT: what does not go at once comes back. */
const sendFlags = 0x4040;

const submissionsMax = 256;
const completionsMax = 1024;
const submissionWords = 16;
const pageBytes = 4096;
const two32 = 2 ** 32;

/** What a completion belongs to: told with each submission. */
export const purposes = { receive: 1, send: 2, cancel: 3 } as const;

export const outgoingBytes = 128 * 1024;

/** A submission ring and a completion ring of io_uring(7), for one thread. https://man7.org/linux/man-pages/man7/io_uring.7.html */
export class IoRing {
	/** Readable when something completes while `rest` is in force. It is the caller's to close. */
	readonly eventDescriptor: number;
	readonly received: ReceiveBuffers;
	/** Sent from here. */
	readonly outgoing: Buffer;
	/** Of the completion that `next` took. */
	slot = 0;
	purpose = 0;
	/** Bytes, or an error's number, negative. */
	result = 0;
	/** Of a receive: where its bytes are among those received; -1: it has none. */
	start = -1;
	/** Of a receive: whether it goes on. */
	hasMore = false;
	readonly #calls: RingCalls;
	readonly #descriptor: number;
	readonly #rings: Int32Array;
	readonly #submissions: Uint32Array;
	readonly #words: Words;
	readonly #outgoingAt: number;
	#tail = 0;
	#receive = operations.receive | (bufferSelect << 8) | (receiveMultishot << 16);
	#receiveLimit = receiveBytesMax;

	/** undefined: the system refuses, or is too old (Linux 6.1 has all that is used). */
	static open(calls: RingCalls): IoRing | undefined {
		const parameters = new ArrayBuffer(pageBytes);
		const view = new Uint32Array(parameters);
		view[1] = completionsMax;
		view[2] = setupFlags.cqSize | setupFlags.submitAll | setupFlags.taskrunFlag | setupFlags.singleIssuer | setupFlags.deferTaskrun;
		const descriptor = calls.setup(submissionsMax, parameters);
		if (descriptor < 0) return undefined;
		try {
			return new IoRing(calls, descriptor, view);
		} catch {
			calls.close(descriptor);
			return undefined;
		}
	}

	private constructor(calls: RingCalls, descriptor: number, parameters: Uint32Array) {
		this.#calls = calls;
		this.#descriptor = descriptor;
		const words = readWords(parameters);
		this.#words = words;
		const ringWords = Math.max(words.completions + completionsMax * 4, words.array + submissionsMax);
		const rings = calls.map(descriptor, ringWords * 4, offsets.rings);
		const submissions = calls.map(descriptor, submissionsMax * submissionWords * 4, offsets.submissions);
		if (rings === undefined || submissions === undefined) throw new Error("the ring's memory cannot be mapped");
		this.#rings = new Int32Array(rings);
		this.#submissions = new Uint32Array(submissions);
		for (let i = 0; i < submissionsMax; i++) this.#rings[words.array + i] = i;
		this.outgoing = Buffer.from(new ArrayBuffer(outgoingBytes));
		this.#outgoingAt = calls.address(this.outgoing.buffer as ArrayBuffer);
		this.received = new ReceiveBuffers(calls, descriptor);
		this.eventDescriptor = this.#openEventDescriptor();
		this.#tryLimit();
	}

	/**
	 * A receive that goes on by itself would bring all that is in the socket at once, wanted or not. Where the system is too
	 * old to limit it (6.17 does), each brings one read.
	 */
	#tryLimit(): void {
		this.receive(0, this.eventDescriptor);
		this.advance();
		if (this.next() && this.result === -notASocket) return;
		this.#receive = operations.receive | (bufferSelect << 8) | (receivePollFirst << 16);
		this.#receiveLimit = 0;
	}

	#openEventDescriptor(): number {
		const event = this.#calls.eventDescriptor();
		if (event < 0) throw new Error("no event descriptor");
		const argument = new ArrayBuffer(pageBytes);
		new Int32Array(argument)[0] = event;
		if (this.#calls.register(this.#descriptor, registerEventDescriptor, argument, 1) >= 0) return event;
		this.#calls.close(event);
		throw new Error("the ring takes no event descriptor");
	}

	/** Completes with each read until it has brought enough, is cancelled, fails or finds no buffer. */
	receive(slot: number, fd: number): void {
		this.#push(this.#receive, fd, 0, 0, 0, 0, slot, purposes.receive, this.#receiveLimit);
	}

	/** Bytes of `outgoing`. Completes when it is submitted, with what could be sent at once. */
	send(slot: number, fd: number, start: number, length: number): void {
		const address = this.#outgoingAt + start;
		this.#push(operations.send, fd, address % two32, address / two32, length, sendFlags, slot, purposes.send, 0);
	}

	/** Ends what `receive` began. */
	cancel(slot: number): void {
		this.#push(operations.cancel, -1, slot, purposes.receive, 0, 0, slot, purposes.cancel, 0);
	}

	/** `struct io_uring_sqe` in words; those that are left out are never anything but zero. */
	#push(head: number, fd: number, addressLow: number, addressHigh: number, length: number, flags: number, slot: number, purpose: number, limit: number): void {
		if (this.waiting === submissionsMax) this.submit();
		const at = (this.#tail & (submissionsMax - 1)) * submissionWords;
		this.#tail = (this.#tail + 1) | 0;
		const submissions = this.#submissions;
		submissions[at] = head;
		submissions[at + 1] = fd;
		submissions[at + 4] = addressLow;
		submissions[at + 5] = addressHigh;
		submissions[at + 6] = length;
		submissions[at + 7] = flags;
		submissions[at + 8] = slot;
		submissions[at + 9] = purpose;
		submissions[at + 11] = limit;
	}

	/** Submissions that the kernel has not seen yet. */
	get waiting(): number {
		return (this.#tail - (this.#rings[this.#words.submissionHead] as number)) | 0;
	}

	/** Hands over what waits. */
	submit(): void {
		this.#enter(0);
	}

	/** Hands over what waits, and lets what is ready complete. */
	advance(): void {
		this.#enter(getEvents);
	}

	#enter(flags: number): void {
		this.#rings[this.#words.submissionTail] = this.#tail;
		this.#calls.enter(this.#descriptor, this.waiting, flags);
	}

	get hasCompletions(): boolean {
		return this.#rings[this.#words.completionHead] !== this.#rings[this.#words.completionTail];
	}

	/** Takes the next completion. False: there is none. */
	next(): boolean {
		const rings = this.#rings;
		const words = this.#words;
		const head = rings[words.completionHead] as number;
		if (head === rings[words.completionTail]) return false;
		const at = words.completions + (head & (completionsMax - 1)) * 4;
		this.slot = rings[at] as number;
		this.purpose = rings[at + 1] as number;
		this.result = rings[at + 2] as number;
		const flags = rings[at + 3] as number;
		this.hasMore = (flags & flagMore) !== 0;
		this.start = (flags & flagBuffer) === 0 ? -1 : (flags >>> 16) * receiveBufferBytes;
		rings[words.completionHead] = (head + 1) | 0;
		return true;
	}

	/** From now on the event descriptor tells of completions. False: something waits already, so it would not. */
	rest(): boolean {
		Atomics.store(this.#rings, this.#words.completionFlags, 0);
		return (Atomics.load(this.#rings, this.#words.submissionFlags) & workWaits) === 0 && !this.hasCompletions;
	}

	/** Whoever looks anyhow need not be told. */
	wake(): void {
		this.#rings[this.#words.completionFlags] = eventsDisabled;
	}

	/** Nothing may be asked of it any more. */
	close(): void {
		this.#calls.unmap(this.#rings.buffer as ArrayBuffer);
		this.#calls.unmap(this.#submissions.buffer as ArrayBuffer);
		this.#calls.close(this.#descriptor);
	}
}

/** Where the fields of both rings are, in words of their common memory. */
interface Words {
	readonly submissionHead: number;
	readonly submissionTail: number;
	readonly submissionFlags: number;
	readonly array: number;
	readonly completionHead: number;
	readonly completionTail: number;
	readonly completionFlags: number;
	readonly completions: number;
}

/** From `struct io_uring_params` as the kernel filled it in. */
function readWords(parameters: Uint32Array): Words {
	if (parameters[0] !== submissionsMax || parameters[1] !== completionsMax) throw new Error("a ring of another size");
	const word = (index: number) => (parameters[index] as number) / 4;
	return {
		submissionHead: word(10),
		submissionTail: word(11),
		submissionFlags: word(14),
		array: word(16),
		completionHead: word(20),
		completionTail: word(21),
		completionFlags: word(26),
		completions: word(25),
	};
}
