/**
 * Token buckets that all workers draw from, and counts that all of them hold: in one SharedArrayBuffer, found by the hash
 * of what they belong to, so that no thread hands them out. A bucket is one word, the moment (microseconds of wall clock)
 * at which it would have been empty; what it holds now follows from the time since (as Envoy's AtomicTokenBucket).
 */

const placesMax = 4096;
/** So far a key is looked for beyond its place. */
const probesMax = 64;

export function createBucketBuffer(): SharedArrayBuffer {
	return new SharedArrayBuffer(placesMax * 2 * BigInt64Array.BYTES_PER_ELEMENT);
}

export interface BucketRate {
	readonly tokensMax: number;
	readonly tokensPerFill: number;
	readonly fillIntervalMs: number;
}

export interface Bucket {
	/** Every take succeeds, and it is as full as ever. */
	readonly isInexhaustible: boolean;
	/** Takes a token when there is one. */
	take(nowMs: number): boolean;
	/** Takes as many as there are, at most `wanted`. */
	takeUpTo(nowMs: number, wanted: number): number;
	/** Whole tokens in it. */
	remaining(nowMs: number): number;
	/** How long until there is one; 0: there is. */
	waitMs(nowMs: number): number;
}

/** `hash`: 64 bits of what tells the bucket from others, not 0. Without a place left it is this thread's own. */
export function openBucket(buffer: SharedArrayBuffer, hash: bigint, rate: BucketRate): Bucket {
	const words = new BigInt64Array(buffer);
	const word = findWord(words, hash);
	return word === undefined ? createOwnBucket(rate) : createBucket(words, word, rate);
}

/** How many of something there are in all workers. */
export interface SharedCount {
	/** False: there are `limit` or more, and this is not counted. */
	tryAdd(limit: number): boolean;
	remove(): void;
}

/** As `openBucket`. */
export function openCount(buffer: SharedArrayBuffer, hash: bigint): SharedCount {
	const shared = new BigInt64Array(buffer);
	const word = findWord(shared, hash);
	return word === undefined ? createCount(ownWord(), 0) : createCount(shared, word);
}

function createCount(words: BigInt64Array, at: number): SharedCount {
	return {
		tryAdd(limit) {
			if (Number(Atomics.add(words, at, 1n)) < limit) return true;
			Atomics.sub(words, at, 1n);
			return false;
		},
		remove: () => void Atomics.sub(words, at, 1n),
	};
}

/** How many of something each worker has, and all together. */
export interface SharedTally {
	/** Of this worker's own. */
	set(count: number): void;
	add(by: number): void;
	sum(): number;
}

/** `hashOf`: as of `openBucket`, of each worker's part. */
export function openTally(buffer: SharedArrayBuffer, hashOf: (worker: number) => bigint, workers: number, own: number): SharedTally {
	const shared = new BigInt64Array(buffer);
	const places = Array.from({ length: workers }, (_, worker) => findWord(shared, hashOf(worker)));
	const [words, at] = places[own] === undefined ? [ownWord(), 0] : [shared, places[own]];
	return {
		set: (count) => void Atomics.store(words, at, BigInt(count)),
		add: (by) => void Atomics.add(words, at, BigInt(by)),
		sum() {
			if (words !== shared) return Number(Atomics.load(words, at));
			return places.reduce<number>((sum, place) => sum + (place === undefined ? 0 : Number(Atomics.load(shared, place))), 0);
		},
	};
}

/** undefined: there is no place left near where it belongs. */
function findWord(words: BigInt64Array, hash: bigint): number | undefined {
	const wanted = BigInt.asIntN(64, hash) || 1n;
	const first = Number(BigInt.asUintN(32, hash)) % placesMax;
	for (let probe = 0; probe < probesMax; probe++) {
		const at = ((first + probe) % placesMax) * 2;
		const found = Atomics.compareExchange(words, at, 0n, wanted);
		if (found === 0n || found === wanted) return at + 1;
	}
	return undefined;
}

const ownWord = (): BigInt64Array => new BigInt64Array(new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT));

/** For one connection, or where nothing is shared. */
export function createOwnBucket(rate: BucketRate): Bucket {
	return createBucket(ownWord(), 0, rate);
}

/** A second: the most that a filter's message can say, and more than all workers could take, requests or bytes. It needs no count. */
const inexhaustible = 0xffff_ffff;

function createInexhaustible(tokensMax: number): Bucket {
	return { isInexhaustible: true, take: () => true, takeUpTo: (_nowMs, wanted) => Math.min(wanted, tokensMax), remaining: () => tokensMax, waitMs: () => 0 };
}

function createBucket(words: BigInt64Array, at: number, { tokensMax, tokensPerFill, fillIntervalMs }: BucketRate): Bucket {
	const perMicrosecond = tokensPerFill / (fillIntervalMs * 1000);
	if (tokensMax >= inexhaustible && tokensPerFill >= inexhaustible && fillIntervalMs <= 1_000) return createInexhaustible(tokensMax);
	// A clock that was set back would leave the bucket empty until it is where it was.
	const held = (emptyAt: number, now: number) => (emptyAt === 0 || emptyAt > now ? tokensMax : Math.min(tokensMax, (now - emptyAt) * perMicrosecond));
	const takeUpTo = (nowMs: number, wanted: number) => {
		const now = Math.floor(nowMs * 1000);
		for (;;) {
			const before = Atomics.load(words, at);
			const tokens = held(Number(before), now);
			// What a fraction lost in rounding must not cost a token.
			const taken = Math.min(wanted, Math.floor(tokens + 1e-9));
			if (taken === 0) return 0;
			const after = BigInt(Math.floor(now - (tokens - taken) / perMicrosecond));
			if (Atomics.compareExchange(words, at, before, after) === before) return taken;
		}
	};
	return {
		isInexhaustible: false,
		takeUpTo,
		take: (nowMs) => takeUpTo(nowMs, 1) === 1,
		waitMs(nowMs) {
			const tokens = held(Number(Atomics.load(words, at)), Math.floor(nowMs * 1000));
			return tokens >= 1 ? 0 : (1 - tokens) / perMicrosecond / 1000;
		},
		remaining: (nowMs) => Math.floor(held(Number(Atomics.load(words, at)), Math.floor(nowMs * 1000)) + 1e-9),
	};
}
