import type { ChurnCost, ControlPlaneResult, PushCost } from "./run.ts";

/** A shape that could not be measured to its end. */
export interface FailedShape {
	readonly services: number;
	readonly proxies: number;
	readonly reason: string;
}

export interface ControlPlaneReport {
	readonly date: string;
	readonly machine: string;
	readonly results: readonly ControlPlaneResult[];
	readonly failed: readonly FailedShape[];
	readonly churned: ChurnCost | undefined;
}

const number = (n: number) => (Number.isNaN(n) ? "–" : n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2));

const tableRow = (cells: readonly (string | number)[]): string => `| ${cells.join(" | ")} |`;

const tableHead = (names: readonly string[]): string => `${tableRow(names)}\n|${"---|".repeat(names.length)}`;

const none = { lastMs: Number.NaN, cpuMsPerProxy: Number.NaN, kbPerProxy: Number.NaN };

type Figures = Pick<PushCost, "lastMs" | "cpuMsPerProxy" | "kbPerProxy">;

const figures = ({ lastMs, cpuMsPerProxy, kbPerProxy }: Figures): readonly number[] => [lastMs, cpuMsPerProxy, kbPerProxy];

function row(name: string, services: number, proxies: number, costs: readonly Figures[], peakRssMb: number): string {
	return tableRow([name, services, proxies, ...[...costs.flatMap(figures), peakRssMb].map(number)]);
}

const weftRow = ({ services, proxies, cold, route, virtualHost, endpoint, peakRssMb }: ControlPlaneResult): string =>
	row("weft", services, proxies, [cold, route.warm, virtualHost.warm, endpoint.warm], peakRssMb);

// istiod 1.30.3 on the same kind of machine and workload, delta ADS, 200 proxies (its debounce taken off).
const istiodRow = row(
	"istiod 1.30.3 (reference)",
	1000,
	200,
	[
		{ lastMs: 14145, cpuMsPerProxy: 88.7, kbPerProxy: 4520 },
		{ lastMs: 1196, cpuMsPerProxy: 8.63, kbPerProxy: 619 },
		none,
		{ lastMs: 58, cpuMsPerProxy: 0.21, kbPerProxy: 1.8 },
	],
	1352,
);

function firstRow({ services, proxies, route, virtualHost, endpoint }: ControlPlaneResult): string {
	const costs = [route, virtualHost, endpoint].flatMap(({ first, warm }) => [first.lastMs, first.cpuMsPerProxy, warm.cpuMsPerProxy]);
	return tableRow([services, proxies, ...costs.map(number)]);
}

function largeRow({ services, proxies, endpoints: { warm }, peakRssInAllMb }: ControlPlaneResult): string {
	return tableRow([services, proxies, ...[...figures(warm), warm.loopDelayMaxMs, peakRssInAllMb].map(number)]);
}

function churnRow(c: ChurnCost): string {
	return tableRow([c.services, c.proxies, c.changes, ...[c.lastMs, c.cpuMs, c.kbPerProxy, c.loopDelayP99Ms, c.peakRssMb].map(number)]);
}

interface Bar {
	readonly services: number;
	readonly proxies: number;
	readonly what: string;
	readonly most: number;
	readonly of: (result: ControlPlaneResult) => number;
}

const at = (services: number, proxies: number, bars: readonly (readonly [what: string, most: number, of: Bar["of"]])[]): readonly Bar[] =>
	bars.map(([what, most, of]) => ({ services, proxies, what, most, of }));

/** What is promised. */
const bars: readonly Bar[] = [
	...at(1000, 200, [
		["initial push: last ms", 3500, ({ cold }) => cold.lastMs],
		["initial push: CPU ms/proxy", 12, ({ cold }) => cold.cpuMsPerProxy],
		["route edit: last ms", 300, ({ route }) => route.warm.lastMs],
		["route edit: CPU ms/proxy", 0.9, ({ route }) => route.warm.cpuMsPerProxy],
		["route edit by VHDS: last ms", 40, ({ virtualHost }) => virtualHost.warm.lastMs],
		["route edit by VHDS: CPU ms/proxy", 0.1, ({ virtualHost }) => virtualHost.warm.cpuMsPerProxy],
		["route edit by VHDS: kB/proxy", 4, ({ virtualHost }) => virtualHost.warm.kbPerProxy],
		["endpoint change: last ms", 40, ({ endpoint }) => endpoint.warm.lastMs],
		["endpoint change: CPU ms/proxy", 0.08, ({ endpoint }) => endpoint.warm.cpuMsPerProxy],
		["peak RSS MB", 450, ({ peakRssMb }) => peakRssMb],
	]),
	...at(1000, 500, [["initial push: last ms", 12_000, ({ cold }) => cold.lastMs]]),
];

