import type { ZoneAware } from "../../config/load-balancing.ts";
import type { HostEntry, Locality } from "./host-entry.ts";

/** The hosts of the cluster that this proxy is one of, first priority, as their own host set sees them. */
export interface LocalHosts {
	/** Another number: other hosts. Their health is watched by whoever asks. */
	readonly version: number;
	readonly hosts: readonly HostEntry[];
}

/** One locality, its hosts by what they are good for. */
export interface Zone {
	readonly hosts: readonly HostEntry[];
	readonly healthy: readonly HostEntry[];
	readonly degraded: readonly HostEntry[];
	/** The one that the proxy itself is in. */
	readonly isOwn: boolean;
	readonly key: string;
}

/** Where requests go: to the own zone, to it with some chance and else to zones with room, or wherever the balancer likes. */
export type ZoneDecision =
	| { readonly kind: "none"; readonly why: ZoneEvent | undefined }
	| { readonly kind: "direct" }
	/** `localShare` in ten thousandths; `residual`: what each zone and those before it have room for. */
	| { readonly kind: "residual"; readonly localShare: number; readonly residual: readonly number[] };

const whole = 10_000;

const keyOf = ({ region, zone, subZone }: Locality): string => `${region}\0${zone}\0${subZone}`;

/** The own zone first, the others by name: Envoy's order, and the same in every proxy. */
export function groupByZone(entries: readonly HostEntry[], own: Locality, standingOf: (entry: HostEntry) => string): readonly Zone[] {
	const groups = new Map<string, HostEntry[]>();
	for (const entry of entries) {
		const key = keyOf(entry.locality);
		const known = groups.get(key);
		if (known) known.push(entry);
		else groups.set(key, [entry]);
	}
	const ownKey = keyOf(own);
	const hasOwn = ownKey !== keyOf({ region: "", zone: "", subZone: "" });
	return [...groups]
		.sort(([a], [b]) => (a < b ? -1 : 1))
		.map(([key, hosts]) => {
			const of = (standing: string) => hosts.filter((entry) => standingOf(entry) === standing);
			return { key, hosts, healthy: of("healthy"), degraded: of("degraded"), isOwn: hasOwn && key === ownKey };
		})
		.sort((a, b) => Number(b.isOwn) - Number(a.isOwn));
}

/**
 * Envoy's zone-aware routing (arch overview, "Zone aware routing"): each zone gets as much of the traffic as it has hosts,
 * and as much of it as possible from the proxies of its own zone.
 */
export function decideZones(upstream: readonly Zone[], local: readonly Zone[], config: ZoneAware): ZoneDecision {
	const healthy = upstream.reduce((sum, zone) => sum + zone.healthy.length, 0);
	if (upstream.length < 2 || (local.length < 2 && config.localZoneMin === undefined)) return { kind: "none", why: undefined };
	// None of us is where this proxy is, so the local cluster cannot be what it should be.
	if (local[0]?.isOwn !== true) return { kind: "none", why: "localClusterNotOk" };
	if (healthy < config.minClusterSize) return { kind: "none", why: "tooSmall" };
	const sizeOf = (zone: Zone) => (config.basis === "hosts" ? zone.healthy.length : zone.healthy.reduce((sum, { host }) => sum + host.weight, 0));
	const shares = (zones: readonly Zone[]) => {
		const total = zones.reduce((sum, zone) => sum + sizeOf(zone), 0);
		return new Map(zones.map((zone) => [zone.key, total === 0 ? 0 : Math.floor((whole * sizeOf(zone)) / total)]));
	};
	const upstreamShares = shares(upstream);
	const localShares = shares(local);
	const shareOf = (zone: Zone) => upstreamShares.get(zone.key) ?? 0;
	// A zone without healthy hosts takes no traffic, whoever sends it.
	const localShareOf = (zone: Zone) => (zone.healthy.length === 0 ? 0 : (localShares.get(zone.key) ?? 0));
	const first = upstream[0] as Zone;
	const own = first.isOwn ? first : undefined;
	if (own !== undefined) {
		if (shareOf(own) > 0 && shareOf(own) >= localShareOf(own)) return { kind: "direct" };
		if (config.localZoneMin !== undefined && own.healthy.length >= config.localZoneMin) return { kind: "direct" };
	}
	const localShare = own !== undefined && localShareOf(own) > 0 ? Math.floor((shareOf(own) * whole) / localShareOf(own)) : 0;
	let reached = 0;
	const residual = upstream.map((zone) => (reached += zone === own ? 0 : Math.max(0, shareOf(zone) - localShareOf(zone))));
	return { kind: "residual", localShare, residual };
}

export type ZoneEvent = "recalculated" | "tooSmall" | "localClusterNotOk" | "allDirectly" | "sampled" | "crossZone" | "noCapacityLeft";

/** Index of the zone that the next request goes to. */
export function chooseZone(decision: Exclude<ZoneDecision, { kind: "none" }>, random: () => number, onEvent: (event: ZoneEvent) => void): number {
	if (decision.kind === "direct") {
		onEvent("allDirectly");
		return 0;
	}
	const { localShare, residual } = decision;
	if (Math.floor(random() * whole) < localShare) {
		onEvent("sampled");
		return 0;
	}
	onEvent("crossZone");
	const room = residual[residual.length - 1] ?? 0;
	// Rounding may leave no room anywhere.
	if (room === 0) {
		onEvent("noCapacityLeft");
		return Math.floor(random() * residual.length);
	}
	const point = Math.floor(random() * room);
	return residual.findIndex((reached) => point < reached);
}
