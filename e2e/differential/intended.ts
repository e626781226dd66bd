/** A difference that was looked at and stays, with the reason. Both patterns have to match. */
export interface Intended {
	readonly case: RegExp;
	/** As in `Difference.path`. */
	readonly path: RegExp;
	readonly why: string;
}

export const intended: readonly Intended[] = [];