function barRows(results: readonly ControlPlaneResult[]): readonly string[] {
	return bars.flatMap(({ services, proxies, what, most, of }) => {
		const result = results.find((r) => r.services === services && r.proxies === proxies);
		if (result === undefined) return [];
		const value = of(result);
		return [tableRow([services, proxies, what, number(most), number(value), value <= most ? "met" : "**missed**"])];
	});
}

const pushColumns = (name: string): readonly string[] => [`${name}: last ms`, "CPU ms/proxy", "kB/proxy"];
const firstColumns = (name: string): readonly string[] => [`${name}: first, last ms`, "first, CPU ms/proxy", "warm, CPU ms/proxy"];

/** The whole report as Markdown. */
export function reportText({ date, machine, results, failed, churned }: ControlPlaneReport): string {
	const edits = results.map(
		({ services, proxies, route, virtualHost, endpoint }) =>
			`${services} services, ${proxies} proxies: one route edit caused ${route.warm.builds} builds and ${route.warm.encodes} encodes (${virtualHost.warm.builds} and ${virtualHost.warm.encodes} by VHDS), one endpoint change ${endpoint.warm.builds} and ${endpoint.warm.encodes}.`,
	);
	const barred = barRows(results);
	return [
		"# Control plane",
		"",
		`Recorded ${date.slice(0, 10)} on ${machine}. Delta ADS; times are beyond the debounce of 100 ms; clients run in another process on the same cores and subscribe as Envoy does, to the endpoints of every cluster, with its window of HTTP/2 (16 MiB; 64 KiB, as gRPC clients of Node have, would cost a seventh more CPU at the first push).`,
		"Figures of edits are medians of up to 25 after up to 25 that are not counted: a control plane lives for days, and its first edits run code that is not compiled yet (both are in the table of first edits).",
		"istiod's row was measured on another machine of this kind with the same workload and a client of the same kind; compare CPU to about a quarter.",
		"",
		tableHead(["", "services", "proxies", ...["initial", "route edit", "by VHDS", "endpoint"].flatMap(pushColumns), "peak RSS MB"]),
		...results.map(weftRow),
		istiodRow,
		"",
		...failed.map(({ services, proxies, reason }) => `${services} services, ${proxies} proxies: **not measured**, ${reason}`),
		...(failed.length > 0 ? [""] : []),
		...(barred.length > 0 ? [tableHead(["services", "proxies", "bar", "at most", "measured", ""]), ...barred, ""] : []),
		"The first edit after start beside the median.",
		"",
		tableHead(["services", "proxies", ...["route edit", "by VHDS", "endpoint"].flatMap(firstColumns)]),
		...results.map(firstRow),
		"",
		"One endpoint of each service moves, all at once.",
		"",
		tableHead(["services", "proxies", "last ms", "CPU ms/proxy", "kB/proxy", "longest event loop delay ms", "peak RSS MB"]),
		...results.map(largeRow),
		"",
		...(churned ? churnText(churned) : []),
		...edits,
		"",
	].join("\n");
}

function churnText(churned: ChurnCost): readonly string[] {
	return [
		`${churned.perSecond} endpoint changes a second for ${churned.seconds} s. Changes that never pause are pushed when the debounce's cap of 10 s is reached, as istiod's are; that wait is in "last ms".`,
		"",
		tableHead(["services", "proxies", "changes", "after the last change: last ms", "CPU ms/s", "kB/s/proxy", "event loop delay p99 ms", "peak RSS MB"]),
		churnRow(churned),
		"",
	];
}
