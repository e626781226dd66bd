import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findProgram } from "../../../../scripts/peers-find.mjs";
import { type LoadOptions, runLoad } from "../data-plane/load.ts";
import type { LoadResult } from "../data-plane/load-output.ts";
import { findPeers, type Peer } from "../data-plane/peers.ts";
import { startPinned } from "../data-plane/process-group.ts";
import { readCpuUs } from "../data-plane/process-sample.ts";
import { freePorts, waitForAnswer } from "../data-plane/readiness.ts";
import { median } from "../data-plane/summary.ts";
import { managerOf, type PolicyKind, policyKinds, usualCounts } from "./policies.ts";

const rounds = 3;
const seconds = 1;
/** What is compiled as it runs has been by then, and what starting left to do is done. */
const warming = { seconds: 2, connections: 16 };
const [proxyCore, loadCore] = [0, 1];
/** From 1 to 1 000 rules, of what is judged by a look-up. */
const growthMax = 2;

const packageFolder = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

interface Figures {
	/** With one request on its way at a time. */
	readonly p50Us: number;
	/** Of one of many: beside few requests, what a proxy does anyhow would count. */
	readonly cpuUs: number;
}

interface Row {
	readonly kind: string;
	readonly isFlat: boolean;
	readonly peer: string;
	/** Beyond what the same proxy needs without a policy, by the number of rules. */
	readonly added: readonly Figures[];
	/** All that a request needs with the most rules ÷ with one. */
	readonly cpuGrowth: number;
}

/** What policies add to a request, with 1, 100 and 1 000 rules, the last of which decides; weft-proxy and Envoy with the same file. */
export async function policiesBench(log: (line: string) => void, signal: AbortSignal): Promise<number> {
	const wrk = findProgram("wrk");
	if (wrk === undefined || findProgram("taskset") === undefined) {
		log("the policies bench needs Linux with wrk and taskset: apt-get install wrk util-linux");
		return 69;
	}
	const loadBefore = loadavg()[0] ?? 0;
	const { found, missing } = findPeers(dirname(dirname(packageFolder)), ["envoy", "weft-proxy"]);
	for (const { name, fix } of missing) log(`${name} is missing and left out: ${fix}`);
	const folder = mkdtempSync(join(tmpdir(), "weft-policies-"));
	const rows: Row[] = [];
	try {
		for (const peer of found) {
			for (const kind of policyKinds) {
				const row = await measureKind(peer, kind, { wrk, folder, signal });
				rows.push(row);
				log(JSON.stringify(row));
			}
		}
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
	write(rows, loadBefore, found);
	return 0;
}

interface Around {
	readonly wrk: string;
	readonly folder: string;
	readonly signal: AbortSignal;
}

/** All of them side by side, in turns, so that what disturbs one disturbs all. */
async function measureKind(peer: Peer, kind: PolicyKind, around: Around): Promise<Row> {
	const subjects = await Promise.all([0, ...(kind.counts ?? usualCounts)].map((rules) => start(peer, kind, rules, around.folder)));
	try {
		for (const subject of subjects) await load(subject, warming, around);
		const taken: Figures[][] = subjects.map(() => []);
		for (let round = 0; round < rounds; round++) {
			for (const [index, subject] of subjects.entries()) taken[index]?.push(await measure(subject, around));
		}
		const [none, ...some] = taken.map((figures): Figures => ({ p50Us: median(figures.map((f) => f.p50Us)), cpuUs: median(figures.map((f) => f.cpuUs)) }));
		if (none === undefined) throw new Error("nothing was measured");
		const added = some.map((figures) => ({ p50Us: figures.p50Us - none.p50Us, cpuUs: figures.cpuUs - none.cpuUs }));
		return { kind: kind.name, isFlat: kind.isFlat, peer: peer.name, added, cpuGrowth: (some.at(-1)?.cpuUs ?? Number.NaN) / (some[0]?.cpuUs ?? Number.NaN) };
	} finally {
		await Promise.all(subjects.map((subject) => subject.stop()));
	}
}

interface Subject {
	readonly pid: number;
	readonly url: string;
	readonly headers: readonly string[];
	stop(): Promise<void>;
}

async function start(peer: Peer, kind: PolicyKind, rules: number, parent: string): Promise<Subject> {
	const [port = 0, adminPort = 0] = await freePorts(2);
	const folder = mkdtempSync(join(parent, "proxy-"));
	const file = join(folder, "bootstrap.json");
	writeFileSync(file, JSON.stringify(bootstrapOf(managerOf(rules === 0 ? [] : kind.objects(rules)), port, adminPort)));
	const running = startPinned(proxyCore, peer.command(file, folder), folder, peer.environment);
	const asked = Math.max(1, rules);
	const url = `http://127.0.0.1:${port}${kind.path(asked)}`;
	try {
		// Whether this request passes is the load's to say: what is asked here has no headers.
		await waitForAnswer({ url: `http://127.0.0.1:${adminPort}/ready`, kind: "http1", bodyBytes: "LIVE\n".length }, running.exited);
	} catch (error) {
		await running.stop();
		throw new Error(`${peer.name}, ${kind.name}, ${rules} rules: ${String(error)}\n${running.output().slice(0, 2_000)}`, { cause: error });
	}
	return { pid: running.pid, url, headers: kind.headers?.(asked) ?? [], stop: running.stop };
}

async function measure(subject: Subject, around: Around): Promise<Figures> {
	const before = readCpuUs(subject.pid);
	const { requests } = await load(subject, { seconds, connections: 16 }, around);
	const cpuUs = (readCpuUs(subject.pid) - before) / requests;
	const { p50Us } = await load(subject, { seconds, connections: 1 }, around);
	return { p50Us, cpuUs };
}

type Amount = Pick<LoadOptions, "seconds" | "connections">;

async function load({ url, headers }: Subject, amount: Amount, { wrk, folder, signal }: Around): Promise<LoadResult> {
	const request = { url, http2: false, headers, connectionShare: 1 };
	const result = await runLoad({ wrk, h2load: undefined, request, ...amount, folder, core: loadCore, signal });
	if (result.failed > 0) throw new Error(`${result.failed} of ${result.requests} requests to ${url} were not let through`);
	return result;
}

const loopback = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });

