import type { RawBindings, RawPipe } from "../raw-bindings.ts";
import { IoRing, outgoingBytes, purposes } from "./io-ring.ts";
import { receiveBuffers } from "./receive-buffers.ts";
import type { RingCalls } from "./ring-calls.ts";

/** Of `IoRing`. */
type Completion = Pick<IoRing, "slot" | "purpose" | "result" | "start" | "hasMore">;

/** Whoever reads and writes by the ring, as its loop sees it. */
export interface RingUser {
	readonly descriptor: number;
	/** `count`: bytes from `start` on, 0 for the end, or an error's number, negative. `hasMore`: further reads follow by themselves. */
	onReceived(bytes: Buffer, start: number, count: number, hasMore: boolean): void;
	/** Of what it sent: how much left, or an error's number. The bytes are still there. */
	onSent(bytes: Buffer, start: number, count: number): void;
	/** It asked to be called before the event loop waits. */
	onTurn(): void;
}

/**
 * One ring within Node's event loop. A turn: what has completed is handed out; whatever that leads to is put together while
 * the loop's poll phase lasts and written at its end; then one call hands all of it to the kernel and lets what has come in
 * the meantime complete. Only when there is nothing is the event descriptor in force, by which libuv waits.
 */
export class RingLoop {
	readonly #ring: IoRing;
	readonly #alarm: RawPipe;
	/** libuv reads the counter into it. */
	readonly #counter = Buffer.allocUnsafeSlow(4096);
	readonly #users: (RingUser | undefined)[] = [];
	readonly #freeSlots: number[] = [];
	/** Where what a slot sends begins in `outgoing`. */
	readonly #starts: number[] = [];
	#outgoing = 0;
	#receiving = 0;
	#isAwake = false;
	#isClosed = false;
	/** Completions of others that `settle` met. */
	readonly #passedOver: Completion[] = [];
	readonly #callers: RingUser[] = [];
	readonly #turn = (): void => this.#advance();

	/** undefined: no ring is to be had. */
	static open(calls: RingCalls, bindings: RawBindings): RingLoop | undefined {
		const ring = IoRing.open(calls);
		if (ring === undefined) return undefined;
		const alarm = new bindings.Pipe(bindings.pipe.SOCKET);
		if (alarm.open(ring.eventDescriptor) === 0) return new RingLoop(ring, alarm);
		calls.close(ring.eventDescriptor);
		ring.close();
		return undefined;
	}

	private constructor(ring: IoRing, alarm: RawPipe) {
		this.#ring = ring;
		this.#alarm = alarm;
		alarm.onread = () => this.#onAlarm();
		alarm.useUserBuffer(this.#counter);
		alarm.readStart();
		alarm.unref();
	}

	/** Gives the slot by which the user is known. */
	add(user: RingUser): number {
		const slot = this.#freeSlots.pop() ?? this.#users.length;
		this.#users[slot] = user;
		return slot;
	}

	/** Nothing of it is under way any more. */
	remove(slot: number): void {
		this.#users[slot] = undefined;
		this.#freeSlots.push(slot);
	}

	receive(slot: number): void {
		if (this.#isClosed) return;
		this.#ring.receive(slot, (this.#users[slot] as RingUser).descriptor);
		if (this.#receiving++ === 0) this.#alarm.ref();
		this.#awake();
	}

	cancel(slot: number): void {
		if (this.#isClosed) return;
		this.#ring.cancel(slot);
		this.#awake();
	}

	/** One send of a slot at a time. False: there is no more room in this turn. */
	send(slot: number, bytes: Uint8Array): boolean {
		const start = this.#outgoing;
		const { length } = bytes;
		if (this.#isClosed || start + length > outgoingBytes) return false;
		this.#ring.outgoing.set(bytes, start);
		this.#outgoing = start + length;
		this.#starts[slot] = start;
		this.#ring.send(slot, (this.#users[slot] as RingUser).descriptor, start, length);
		this.#awake();
		return true;
	}

	/** What was asked for reaches the kernel now: before a descriptor is closed, or it would mean another. */
	submit(): void {
		if (!this.#isClosed && this.#ring.waiting > 0) this.#ring.submit();
	}

	/** What the slot has under way ends at once, and is told; completions of others wait for the turn. */
	settle(slot: number): void {
		const ring = this.#ring;
		ring.advance();
		while (ring.next()) {
			if (ring.slot === slot) this.#tell(ring);
			else this.#passedOver.push({ slot: ring.slot, purpose: ring.purpose, result: ring.result, start: ring.start, hasMore: ring.hasMore });
		}
		this.#awake();
	}

	/** Calls `onTurn` in the next turn, or in a later one: as many as there are buffers come at a time. */
	callInTurn(user: RingUser): void {
		this.#callers.push(user);
		this.#awake();
	}

	#awake(): void {
		if (this.#isAwake) return;
		this.#isAwake = true;
		this.#ring.wake();
		setImmediate(this.#turn);
	}

	#onAlarm(): void {
		if (this.#isAwake) return;
		this.#isAwake = true;
		this.#ring.wake();
		this.#ring.advance();
		this.#handOut();
		// Behind what the events have put off to the end of the turn.
		setImmediate(this.#turn);
	}

	#advance(): void {
		if (this.#isClosed) return;
		this.#ring.advance();
		if (this.#callers.length > 0) this.#call();
		if (this.#handOut() || this.#ring.waiting > 0 || this.#callers.length > 0 || !this.#ring.rest()) {
			this.#ring.wake();
			setImmediate(this.#turn);
		} else this.#isAwake = false;
	}

	#call(): void {
		for (const user of this.#callers.splice(0, receiveBuffers)) user.onTurn();
	}

	/** Gives whether there was anything. */
	#handOut(): boolean {
		const ring = this.#ring;
		let count = this.#passedOver.length;
		if (count > 0) for (const completion of this.#passedOver.splice(0)) this.#tell(completion);
		while (ring.next()) {
			count++;
			this.#tell(ring);
		}
		// All that was sent has been told of, and is not looked at again.
		if (ring.waiting === 0 && this.#passedOver.length === 0) this.#outgoing = 0;
		return count > 0;
	}

	#tell({ slot, purpose, result, start, hasMore }: Completion): void {
		const user = this.#users[slot];
		const { outgoing, received } = this.#ring;
		if (purpose === purposes.receive) {
			if (!hasMore && --this.#receiving === 0) this.#alarm.unref();
			user?.onReceived(received.bytes, start, result, hasMore);
			if (start >= 0) received.giveBack(start);
		} else if (purpose === purposes.send) user?.onSent(outgoing, this.#starts[slot] as number, result);
	}

	/** Connections that are open nevertheless hear no more. */
	close(): void {
		if (this.#isClosed) return;
		this.#isClosed = true;
		this.#alarm.close();
		this.#ring.close();
	}
}
