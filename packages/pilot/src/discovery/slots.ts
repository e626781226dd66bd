export interface Slots {
	run<T>(task: () => Promise<T>): Promise<T>;
}

/** At most so many tasks at a time; the others wait in line. */
export function createSlots(max: number): Slots {
	let busy = 0;
	const waiting: (() => void)[] = [];
	return {
		async run(task) {
			if (busy < max) busy++;
			else await new Promise<void>((resolve) => waiting.push(resolve));
			try {
				return await task();
			} finally {
				// The slot goes to the next in line, or is free.
				const next = waiting.shift();
				if (next) next();
				else busy--;
			}
		},
	};
}
