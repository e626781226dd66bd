// `npm run soak -- certificates [--minutes 10]`: STRICT traffic on kept and on new connections under certificates of a minute, with
// three roots one after the other, and the authority away for 40 % of a certificate's life whenever no root is under way. Prints each
// minute; ends with status 1 when a request failed, or when not everything of that was seen.
import { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { AuthorityStatus } from "@weft/citadel";
import { closeConnections, load, startTestMesh, type TestMesh } from "@weft/testkit";
import { peerAuthentication, service, workload } from "../inprocess/mesh-yaml.ts";

const ttlMs = 60_000;
const awayMs = 0.4 * ttlMs;
const rotationsMax = 2;

interface Seen {
	/** Fingerprints of the roots that signed. */
	readonly roots: Set<string>;
	absences: number;
}

export async function soakCertificates(args: readonly string[]): Promise<number> {
	const { values } = parseArgs({ args: [...args], options: { minutes: { type: "string", default: "10" } } });
	const yaml =
		workload({ name: "server", app: "http-app.ts", ports: [8000], replicas: 2 }) +
		service("server", [{ name: "http", port: 8000 }]) +
		peerAuthentication("STRICT");
	const mesh = await startTestMesh({ yaml, certificateTtl: `${ttlMs / 1_000}s` });
	const stop = new AbortController();
	const once = new Agent({ keepAlive: false });
	const running = load((n) => mesh.call("server", "/", n % 5 === 0 ? { agent: once, headers: { connection: "close" } } : {}), {
		requests: 50_000_000,
		concurrency: 4,
		pauseMs: 10,
		signal: stop.signal,
	});
	const seen: Seen = { roots: new Set(), absences: 0 };
	const disturbing = disturb(mesh, seen, stop.signal);
	try {
		for (let minute = 1; minute <= Number(values.minutes); minute++) {
			await Promise.race([sleep(60_000), disturbing]);
			console.log(`${String(minute).padStart(4)} min: ${seen.roots.size} roots have signed, the authority was away ${seen.absences} times`);
		}
	} finally {
		stop.abort();
	}
	await disturbing;
	const { sent, kinds, errors } = await running;
	await mesh.stop();
	closeConnections();
	const failed = sent - (kinds["200"] ?? 0);
	console.log(`${sent} requests, ${failed} failed ${JSON.stringify(kinds)}; ${errors.slice(0, 3).join("; ")}`);
	return failed === 0 && seen.roots.size > rotationsMax && seen.absences > 0 ? 0 : 1;
}

/** Rejects when the authority says what it should not. */
async function disturb(mesh: TestMesh, seen: Seen, signal: AbortSignal): Promise<void> {
	for (let rotations = 0; !signal.aborted; await sleep(2_000, undefined, { signal }).catch(() => undefined)) {
		const status = (await mesh.client.get("ca")) as AuthorityStatus;
		for (const { slot, fingerprint } of status.roots) if (slot === "current") seen.roots.add(fingerprint);
		if (rotations < rotationsMax && status.phase !== "distribute") {
			await mesh.client.post("ca/rotate");
			rotations++;
		} else if (status.phase === "steady" && rotations === rotationsMax) {
			await leave(mesh);
			seen.absences++;
			// Everybody renews before it goes again.
			await sleep(ttlMs, undefined, { signal }).catch(() => undefined);
		}
	}
}

/** It is there and does not answer, which takes longer to notice than a connection that is refused. */
async function leave(mesh: TestMesh): Promise<void> {
	const pid = mesh.controlPlanePid();
	if (pid === undefined) throw new Error("there is no control plane to stop");
	process.kill(pid, "SIGSTOP");
	try {
		await sleep(awayMs);
	} finally {
		process.kill(pid, "SIGCONT");
	}
}
