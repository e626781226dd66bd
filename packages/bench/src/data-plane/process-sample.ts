import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

export type MemorySample = { readonly rssKb: number; readonly anonymousKb: number };

/** CPU time a process has used since it started, all threads, user and system, in microseconds (Linux). */
export function readCpuUs(pid: number): number {
	return decodeCpuTicks(readFileSync(`/proc/${pid}/stat`, "utf8")) * (1_000_000 / ticksPerSecond());
}

/** Resident and anonymous memory of a process (Linux ≥ 4.14). */
export function readMemory(pid: number): MemorySample {
	return decodeMemory(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"));
}

/** The largest value of each figure. */
export function largest(samples: readonly MemorySample[]): MemorySample {
	return { rssKb: Math.max(...samples.map((sample) => sample.rssKb)), anonymousKb: Math.max(...samples.map((sample) => sample.anonymousKb)) };
}

/** CPU time of this process's children that have ended and were waited for, in microseconds. */
export function readEndedChildrenUs(): number {
	return decodeChildTicks(readFileSync("/proc/self/stat", "utf8")) * (1_000_000 / ticksPerSecond());
}

/** CPU time that anybody used on one core since boot, in microseconds; time stolen by the hypervisor counts as used. */
export function readCoreUs(core: number): number {
	return decodeCoreTicks(readFileSync("/proc/stat", "utf8"), core) * (1_000_000 / ticksPerSecond());
}

/** Everything but idle and iowait of a core's line in `/proc/stat` (proc(5)); guest time is part of user time already. */
export function decodeCoreTicks(stat: string, core: number): number {
	const line = stat.split("\n").find((candidate) => candidate.startsWith(`cpu${core} `));
	const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (line ?? "").split(/\s+/).slice(1).map(Number);
	return line === undefined ? Number.NaN : user + nice + system + irq + softirq + steal;
}

/** utime + stime of a `/proc/PID/stat` line (proc(5)): fields 14 and 15, counted after the name, which may hold spaces. */
export function decodeCpuTicks(stat: string): number {
	const fields = statFields(stat);
	return Number(fields[11]) + Number(fields[12]);
}

/** cutime + cstime of such a line: fields 16 and 17. */
export function decodeChildTicks(stat: string): number {
	const fields = statFields(stat);
	return Number(fields[13]) + Number(fields[14]);
}

function statFields(stat: string): readonly string[] {
	return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** The two figures of a `/proc/PID/smaps_rollup`. */
export function decodeMemory(rollup: string): MemorySample {
	const kilobytes = (name: string) => Number(new Map(rollup.split("\n").map((line) => splitLine(line))).get(name) ?? Number.NaN);
	return { rssKb: kilobytes("Rss"), anonymousKb: kilobytes("Anonymous") };
}

function splitLine(line: string): [string, string] {
	const colon = line.indexOf(":");
	return [
		line.slice(0, Math.max(0, colon)),
		line
			.slice(colon + 1)
			.replace("kB", "")
			.trim(),
	];
}

let ticks: number | undefined;

/** The kernel's clock ticks a second; asked once, as it cannot change. */
function ticksPerSecond(): number {
	ticks ??= Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8", timeout: 5_000 }));
	return ticks;
}
