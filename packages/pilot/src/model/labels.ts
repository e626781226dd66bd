export type Labels = Readonly<Record<string, string>>;

/** Every label of the selector is there with that value. An empty selector matches everything. */
export function labelsMatch(selector: Labels | undefined, labels: Labels): boolean {
	if (!selector) return true;
	for (const key in selector) {
		if (!Object.hasOwn(labels, key) || labels[key] !== selector[key]) return false;
	}
	return true;
}

export const isEmpty = (record: Labels | undefined): boolean => !record || Object.keys(record).length === 0;