/** The proxy answers by itself, so that nothing but the policies differs. */
function bootstrapOf(manager: Readonly<Record<string, unknown>>, port: number, adminPort: number): object {
	const router = { name: "envoy.filters.http.router", typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } };
	const routes = [{ match: { prefix: "/" }, direct_response: { status: 200 } }];
	const whole = {
		...manager,
		httpFilters: [...(manager["httpFilters"] as readonly object[]), router],
		routeConfig: { name: "r", virtualHosts: [{ name: "all", domains: ["*"], routes }] },
	};
	const filters = [{ name: "envoy.filters.network.http_connection_manager", typed_config: whole }];
	return {
		node: { id: "bench", cluster: "bench" },
		admin: { address: loopback(adminPort) },
		static_resources: { listeners: [{ name: "bench", address: loopback(port), filter_chains: [{ filters }] }] },
	};
}

function write(rows: readonly Row[], load: number, peers: readonly Peer[]): void {
	const date = new Date().toISOString().slice(0, 10);
	const cell = ({ p50Us, cpuUs }: Figures) => `${p50Us.toFixed(1)} / ${cpuUs.toFixed(1)}`;
	const goal = ({ peer, isFlat, cpuGrowth }: Row) =>
		peer !== "weft-proxy" || !isFlat ? "–" : cpuGrowth <= growthMax ? `≤ ${growthMax}: reached` : `≤ ${growthMax}: **missed**`;
	const lines = [
		"# Policies",
		"",
		`Recorded ${date} on ${cpus().length} cores, ${cpus()[0]?.model.replace(/ \d+-Core Processor/, "") ?? ""}, Linux ${release()}, ${peers.map(({ name, version }) => `${name} ${version}`).join(", ")}, load average ${load.toFixed(1)}. \`npm run bench -- policies\`.`,
		`What a policy adds to a request: median latency and CPU, each in µs, beyond what the same proxy needs without one. What Pilot emits, in a static file that both proxies get; answered by the proxy itself; the last rule decides. Latency with one HTTP/1.1 request at a time, CPU with sixteen. Medians of ${rounds} rounds of ${seconds} s after ${warming.seconds} s to warm up, all numbers of rules in turns.`,
		"Growth is of all CPU that a request needs, from one rule to the most. PeerAuthentication is not here: it chooses filter chains, once a connection.",
		...(load > cpus().length ? ["**Disturbed**: others kept the cores busy meanwhile; compare CPU, not latencies."] : []),
		"",
		`| policy | proxy | ${usualCounts.map((rules) => `${rules} ${rules === 1 ? "rule" : "rules"}`).join(" | ")} | growth | goal |`,
		"|---|---|---|---|---|---|---|",
		...rows.map((row) => `| ${row.kind} | ${row.peer} | ${row.added.map(cell).join(" | ")} | ${row.cpuGrowth.toFixed(2)} | ${goal(row)} |`),
	];
	const results = join(packageFolder, "results");
	mkdirSync(results, { recursive: true });
	writeFileSync(join(results, "policies.md"), `${lines.join("\n")}\n`);
	writeFileSync(join(results, "policies.json"), `${JSON.stringify({ date, load, rows }, undefined, "\t")}\n`);
}
