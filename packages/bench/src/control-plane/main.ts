import { writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { type ChurnCost, type ControlPlaneResult, runChurn, runControlPlane } from "./run.ts";

// istiod 1.30.3 on the same kind of machine and workload, delta ADS, 200 proxies (its debounce taken off).
const istiod: Omit<ControlPlaneResult, "endpoints"> = {
	services: 1000,
	proxies: 200,
	cold: { lastMs: 14145, cpuMsPerProxy: 88.7, kbPerProxy: 4520 },
	route: { lastMs: 1196, cpuMsPerProxy: 8.63, kbPerProxy: 619, builds: 0, encodes: 0 },
	virtualHost: { lastMs: Number.NaN, cpuMsPerProxy: Number.NaN, kbPerProxy: Number.NaN, builds: 0, encodes: 0 },
	endpoint: { lastMs: 58, cpuMsPerProxy: 0.21, kbPerProxy: 1.8, builds: 0, encodes: 0 },
	rssMb: 1352,
	peakRssMb: 1352,
};

const number = (n: number) => (Number.isNaN(n) ? "–" : n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2));

function row(name: string, r: Omit<ControlPlaneResult, "endpoints">): string {
	const cells = [
		r.cold.lastMs,
		r.cold.cpuMsPerProxy,
		r.cold.kbPerProxy,
		r.route.lastMs,
		r.route.cpuMsPerProxy,
		r.route.kbPerProxy,
		r.virtualHost.lastMs,
		r.virtualHost.cpuMsPerProxy,
		r.virtualHost.kbPerProxy,
		r.endpoint.lastMs,
		r.endpoint.cpuMsPerProxy,
		r.endpoint.kbPerProxy,
		r.peakRssMb,
	];
	return `| ${[name, r.services, r.proxies, ...cells.map(number)].join(" | ")} |`;
}

function largeRow({ services, proxies, endpoints: { lastMs, cpuMsPerProxy, kbPerProxy, loopDelayMaxMs, peakRssMb } }: ControlPlaneResult): string {
	return `| ${[services, proxies, ...[lastMs, cpuMsPerProxy, kbPerProxy, loopDelayMaxMs, peakRssMb].map(number)].join(" | ")} |`;
}

type Shape = readonly [services: number, proxies: number];

const shapes: readonly Shape[] = [
	[100, 10],
	[500, 100],
	[1000, 10],
	[1000, 200],
	[1000, 500],
	[5000, 100],
];
/** Each of so many streams is as a proxy's: subscribed to everything, and answering. */
const manyStreams: Shape = [100, 2000];

const churn = { perSecond: 1000, seconds: 60 };

function churnRow(c: ChurnCost): string {
	return `| ${[c.services, c.proxies, c.changes, ...[c.lastMs, c.cpuMs, c.kbPerProxy, c.loopDelayP99Ms, c.peakRssMb].map(number)].join(" | ")} |`;
}

/** `npm run bench -- control-plane [SERVICES PROXIES]`: all shapes, or one. */
export async function controlPlaneBench(args: readonly string[]): Promise<void> {
	const only: Shape | undefined = args.length >= 2 ? [Number(args[0]), Number(args[1])] : undefined;
	const results: ControlPlaneResult[] = [];
	for (const [services, proxies] of only ? [only] : [...shapes, manyStreams]) {
		console.log(`${services} services, ${proxies} proxies…`);
		results.push(await runControlPlane(services, proxies));
	}
	const [services, proxies] = only ?? [1000, 200];
	console.log(`${services} services, ${proxies} proxies, ${churn.perSecond} endpoint changes a second for ${churn.seconds} s…`);
	const churned = await runChurn(services, proxies, churn.perSecond, churn.seconds);
	const table = [
		"| | services | proxies | initial: last ms | CPU ms/proxy | kB/proxy | route edit: last ms | CPU ms/proxy | kB/proxy | by VHDS: last ms | CPU ms/proxy | kB/proxy | endpoint: last ms | CPU ms/proxy | kB/proxy | peak RSS MB |",
		`|${"---|".repeat(16)}`,
		...results.map((r) => row("weft", r)),
		row("istiod 1.30.3 (reference)", istiod),
	];
	const machine = `${cpus().length} cores, ${cpus()[0]?.model.trim()}, Linux ${release()}, Node ${process.versions.node}`;
	const text = [
		"# Control plane",
		"",
		`Recorded ${new Date().toISOString().slice(0, 10)} on ${machine}. Delta ADS; times are beyond the debounce of 100 ms; clients run in another process on the same cores; medians of five pushes after five that are not counted.`,
		"istiod's row was measured on another machine of this kind with the same workload and a client of the same kind; compare CPU to about a quarter.",
		"",
		...table,
		"",
		"One endpoint of each service moves, all at once.",
		"",
		"| services | proxies | last ms | CPU ms/proxy | kB/proxy | longest event loop delay ms | peak RSS MB |",
		`|${"---|".repeat(7)}`,
		...results.map(largeRow),
		"",
		`${churn.perSecond} endpoint changes a second for ${churn.seconds} s. Changes that never pause are pushed when the debounce's cap of 10 s is reached, as istiod's are; that wait is in "last ms".`,
		"",
		"| services | proxies | changes | after the last change: last ms | CPU ms/s | kB/s/proxy | event loop delay p99 ms | peak RSS MB |",
		`|${"---|".repeat(8)}`,
		churnRow(churned),
		"",
		...results.map(
			(r) =>
				`${r.services} services, ${r.proxies} proxies: one route edit caused ${r.route.builds} builds and ${r.route.encodes} encodes (${r.virtualHost.builds} and ${r.virtualHost.encodes} by VHDS), one endpoint change ${r.endpoint.builds} and ${r.endpoint.encodes}.`,
		),
		"",
	].join("\n");
	console.log(text);
	const folder = join(import.meta.dirname, "../../results");
	writeFileSync(join(folder, "control-plane.md"), text);
	writeFileSync(join(folder, "control-plane.json"), `${JSON.stringify({ machine, date: new Date().toISOString(), results, churned }, null, 1)}\n`);
}
