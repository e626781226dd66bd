/**
 * What the main thread and all workers share: circuit-breaker counters per cluster, health counters per host, in one
 * growable SharedArrayBuffer of 32-bit words. A slot is the index of its first word. Only the main thread allocates
 * slots and sets the `ejected` word; everybody may count. Limits hold over all workers, which Envoy's shared atomics
 * only do approximately: add first, compare the result, undo when over.
 */

/** A cache line: hosts do not slow each other down. */
const slotWords = 16;

export const slotBytes: number = slotWords * Int32Array.BYTES_PER_ELEMENT;

/** Word offsets inside a cluster's slot; the high priority's four follow the default's. */
const connectionsWord = 0;
const pendingWord = 1;
const requestsWord = 2;
const retriesWord = 3;
const highPriorityWord = 4;
/** Whether any connection was ever made: health checks are rarer before. */
const everConnectedWord = 8;

/** Word offsets inside a host's slot. */
const ejectedWord = 0;
const consecutive5xxWord = 1;
const consecutiveGatewayWord = 2;
const consecutiveLocalOriginWord = 3;
const healthFlagsWord = 5;
/** Since the last look of the outlier detection: answers, and good ones among them; the local-origin two follow. */
const requestsSeenWord = 6;
const localRequestsSeenWord = 8;
const hostConnectionsWord = 10;

/** Slot 0 is nobody's: hosts that only one worker knows (original destination) carry it; they are never ejected. */
export const noSlot = 0;

/** In slot 1, which is never allocated: raised on every ejection and return, so that a balancer sees with one read whether its host lists are still right. */
const ejectionGenerationWord = slotWords;

export type SharedWords = Int32Array<SharedArrayBuffer>;
export type BreakerResource = "connections" | "pending" | "requests" | "retries";
export type FailureKind = "consecutive5xx" | "consecutiveGateway" | "localOrigin";

const resourceWord: Readonly<Record<BreakerResource, number>> = {
	connections: connectionsWord,
	pending: pendingWord,
	requests: requestsWord,
	retries: retriesWord,
};
const failureWord: Readonly<Record<FailureKind, number>> = {
	consecutive5xx: consecutive5xxWord,
	consecutiveGateway: consecutiveGatewayWord,
	localOrigin: consecutiveLocalOriginWord,
};

/** Address space for `slotsMax` slots (default 262 144, 16 MiB reserved); memory is taken as slots are allocated. */
export function createSharedBuffer(slotsMax = 262_144): SharedArrayBuffer {
	return new SharedArrayBuffer(Math.min(slotsMax, 512) * slotBytes, { maxByteLength: slotsMax * slotBytes });
}

/** A view that follows the buffer as it grows, so that workers need not be told. */
export function viewSharedWords(buffer: SharedArrayBuffer): SharedWords {
	return new Int32Array(buffer);
}

/** One slot alone, as slot 0: a view of fixed size is read without asking how large the buffer is now. */
export function viewSlot(words: SharedWords, slot: number): SharedWords {
	return new Int32Array(words.buffer, slot * Int32Array.BYTES_PER_ELEMENT, slotWords);
}

export interface SlotAllocator {
	readonly buffer: SharedArrayBuffer;
	/** A zeroed slot, or `noSlot` when the buffer is full (then this cluster shares its counts with others like it, and this host is never ejected). */
	allocate(): number;
	/** To be called once no worker uses the slot any more, i.e. after the update that removed it was acknowledged by all. */
	free(slot: number): void;
	readonly used: number;
}

/** Main thread only. */
export function createSlotAllocator(buffer: SharedArrayBuffer = createSharedBuffer()): SlotAllocator {
	const words = viewSharedWords(buffer);
	const freed: number[] = [];
	let next = 2 * slotWords;
	let used = 0;
	const grown = () => {
		if ((next + slotWords) * 4 <= buffer.byteLength) return true;
		if (buffer.byteLength + slotBytes > buffer.maxByteLength) return false;
		buffer.grow(Math.min(buffer.byteLength * 2, buffer.maxByteLength));
		return true;
	};
	return {
		buffer,
		allocate() {
			const slot = freed.pop();
			if (slot === undefined && !grown()) return noSlot;
			used++;
			if (slot !== undefined) return slot;
			const fresh = next;
			next += slotWords;
			return fresh;
		},
		free(slot) {
			if (slot === noSlot) return;
			for (let i = 0; i < slotWords; i++) Atomics.store(words, slot + i, 0);
			freed.push(slot);
			used--;
		},
		get used() {
			return used;
		},
	};
}

/**
 * The word of one cluster's resource: look it up once per cluster and priority, then use `tryAcquire` and `release`.
 * Clusters that got `noSlot` share one set of counts.
 */
