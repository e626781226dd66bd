interface EdfItem<T> {
	readonly value: T;
	deadline: number;
	/** Insertion order breaks ties, first in first out. */
	order: number;
}

/** Earliest-deadline-first: an item of weight w comes up every 1/w; a binary heap on (deadline, order), nothing allocated per pick. */
export interface EdfScheduler<T> {
	/** The next item, which is put back with its weight of now. */
	pick(): T | undefined;
	readonly size: number;
}

/**
 * `skip` picks are thrown away first, so that workers (and replicas) do not start in step. Weights must be > 0; an item
 * whose weight is not is never picked.
 */
export function createEdfScheduler<T>(values: readonly T[], weightOf: (value: T) => number, skip = 0): EdfScheduler<T> {
	const heap: EdfItem<T>[] = [];
	let order = 0;
	let now = 0;
	for (const value of values) {
		const weight = weightOf(value);
		if (!(weight > 0)) continue;
		heap.push({ value, deadline: 1 / weight, order: order++ });
		siftUp(heap, heap.length - 1);
	}
	const pick = () => {
		const top = heap[0];
		if (top === undefined) return undefined;
		now = top.deadline;
		const weight = weightOf(top.value);
		top.deadline = now + 1 / (weight > 0 ? weight : Number.MIN_VALUE);
		top.order = order++;
		siftDown(heap, 0);
		return top.value;
	};
	for (let i = 0; i < skip; i++) pick();
	return { pick, size: heap.length };
}

function isBefore<T>(a: EdfItem<T>, b: EdfItem<T>): boolean {
	return a.deadline < b.deadline || (a.deadline === b.deadline && a.order < b.order);
}

function siftUp<T>(heap: EdfItem<T>[], start: number): void {
	let i = start;
	while (i > 0) {
		const parent = (i - 1) >> 1;
		const item = heap[i] as EdfItem<T>;
		const above = heap[parent] as EdfItem<T>;
		if (!isBefore(item, above)) return;
		heap[i] = above;
		heap[parent] = item;
		i = parent;
	}
}

function siftDown<T>(heap: EdfItem<T>[], start: number): void {
	let i = start;
	for (;;) {
		const left = 2 * i + 1;
		if (left >= heap.length) return;
		const right = left + 1;
		const child = right < heap.length && isBefore(heap[right] as EdfItem<T>, heap[left] as EdfItem<T>) ? right : left;
		const item = heap[i] as EdfItem<T>;
		const below = heap[child] as EdfItem<T>;
		if (!isBefore(below, item)) return;
		heap[i] = below;
		heap[child] = item;
		i = child;
	}
}
