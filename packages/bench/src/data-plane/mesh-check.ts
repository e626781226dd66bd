import { readFileSync, statSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { collectorPath, type Subject } from "./subject.ts";

const attempts = 60;
const pauseMs = 100;

/**
 * Looks, after a first load, whether what the mesh features are to write was written: each proxy's access log has lines, spans came to
 * the collector, and each weft-proxy counted requests as Istio's metrics. Waits for at most 6 s, as logs and spans are sent in batches.
 * @returns what is missing, if anything
 */
export async function findMissingOutput(subject: Subject, spansLog: string, signal: AbortSignal): Promise<string | undefined> {
	let missing = await missingOutput(subject, spansLog);
	for (let attempt = 1; attempt < attempts && missing !== undefined; attempt++) {
		await delay(pauseMs, undefined, { signal });
		missing = await missingOutput(subject, spansLog);
	}
	return missing;
}

async function missingOutput({ peer, scenario, roles }: Subject, spansLog: string): Promise<string | undefined> {
	for (const { mesh, adminPort } of roles) {
		if (mesh === undefined) continue;
		if ((statSync(mesh.accessLog, { throwIfNoEntry: false })?.size ?? 0) === 0) return `no access log at ${mesh.accessLog}`;
		if (peer.name === "weft-proxy" && !(await (await fetch(`http://127.0.0.1:${adminPort}/stats/prometheus`)).text()).includes("istio_requests_total{"))
			return "no istio_requests_total";
	}
	const paths = readFileSync(spansLog, "utf8").split("\n");
	return paths.includes(collectorPath(peer, scenario)) ? undefined : "no spans at the collector";
}