export function breakerWord(breakerSlot: number, priority: "default" | "high", resource: BreakerResource): number {
	return breakerSlot + resourceWord[resource] + (priority === "high" ? highPriorityWord : 0);
}

/** True: one more is held and must be given back with `release`. */
export function tryAcquire(words: SharedWords, word: number, limit: number): boolean {
	if (Atomics.add(words, word, 1) < limit) return true;
	Atomics.sub(words, word, 1);
	return false;
}

/** Takes one whatever the limit: one connection per host is always allowed, as in Envoy. */
export function acquire(words: SharedWords, word: number): void {
	Atomics.add(words, word, 1);
}

export function release(words: SharedWords, word: number): void {
	Atomics.sub(words, word, 1);
}

export function readWord(words: SharedWords, word: number): number {
	return Atomics.load(words, word);
}

/** Retry budget: a share of the requests under way, at least `concurrencyMin`; replaces `retriesMax`. */
export function retryBudgetLimit(words: SharedWords, breakerSlot: number, priority: "default" | "high", percent: number, concurrencyMin: number): number {
	const active = Atomics.load(words, breakerWord(breakerSlot, priority, "requests")) + Atomics.load(words, breakerWord(breakerSlot, priority, "pending"));
	return Math.max(Math.floor((active * percent) / 100), concurrencyMin);
}

/** What active health checks say of a host; the words of Envoy's admin page. */
export const healthFlags = {
	failedActiveHc: 1,
	degradedActiveHc: 2,
	/** Was not checked yet, and does not count for its priority until it is. */
	pendingActiveHc: 4,
	/** Said itself that it must not be used. */
	excludedViaImmediateHcFail: 8,
	activeHcTimeout: 16,
	/** No endpoint of the cluster any more; goes when a check fails. */
	pendingDynamicRemoval: 32,
} as const;

export function readHealthFlags(words: SharedWords, hostSlot: number): number {
	return hostSlot === noSlot ? 0 : Atomics.load(words, hostSlot + healthFlagsWord);
}

/** Main thread only. */
export function writeHealthFlags(words: SharedWords, hostSlot: number, flags: number): void {
	if (hostSlot === noSlot) return;
	if (Atomics.exchange(words, hostSlot + healthFlagsWord, flags) !== flags) Atomics.add(words, ejectionGenerationWord, 1);
}

export function markConnected(words: SharedWords, breakerSlot: number): void {
	if (Atomics.load(words, breakerSlot + everConnectedWord) === 0) Atomics.store(words, breakerSlot + everConnectedWord, 1);
}

export function wasEverConnected(words: SharedWords, breakerSlot: number): boolean {
	return Atomics.load(words, breakerSlot + everConnectedWord) !== 0;
}

/** One more answer of this host's. `local`: whether the connection could be made, rather than what was answered. */
export function countOutcome(words: SharedWords, hostSlot: number, isGood: boolean, local: boolean): void {
	const word = hostSlot + (local ? localRequestsSeenWord : requestsSeenWord);
	Atomics.add(words, word, 1);
	if (isGood) Atomics.add(words, word + 1, 1);
}

/** What was counted since the last call. */
export function takeOutcomes(words: SharedWords, hostSlot: number, local: boolean): { readonly total: number; readonly good: number } {
	const word = hostSlot + (local ? localRequestsSeenWord : requestsSeenWord);
	const good = Atomics.exchange(words, word + 1, 0);
	return { total: Math.max(good, Atomics.exchange(words, word, 0)), good };
}

/** Connections to this host over all workers (`per_host_thresholds`). */
export function hostConnectionsOf(hostSlot: number): number {
	return hostSlot + hostConnectionsWord;
}

export function isEjected(words: SharedWords, hostSlot: number): boolean {
	return hostSlot !== noSlot && Atomics.load(words, hostSlot + ejectedWord) !== 0;
}

/** Main thread only. */
export function setEjected(words: SharedWords, hostSlot: number, ejected: boolean): void {
	if (hostSlot === noSlot) return;
	Atomics.store(words, hostSlot + ejectedWord, ejected ? 1 : 0);
	Atomics.add(words, ejectionGenerationWord, 1);
}

export function readEjectionGeneration(words: SharedWords): number {
	return Atomics.load(words, ejectionGenerationWord);
}

/** The count including this failure. */
export function countFailure(words: SharedWords, hostSlot: number, kind: FailureKind): number {
	return Atomics.add(words, hostSlot + failureWord[kind], 1) + 1;
}

/** Reads before it writes: a healthy host's cache line stays shared between the cores. */
export function clearFailures(words: SharedWords, hostSlot: number, kind: FailureKind): void {
	const word = hostSlot + failureWord[kind];
	if (Atomics.load(words, word) !== 0) Atomics.store(words, word, 0);
}
