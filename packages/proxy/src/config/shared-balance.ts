/**
 * How many connections of a listener each worker has, where a listener wants them even (`exact_balance`): one
 * SharedArrayBuffer that all workers count in. Listeners are told apart by a hash of their names; two that fall together
 * are even together.
 */

const rowsMax = 64;
/** Of a worker that is not there: never the fewest. */
const absent = 0x4000_0000;

export function createBalanceBuffer(workers: number): SharedArrayBuffer {
	const buffer = new SharedArrayBuffer(rowsMax * workers * Int32Array.BYTES_PER_ELEMENT);
	new Int32Array(buffer).fill(absent);
	return buffer;
}

/** A worker begins, without connections, or has ended. */
export function markWorker(buffer: SharedArrayBuffer, workers: number, worker: number, isThere: boolean): void {
	const words = new Int32Array(buffer);
	for (let row = 0; row < rowsMax; row++) Atomics.store(words, row * workers + worker, isThere ? 0 : absent);
}

export interface BalanceRow {
	count(worker: number, by: number): void;
	/** The one with the fewest; of several, the first. */
	fewest(): number;
}

export function openBalanceRow(buffer: SharedArrayBuffer, workers: number, listener: string): BalanceRow {
	const words = new Int32Array(buffer);
	const start = rowOf(listener) * workers;
	return {
		count: (worker, by) => void Atomics.add(words, start + worker, by),
		fewest() {
			let best = 0;
			for (let worker = 1; worker < workers; worker++) {
				if (Atomics.load(words, start + worker) < Atomics.load(words, start + best)) best = worker;
			}
			return best;
		},
	};
}

function rowOf(name: string): number {
	let hash = 0;
	for (let i = 0; i < name.length; i++) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) | 0;
	return (hash >>> 0) % rowsMax;
}
