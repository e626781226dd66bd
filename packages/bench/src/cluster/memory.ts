import { readdirSync, readFileSync } from "node:fs";
import type { ClusterApi, PodObject } from "./cluster-api.ts";

/** MB. `anonymous` is read from /proc, so only where the node is this machine. */
export interface ProcessMemory {
	readonly rss: number;
	readonly anonymous: number | undefined;
}

const megabyte = 1e6;

/** Of a process that exposes `[istio_agent_]process_resident_memory_bytes`. */
export async function memoryOfPod(api: ClusterApi, namespace: string, pod: PodObject, port: number, program: string): Promise<ProcessMemory> {
	const local = localMemory(pod.metadata.uid, program);
	if (local !== undefined) return local;
	const page = await api.podPage(namespace, pod.metadata.name, port, "/metrics");
	const bytes = Number(/^(?:istio_agent_)?process_resident_memory_bytes (\S+)$/m.exec(page)?.[1]);
	if (!(bytes > 0)) throw new Error(`${pod.metadata.name} does not say how much memory it has`);
	return { rss: Math.round(bytes / megabyte), anonymous: undefined };
}

/** The largest process of the pod whose command line names the program. */
function localMemory(podUid: string, program: string): ProcessMemory | undefined {
	const marks = [podUid, podUid.replaceAll("-", "_")];
	const found = readdirSync("/proc")
		.filter((name) => /^\d+$/.test(name))
		.flatMap((pid) => {
			const cgroup = read(`/proc/${pid}/cgroup`);
			if (!marks.some((mark) => cgroup.includes(mark)) || !read(`/proc/${pid}/cmdline`).includes(program)) return [];
			const status = read(`/proc/${pid}/status`);
			const of = (key: string) => Math.round((Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) * 1024) / megabyte);
			return [{ rss: of("VmRSS"), anonymous: of("RssAnon") }];
		});
	return found.toSorted((a, b) => b.rss - a.rss)[0];
}

function read(path: string): string {
	try {
		return readFileSync(path, "utf8");
	} catch {
		// The process has ended, or the node is another machine.
		return "";
	}
}
