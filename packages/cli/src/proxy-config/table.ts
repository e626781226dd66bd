/** Rows under a head, and the resources that they were made of for `-o json`. */
export interface ProxyTable {
	readonly head: readonly string[];
	readonly rows: readonly (readonly string[])[];
	readonly resources: readonly unknown[];
	/** Blanks between columns where istioctl has others than five. */
	readonly gap?: number;
}

export interface TableFilters {
	readonly fqdn?: string;
	readonly port?: string;
	readonly direction?: string;
	readonly subset?: string;
	readonly address?: string;
	readonly type?: string;
	readonly name?: string;
	readonly cluster?: string;
	readonly status?: string;
}

/** True where nothing is asked for, or just this. */
export function isWanted(wanted: string | undefined, value: string): boolean {
	return wanted === undefined || wanted === value;
}

/** As tables of numbers and names are read: 80 before 9080, both before "http.8080". */
export function compareNames(a: string, b: string): number {
	const [x, y] = [Number(a), Number(b)];
	if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
	if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
	return a < b ? -1 : a > b ? 1 : 0;
}
