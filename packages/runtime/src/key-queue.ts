/** Runs tasks of one key one after the other, those of different keys beside each other. */
export interface KeyQueue {
	/** Resolves or rejects as the task does, once all earlier tasks of the key have ended. */
	run<T>(key: string, task: () => Promise<T>): Promise<T>;
}

/** Holds nothing of a key whose tasks have ended. */
export function createKeyQueue(): KeyQueue {
	const last = new Map<string, Promise<unknown>>();
	return {
		run(key, task) {
			const next = (last.get(key) ?? Promise.resolve()).then(task);
			const settled = next.then(
				() => undefined,
				() => undefined,
			);
			last.set(key, settled);
			void settled.then(() => {
				if (last.get(key) === settled) last.delete(key);
			});
			return next;
		},
	};
}
