import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "../../../../scripts/peers-find.mjs";
import { startBackends } from "./backends.ts";
import { makeCertificates } from "./certificates.ts";
import type { DataPlaneOptions } from "./options.ts";
import type { MissingPeer } from "./peers.ts";
import { needsH2load, type ScenarioName, scenarios } from "./scenarios.ts";
import { loadCore, type Surroundings } from "./subject.ts";

/** The programs that put the load on and answer it. */
export type Tools = { readonly wrk: string; readonly nginx: string; readonly h2load: string | undefined; readonly nghttpd: string | undefined };

/** @returns undefined, once it has said so, when something is missing that no measurement can do without */
export function findTools(log: (line: string) => void): Tools | undefined {
	const [wrk, nginx, h2load, nghttpd] = ["wrk", "nginx", "h2load", "nghttpd"].map(findProgram);
	if (process.platform === "linux" && wrk !== undefined && nginx !== undefined && findProgram("taskset") !== undefined) return { wrk, nginx, h2load, nghttpd };
	log("the data plane bench needs Linux with wrk (load), nginx (backend) and taskset: apt-get install wrk nginx-light util-linux");
	return undefined;
}

/** The wanted scenarios whose tools are here; the others come back with what installs them. */
export function chooseScenarios(
	options: DataPlaneOptions,
	{ h2load, nghttpd }: Tools,
): { readonly scenarios: readonly ScenarioName[]; readonly missing: readonly MissingPeer[] } {
	const missing = options.scenarios.flatMap((name) => {
		if (h2load === undefined && needsH2load(name)) return [{ name, fix: "apt-get install nghttp2-client" }];
		return nghttpd === undefined && scenarios[name].isGrpc ? [{ name, fix: "apt-get install nghttp2-server" }] : [];
	});
	return { scenarios: options.scenarios.filter((name) => !missing.some((left) => left.name === name)), missing };
}

/** Runs the backends in a folder of their own for as long as the work takes. */
export async function withSurroundings<T>({ nginx, nghttpd }: Tools, work: (around: Surroundings) => Promise<T>): Promise<T> {
	const folder = mkdtempSync(join(tmpdir(), "weft-bench-"));
	try {
		const backends = await startBackends(nginx, nghttpd, folder, loadCore);
		try {
			return await work({ backends, certificates: makeCertificates(folder), folder });
		} finally {
			await backends.stop();
		}
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}
