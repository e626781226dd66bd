/** Worked out once for each object, as long as it lives: most lists are those of the last snapshot. */
export function onceEach<T extends object, V>(workOut: (of: T) => V): (of: T) => V {
	const known = new WeakMap<T, V>();
	return (of) => {
		let found = known.get(of);
		if (found === undefined) {
			found = workOut(of);
			known.set(of, found);
		}
		return found;
	};
}
