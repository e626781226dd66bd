import type { Kind } from "@weft/api";
import type { ObservedObject } from "@weft/kube";
import { type StatusWrite, writeKey } from "./status-queue.ts";

/** What was written, as long as the watch has not shown it: it must not be written again meanwhile. */
export interface Written {
	set(write: StatusWrite, of: ObservedObject): void;
	delete(write: StatusWrite): void;
	/** What the cluster says as far as that is known. */
	seen(kind: Kind, observed: ObservedObject): ObservedObject;
	/** Forgets what the watch has shown, or that is gone. */
	retain(observed: (write: StatusWrite) => ObservedObject | undefined): void;
}

export function createWritten(): Written {
	const statuses = new Map<string, { readonly write: StatusWrite; readonly of: ObservedObject }>();
	return {
		set: (write, of) => void statuses.set(writeKey(write), { write, of }),
		delete: (write) => void statuses.delete(writeKey(write)),
		seen(kind, observed) {
			const known = statuses.get(writeKey({ kind, ...observed }));
			if (known?.of !== observed) return observed;
			return { ...observed, status: { ...(observed.status as object | undefined), ...known.write.status } };
		},
		retain(observed) {
			for (const [key, { write, of }] of statuses) if (observed(write) !== of) statuses.delete(key);
		},
	};
}
