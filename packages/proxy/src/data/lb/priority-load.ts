/** How many hosts a priority has, by what they are good for. */
export interface PriorityCounts {
	readonly total: number;
	readonly healthy: number;
	readonly degraded: number;
	/** Draining hosts: part of `total`, but not of any share. */
	readonly excluded: number;
}

export interface PriorityLoad {
	/** Percent of the traffic for the healthy, and for the degraded hosts of each priority; together 100. */
	readonly healthy: readonly number[];
	readonly degraded: readonly number[];
	/** Priorities so short of good hosts that all their hosts are used. */
	readonly panic: readonly boolean[];
}

/**
 * Envoy's distribution of load over priorities, in whole percent (arch overview, "Priority levels" and "Panic
 * threshold"). `excluded` priorities count as having no good host; when nothing would be left they are taken after all.
 */
export function distributePriorityLoad(
	counts: readonly PriorityCounts[],
	overprovisioningFactor: number,
	panicThresholdPercent: number,
	excluded: readonly number[] = [],
): PriorityLoad {
	const share = (part: number, whole: number) => (whole > 0 ? Math.min(100, Math.floor((overprovisioningFactor * part) / whole)) : 0);
	const health = counts.map((c, i) => (excluded.includes(i) ? 0 : share(c.healthy, c.total - c.excluded)));
	const degradation = counts.map((c, i) => (excluded.includes(i) ? 0 : share(c.degraded, c.total - c.excluded)));
	const normalized = Math.min(100, sum(health) + sum(degradation));
	if (normalized === 0 && excluded.length > 0) return distributePriorityLoad(counts, overprovisioningFactor, panicThresholdPercent);
	const threshold = Math.min(100, panicThresholdPercent);
	if (normalized === 0 && threshold === 0) return everythingToFirst(counts);
	const panic = counts.map((c) => normalized !== 100 && isInPanic(c, threshold));
	if (panic.every(Boolean)) return distributeByHostCount(counts, panic);
	return { ...distributeByHealth(health, degradation, normalized), panic };
}

function distributeByHealth(health: readonly number[], degradation: readonly number[], normalized: number) {
	let left = 100;
	const allot = (availability: number) => {
		const load = Math.min(left, Math.floor((availability * 100) / normalized));
		left -= load;
		return load;
	};
	const healthy = normalized === 0 ? health.map(() => 0) : health.map(allot);
	const degraded = normalized === 0 ? degradation.map(() => 0) : degradation.map(allot);
	// What integer division lost goes to the first priority that can take it.
	const firstHealthy = health.findIndex((h) => h > 0);
	const firstDegraded = degradation.findIndex((d) => d > 0);
	if (firstHealthy >= 0) healthy[firstHealthy] = (healthy[firstHealthy] ?? 0) + left;
	else if (firstDegraded >= 0) degraded[firstDegraded] = (degraded[firstDegraded] ?? 0) + left;
	else if (healthy.length > 0) healthy[0] = left;
	return { healthy, degraded };
}

function distributeByHostCount(counts: readonly PriorityCounts[], panic: readonly boolean[]): PriorityLoad {
	const total = sum(counts.map((c) => c.total));
	if (total === 0) return { ...everythingToFirst(counts), panic };
	const healthy = counts.map((c) => Math.floor((100 * c.total) / total));
	const first = counts.findIndex((c) => c.total > 0);
	healthy[first] = (healthy[first] ?? 0) + 100 - sum(healthy);
	return { healthy, degraded: counts.map(() => 0), panic };
}

function everythingToFirst(counts: readonly PriorityCounts[]): PriorityLoad {
	return { healthy: counts.map((_, i) => (i === 0 ? 100 : 0)), degraded: counts.map(() => 0), panic: counts.map(() => false) };
}

/** Too few good hosts: all are used. */
export function isInPanic(counts: PriorityCounts, threshold: number): boolean {
	const whole = counts.total - counts.excluded;
	const percent = (part: number) => (whole === 0 ? 0 : (100 * part) / whole);
	return percent(counts.healthy) + percent(counts.degraded) < threshold;
}

function sum(values: readonly number[]): number {
	return values.reduce((a, b) => a + b, 0);
}

/** Index of the priority for a `point` in 0–99, and whether its degraded hosts are meant: `priority`, or `-1 - priority` for degraded. */
export function choosePriority(load: PriorityLoad, point: number): number {
	let reached = 0;
	for (let i = 0; i < load.healthy.length; i++) {
		reached += load.healthy[i] as number;
		if (point < reached) return i;
	}
	for (let i = 0; i < load.degraded.length; i++) {
		reached += load.degraded[i] as number;
		if (point < reached) return -1 - i;
	}
	return 0;
}
