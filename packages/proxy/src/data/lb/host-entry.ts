import type { Host } from "../../config/hosts.ts";
import type { LbMetadata } from "../../config/load-balancing.ts";
import type { SocketAddress } from "../../config/sockets.ts";

export interface Locality {
	readonly region: string;
	readonly zone: string;
	readonly subZone: string;
}

/** What one worker counted of one host, since it has been a host; the names are those of Envoy's `/clusters`. */
export interface HostCounts {
	rq_total: number;
	/** Answered, and not by 5xx or a gRPC status that stands for one. */
	rq_success: number;
	rq_error: number;
	rq_timeout: number;
	/** Waiting for a connection. */
	rq_pending_active: number;
	cx_total: number;
	cx_active: number;
	cx_connect_fail: number;
}

export function createHostCounts(): HostCounts {
	return { rq_total: 0, rq_success: 0, rq_error: 0, rq_timeout: 0, rq_pending_active: 0, cx_total: 0, cx_active: 0, cx_connect_fail: 0 };
}

/** One upstream host in one worker. Kept over configuration updates as long as its address stays in the cluster. */
export interface HostEntry {
	/** As last configured; weight, health and metadata may change, the address does not. */
	host: Host;
	/** `ip:port`, IPv6 in brackets, or a pipe's path. */
	readonly address: string;
	priority: number;
	locality: Locality;
	/** Requests under way from this worker: the router adds and subtracts with `beginRequest` and `endRequest`. */
	active: number;
	readonly addedAtMs: number;
	/** Moving average of the time to an answer, -1 before the first; and when it was last brought up to date. Kept for Peak EWMA alone. */
	latencyMs: number;
	latencyAtMs: number;
	/** False once no update lists it any more: finish what runs, open nothing new. */
	inUse: boolean;
	/** The router's own state for this host (connection pools). */
	attachment: object | undefined;
	/** Ends each TCP connection that is proxied to it; only kept where a failed health check closes them. */
	tcpConnections?: Set<() => void> | undefined;
	readonly counts: HostCounts;
	/** Sums over the whole host set. */
	readonly totals: { active: number };
}

/**
 * What a choice depends on. The router owns one per stream and reuses it.
 */
export interface ChooseContext {
	/** Of the route's hash policies; undefined: random. */
	hash: bigint | undefined;
	/** Of a retry: which hosts its policy wants to avoid. */
	avoided: { avoids(entry: HostEntry): boolean } | undefined;
	/** Further choices when such a host comes out (`host_selection_retry_max_attempts`); then that host is taken after all. */
	attemptsMax: number;
	/** Priorities to leave out (retry priority `previous_priorities`). */
	excludedPriorities: readonly number[];
	/** `ip:port` for original-destination clusters. */
	destination: string;
	/** Which subset of the hosts is wanted. */
	metadata: LbMetadata | undefined;
	/** The host to take if it can be used, before the balancer is asked; `strict`: or none. */
	override: { readonly address: string; readonly strict: boolean } | undefined;
}

export function createChooseContext(): ChooseContext {
	return { hash: undefined, avoided: undefined, attemptsMax: 0, excludedPriorities: [], destination: "", metadata: undefined, override: undefined };
}

export function beginRequest(entry: HostEntry): void {
	entry.active++;
	entry.totals.active++;
}

export function endRequest(entry: HostEntry): void {
	entry.active--;
	entry.totals.active--;
}

export function formatSocketAddress(address: SocketAddress): string {
	if (address.kind === "pipe") return address.path;
	return address.address.includes(":") ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}

/** Splits `ip:port` or `[ip]:port`; undefined when it is neither. */
export function parseIpPort(text: string): { readonly address: string; readonly port: number } | undefined {
	const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
	const port = Number(match?.[3]);
	if (!match || port > 65_535) return undefined;
	return { address: match[1] ?? match[2] ?? "", port };
}
