import type { RegisteredWorkload } from "@weft/pilot";
import { renderTable } from "../output/table.ts";

/** One table, or none where no workload has registered itself. */
export function workloadTable(workloads: readonly RegisteredWorkload[]): readonly string[] {
	if (workloads.length === 0) return [];
	const rows = workloads.map(({ namespace, name, health, address, by, message }) => [namespace, name, health, address, by, message]);
	return [renderTable(["NAMESPACE", "WORKLOAD", "HEALTH", "ADDRESS", "REGISTERED BY", "REASON"], rows)];
}
