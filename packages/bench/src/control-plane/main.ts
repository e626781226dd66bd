import { writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { type ControlPlaneReport, type FailedShape, reportText } from "./report.ts";
import { type ChurnCost, type ControlPlaneResult, runChurn, runControlPlane } from "./run.ts";

type Shape = readonly [services: number, proxies: number];

const shapes: readonly Shape[] = [100, 500, 1000, 5000].flatMap((services) => [10, 100, 200, 500].map((proxies): Shape => [services, proxies]));
/** Each of so many streams is as a proxy's: subscribed to everything, and answering. */
const manyStreams: Shape = [100, 2000];

const churn = { perSecond: 1000, seconds: 60 };

/**
 * `npm run bench -- control-plane [SERVICES PROXIES]`: all shapes, or one. A shape takes two to five minutes; what can be waited for
 * has a limit, and a shape that reaches one is reported as not measured.
 *
 * @returns the exit status: 1 when a shape could not be measured
 */
export async function controlPlaneBench(args: readonly string[], log: (line: string) => void): Promise<number> {
	const only: Shape | undefined = args.length >= 2 ? [Number(args[0]), Number(args[1])] : undefined;
	const started = performance.now();
	const progress = (line: string) => log(`${Math.round((performance.now() - started) / 1000)} s: ${line}`);
	const results: ControlPlaneResult[] = [];
	const failed: FailedShape[] = [];
	const wanted = only ? [only] : [...shapes, manyStreams];
	for (const [i, [services, proxies]] of wanted.entries()) {
		progress(`${services} services, ${proxies} proxies (${i + 1} of ${wanted.length})`);
		try {
			results.push(await runControlPlane(services, proxies, progress));
		} catch (error) {
			failed.push({ services, proxies, reason: reasonOf(error) });
			progress(`not measured: ${reasonOf(error)}`);
		}
	}
	const [services, proxies] = only ?? [1000, 200];
	progress(`${services} services, ${proxies} proxies, ${churn.perSecond} endpoint changes a second for ${churn.seconds} s`);
	let churned: ChurnCost | undefined;
	try {
		churned = await runChurn(services, proxies, churn.perSecond, churn.seconds);
	} catch (error) {
		failed.push({ services, proxies, reason: `under steady changes: ${reasonOf(error)}` });
	}
	const machine = `${cpus().length} cores, ${cpus()[0]?.model.trim()}, Linux ${release()}, Node ${process.versions.node}`;
	write({ date: new Date().toISOString(), machine, results, failed, churned }, log);
	return failed.length > 0 ? 1 : 0;
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function write(report: ControlPlaneReport, log: (line: string) => void): void {
	const text = reportText(report);
	log(text);
	const folder = join(import.meta.dirname, "../../results");
	writeFileSync(join(folder, "control-plane.md"), text);
	writeFileSync(join(folder, "control-plane.json"), `${JSON.stringify(report, null, 1)}\n`);
}
