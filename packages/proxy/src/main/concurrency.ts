import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** Worker threads when nothing says how many: the CPUs that this process may use, counting affinity and the cgroup's quota. */
export function defaultConcurrency(cpus = availableParallelism(), quota: string | undefined = readQuota()): number {
	const [limit = "max", period = ""] = (quota ?? "").trim().split(/\s+/);
	const share = Number(limit) / Number(period);
	return Math.max(1, Number.isFinite(share) && share > 0 ? Math.min(cpus, Math.ceil(share)) : cpus);
}

function readQuota(): string | undefined {
	try {
		return readFileSync("/sys/fs/cgroup/cpu.max", "utf8");
	} catch {
		// No cgroup of the second version: no quota is known.
		return undefined;
	}
}
