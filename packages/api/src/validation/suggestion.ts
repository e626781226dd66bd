/** Longest name that a suggestion is looked for: the distance costs its square. */
const lengthMax = 64;

/** Optimal string alignment distance: insertions, deletions, substitutions, swaps of neighbours. */
function distance(a: string, b: string): number {
	const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
	for (let i = 1; i <= a.length; i++) {
		const row = [i];
		for (let j = 1; j <= b.length; j++) {
			const same = a[i - 1] === b[j - 1] ? 0 : 1;
			const above = rows[i - 1] ?? [];
			let best = Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (above[j - 1] ?? 0) + same);
			if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (rows[i - 2]?.[j - 2] ?? 0) + 1);
			row.push(best);
		}
		rows.push(row);
	}
	return rows[a.length]?.[b.length] ?? 0;
}

/** snake_case, kebab-case and capitals do not count: protobuf names are known under both spellings. */
const fold = (name: string) => name.replace(/[_-]/g, "").toLowerCase();

/** The candidates nearest to `name`, best first; none where nothing is near enough to be meant. */
export function nearNames(name: string, candidates: readonly string[], countMax = 3): readonly string[] {
	if (name.length > lengthMax) return [];
	const folded = fold(name);
	const limit = Math.max(1, Math.floor(folded.length / 3));
	return candidates
		.map((candidate) => ({ candidate, far: distance(folded, fold(candidate)) }))
		.filter(({ far }) => far <= limit)
		.sort((a, b) => a.far - b.far || (a.candidate < b.candidate ? -1 : 1))
		.slice(0, countMax)
		.map(({ candidate }) => candidate);
}

/** ` (did you mean "x"?)`, or nothing. */
export function didYouMean(name: string, candidates: readonly string[]): string {
	const near = nearNames(name, candidates, 1)[0];
	return near === undefined ? "" : `; did you mean "${near}"?`;
}

/** Untrusted text inside a message: bounded, one line. */
export function quote(value: unknown): string {
	const text = typeof value === "string" ? JSON.stringify(value) : String(value);
	return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
