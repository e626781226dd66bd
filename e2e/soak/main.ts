// `npm run soak [-- --minutes 30]`: Bookinfo under steady load while its routes change every few seconds and certificates
// live for a minute. Prints memory and counts each minute; ends with status 1 when a request failed. Not a test of CI: it takes real time.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { closeConnections, load, startTestMesh, type TestMesh } from "@weft/testkit";

const [suite, ...rest] = process.argv.slice(2);
if (suite === "verdicts") process.exit(await (await import("./verdicts.ts")).soakVerdicts(rest));
if (suite === "certificates") process.exit(await (await import("./certificates.ts")).soakCertificates(rest));
if (suite === "storm") process.exit(await (await import("./storm.ts")).soakStorm(rest));

const { values } = parseArgs({ options: { minutes: { type: "string", default: "30" } } });
const minutes = Number(values.minutes);
const examples = join(import.meta.dirname, "../../examples");
const read = (file: string) => readFileSync(join(examples, "bookinfo", file), "utf8");
const routes = ["virtual-service-all-v1", "virtual-service-reviews-90-10", "virtual-service-reviews-50-v3", "virtual-service-reviews-v3"];

/** Resident and anonymous memory of a process, MB; Linux only. */
function memoryOf(pid: number): { readonly rss: number; readonly anonymous: number } {
	const status = readFileSync(`/proc/${pid}/status`, "utf8");
	const of = (key: string) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024;
	return { rss: of("VmRSS"), anonymous: of("RssAnon") };
}

/** The sidecars' processes are the last of each pod's. */
function memoryLine(mesh: TestMesh): string {
	const sidecars = mesh.pods().map((pod) => memoryOf(pod.pids.at(-1) ?? process.pid));
	const most = (key: "rss" | "anonymous") => Math.max(...sidecars.map((m) => m[key])).toFixed(0);
	const control = memoryOf(mesh.controlPlanePid() ?? process.pid);
	return `largest sidecar ${most("rss")} MB (${most("anonymous")} anonymous), control plane ${control.rss.toFixed(0)} MB`;
}

async function churn(mesh: TestMesh, signal: AbortSignal): Promise<number> {
	let changes = 0;
	for (; !signal.aborted; changes++) {
		await mesh.applyYaml(read(`networking/${routes[changes % routes.length]}.yaml`));
		await sleep(3_000, undefined, { signal }).catch(() => undefined);
	}
	return changes;
}

const mesh = await startTestMesh({
	sources: [{ file: "bookinfo.yaml", text: read("bookinfo.yaml") }],
	imageFiles: [join(examples, "weft.local.yaml")],
	certificateTtl: "60s",
	concurrency: 2,
});
await mesh.applyYaml(read("networking/destination-rule-all.yaml"));
const stop = new AbortController();
const running = load(() => mesh.call("productpage", "/api/v1/products/0/reviews"), { requests: 50_000_000, concurrency: 8, pauseMs: 10, signal: stop.signal });
const changing = churn(mesh, stop.signal);
for (let minute = 1; minute <= minutes; minute++) {
	await sleep(60_000);
	console.log(`${String(minute).padStart(4)} min: ${memoryLine(mesh)}`);
}
stop.abort();
const { sent, kinds, errors } = await running;
const failed = sent - (kinds["200"] ?? 0);
console.log(`${sent} requests, ${failed} failed ${JSON.stringify(kinds)}, ${await changing} route changes; ${errors.slice(0, 3).join("; ")}`);
await mesh.stop();
closeConnections();
process.exitCode = failed === 0 ? 0 : 1;
