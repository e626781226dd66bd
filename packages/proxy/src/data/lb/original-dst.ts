import { noSlot } from "../../config/shared-state.ts";
import { createHostCounts, type HostEntry, parseIpPort } from "./host-entry.ts";
import type { HostSet } from "./host-set.ts";

/** Known destinations; the idle ones that were added first make room. */
const destinationsMax = 4096;

/** ORIGINAL_DST: the host is whatever address the connection was made to (`ChooseContext.destination`, `ip:port`). */
export function createOriginalDstHostSet(nowMs: () => number): HostSet {
	const known = new Map<string, HostEntry>();
	const totals = { active: 0 };
	const makeRoom = () => {
		for (const [address, entry] of known) {
			if (entry.active > 0) continue;
			entry.inUse = false;
			known.delete(address);
			return true;
		}
		return false;
	};
	const enter = (text: string): HostEntry | undefined => {
		const parsed = parseIpPort(text);
		if (!parsed || parsed.port === 0) return undefined;
		if (known.size >= destinationsMax && !makeRoom()) return undefined;
		const entry: HostEntry = {
			host: {
				address: { kind: "ip", ...parsed },
				hostname: "",
				weight: 1,
				health: "healthy",
				healthCheck: undefined,
				transportMatch: {},
				lbMetadata: {},
				istioWorkload: undefined,
				slot: noSlot,
			},
			address: text,
			priority: 0,
			locality: { region: "", zone: "", subZone: "" },
			active: 0,
			addedAtMs: nowMs(),
			latencyMs: -1,
			latencyAtMs: 0,
			inUse: true,
			attachment: undefined,
			counts: createHostCounts(),
			totals,
		};
		known.set(text, entry);
		return entry;
	};
	return {
		panics: 0,
		choose: ({ destination }) => known.get(destination) ?? enter(destination),
		update: () => [],
		entries: () => known.values(),
		membership: () => ({ total: known.size, healthy: known.size, degraded: 0, excluded: 0 }),
	};
}
