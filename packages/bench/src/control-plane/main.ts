import { writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { type ControlPlaneReport, type FailedShape, reportText } from "./report.ts";
import { type ChurnCost, type ControlPlaneResult, runChurn, runControlPlane } from "./run.ts";

type Shape = readonly [services: number, proxies: number];

/** Along services, and along proxies; of the many streams each is as a proxy's: subscribed to everything, and answering. */
const shapes: readonly Shape[] = [
	...[1000, 100, 500, 5000].map((services): Shape => [services, 200]),
	...[10, 100, 500].map((proxies): Shape => [1000, proxies]),
	[100, 2000],
];

const churn = { perSecond: 1000, seconds: 60 };

/**
 * `npm run bench -- control-plane [SERVICES PROXIES]...`: all shapes, or these. A shape takes two to five minutes, and the pages are
 * written after each; what can be waited for has a limit, and a shape that reaches one is reported as not measured.
 *
 * @returns the exit status: 1 when a shape could not be measured, 64 for arguments that are none
 */
export async function controlPlaneBench(args: readonly string[], log: (line: string) => void): Promise<number> {
	const asked = decodeShapes(args);
	if (asked === undefined) log(`${args.join(" ")}: SERVICES and PROXIES go in pairs of whole numbers`);
	if (asked === undefined) return 64;
	const started = performance.now();
	const progress = (line: string) => log(`${Math.round((performance.now() - started) / 1000)} s: ${line}`);
	const results: ControlPlaneResult[] = [];
	const failed: FailedShape[] = [];
	const wanted = asked.length > 0 ? asked : shapes;
	const machine = `${cpus().length} cores, ${cpus()[0]?.model.trim()}, Linux ${release()}, Node ${process.versions.node}`;
	let churned: ChurnCost | undefined;
	const report = (): ControlPlaneReport => ({ date: new Date().toISOString(), machine, results: results.toSorted(bySize), failed, churned });
	for (const [i, [services, proxies]] of wanted.entries()) {
		progress(`${services} services, ${proxies} proxies (${i + 1} of ${wanted.length})`);
		try {
			results.push(await runControlPlane(services, proxies, progress));
		} catch (error) {
			failed.push({ services, proxies, reason: reasonOf(error) });
			progress(`not measured: ${reasonOf(error)}`);
		}
		write(report());
	}
	const [services, proxies] = wanted.length === 1 ? (wanted[0] as Shape) : [1000, 200];
	progress(`${services} services, ${proxies} proxies, ${churn.perSecond} endpoint changes a second for ${churn.seconds} s`);
	try {
		churned = await runChurn(services, proxies, churn.perSecond, churn.seconds);
	} catch (error) {
		failed.push({ services, proxies, reason: `under steady changes: ${reasonOf(error)}` });
	}
	write(report());
	log(reportText(report()));
	return failed.length > 0 ? 1 : 0;
}

function decodeShapes(args: readonly string[]): readonly Shape[] | undefined {
	const numbers = args.map(Number);
	if (numbers.length % 2 !== 0 || !numbers.every((n) => Number.isInteger(n) && n > 0)) return undefined;
	return Array.from({ length: numbers.length / 2 }, (_, i): Shape => [numbers[2 * i] as number, numbers[2 * i + 1] as number]);
}

const bySize = (a: ControlPlaneResult, b: ControlPlaneResult): number => a.services - b.services || a.proxies - b.proxies;

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function write(report: ControlPlaneReport): void {
	const text = reportText(report);
	const folder = join(import.meta.dirname, "../../results");
	writeFileSync(join(folder, "control-plane.md"), text);
	writeFileSync(join(folder, "control-plane.json"), `${JSON.stringify(report, null, 1)}\n`);
}
