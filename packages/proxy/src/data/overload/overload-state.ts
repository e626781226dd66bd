import {
	type LoadShedPointName,
	loadShedPoints,
	type OverloadActionName,
	overloadActions,
	type OverloadInit,
	overloadScale,
	overloadWords,
	type ScaledTimerKind,
} from "../../config/overload.ts";

const wordOf = (name: OverloadActionName): number => overloadWords.actions + overloadActions.indexOf(name);
const words = {
	requests: wordOf("stop_accepting_requests"),
	keepalive: wordOf("disable_http_keepalive"),
	connections: wordOf("stop_accepting_connections"),
	reject: wordOf("reject_incoming_connections"),
	timeouts: wordOf("reduce_timeouts"),
} as const;

/** What the overload manager wants of one worker. Only there where the bootstrap has one. */
export class OverloadState {
	readonly #words: Int32Array;
	readonly #random: () => number;
	readonly #timers: OverloadInit["timers"];
	readonly #connectionsMax: number;
	/** Those that are configured, with their places. */
	readonly #shedPoints: ReadonlyMap<LoadShedPointName, number>;
	/** This worker's own word of connections. */
	readonly #own: number;

	constructor({ buffer, timers, shedPoints, connectionsMax }: OverloadInit, workerIndex: number, random: () => number) {
		this.#words = new Int32Array(buffer);
		this.#random = random;
		this.#timers = timers;
		this.#connectionsMax = connectionsMax ?? Number.POSITIVE_INFINITY;
		this.#shedPoints = new Map(shedPoints.map((point) => [point, loadShedPoints.indexOf(point)]));
		this.#own = overloadWords.connections + workerIndex;
		// Of a worker that died before.
		Atomics.store(this.#words, this.#own, 0);
	}

	/** A share of requests is answered by 503. */
	get rejectsRequest(): boolean {
		return this.sheds("http_connection_manager_decode_headers") || this.#isDrawn(words.requests);
	}

	hasPoint(point: LoadShedPointName): boolean {
		return this.#shedPoints.has(point);
	}

	/** Whether what is at this point now is to be refused; counts it. */
	sheds(point: LoadShedPointName): boolean {
		const place = this.#shedPoints.get(point);
		if (place === undefined || !this.#isDrawn(overloadWords.shedPoints + place)) return false;
		Atomics.add(this.#words, overloadWords.shedCounts + place, 1);
		return true;
	}

	/** A share of responses is their connection's last. */
	get disablesKeepalive(): boolean {
		return this.#isDrawn(words.keepalive);
	}

	get stopsAccepting(): boolean {
		return Atomics.load(this.#words, words.connections) >= overloadScale;
	}

	/** A share of connections is closed as they come. */
	get rejectsConnection(): boolean {
		return this.#isDrawn(words.reject);
	}

	#isDrawn(word: number): boolean {
		const value = Atomics.load(this.#words, word);
		return value > 0 && (value >= overloadScale || this.#random() * overloadScale < value);
	}

	/** A timeout as it is to be now. 0 stays: there is none. */
	scale(kind: ScaledTimerKind, timeoutMs: number): number {
		const value = Atomics.load(this.#words, words.timeouts);
		if (value === 0 || timeoutMs === 0) return timeoutMs;
		const timer = this.#timers.find((one) => one.timer === kind);
		if (timer === undefined) return timeoutMs;
		const leastMs = Math.min(timeoutMs, "minMs" in timer ? timer.minMs : timeoutMs * timer.minShare);
		return Math.max(1, leastMs + (timeoutMs - leastMs) * (1 - value / overloadScale));
	}

	/** False: there are as many as may be, over all workers. Count them by `addConnections`. */
	get hasRoom(): boolean {
		if (this.#connectionsMax === Number.POSITIVE_INFINITY) return true;
		let sum = 0;
		for (let i = overloadWords.connections; i < this.#words.length; i++) sum += Atomics.load(this.#words, i);
		return sum < this.#connectionsMax;
	}

	addConnections(by: number): void {
		Atomics.add(this.#words, this.#own, by);
	}
}
