import { conditionsOf, entryAnnotations, entryHealth } from "../model/entry-registration.ts";
import type { Endpoint } from "../model/service.ts";
import type { WorkloadEntry } from "./workload-entries.ts";

/** A workload that registered itself, for people. */
export interface RegisteredWorkload {
	readonly namespace: string;
	readonly name: string;
	readonly address: string;
	/** `WorkloadGroup NAME`, or the identity that registered it. */
	readonly by: string;
	readonly health: Endpoint["health"] | "DISCONNECTED";
	/** Why it is not healthy; else empty. */
	readonly message: string;
}

/** Workloads of WorkloadGroups and registered instances among the entries, in their order. Pure. */
export function registeredWorkloads(entries: readonly WorkloadEntry[]): readonly RegisteredWorkload[] {
	return entries.flatMap((entry): readonly RegisteredWorkload[] => {
		const { namespace, name, annotations } = entry.metadata;
		const group = annotations[entryAnnotations.group];
		const by = group === undefined ? annotations[entryAnnotations.registeredBy] : `WorkloadGroup ${group}`;
		if (by === undefined) return [];
		const health = entryHealth(entry);
		const told = conditionsOf(entry).find((one) => (health === "DRAINING" ? one.type === "Draining" : one.type === "Healthy"));
		const disconnectedAt = annotations[entryAnnotations.disconnectedAt];
		const address = entry.spec.address ?? "";
		if (disconnectedAt !== undefined) return [{ namespace, name, address, by, health: "DISCONNECTED", message: `since ${disconnectedAt}` }];
		const message = health === "HEALTHY" ? "" : (told?.message ?? (told === undefined ? "not heard of yet" : ""));
		return [{ namespace, name, address, by, health, message }];
	});
}
