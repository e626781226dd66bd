import type { AuthorityPem } from "./authority-material.ts";

/** A root that signs nothing any more, and that stays trusted until every leaf under it has ended. */
export interface RetiringRoot {
	readonly rootCertPem: string;
	readonly retireAtMs: number;
}

/** What one replica of the control plane says of the proxies that are connected to it. */
export interface DistributionReport {
	/** Of the trust bundle that it speaks of. */
	readonly bundleId: string;
	readonly proxies: number;
	/** Proxies that were told and have not confirmed. */
	readonly missing: number;
	/** Proxies that cannot confirm: they learn of a root when they renew. */
	readonly silent: number;
	readonly atMs: number;
}

/**
 * The keys of an authority, and where it is on the way from one root to the next. A value: replicas agree on it by
 * compare-and-swap in a `KeyStore`, so that whichever of them comes first takes a step, and only once.
 *
 *   steady ──prepare──▶ distribute (both roots trusted, the old one signs) ──activate──▶ retire (the new one signs) ──retire──▶ steady
 */
export interface KeySlots {
	readonly current: AuthorityPem;
	readonly next: { readonly authority: AuthorityPem; readonly preparedAtMs: number } | undefined;
	/** Oldest first. */
	readonly retiring: readonly RetiringRoot[];
	/** By replica; of the present `next` only. */
	readonly reports: Readonly<Record<string, DistributionReport>>;
	/** The end of the longest-lived leaf that any replica gave out; 0 when none was longer than the default. */
	readonly leavesUntilMs: number;
}

export type RotationPhase = "steady" | "distribute" | "retire";

export interface RotationTimes {
	/** How long a prepared root is handed out at least: replicas and mounted files take their time. */
	readonly distributeMs: number;
	/** How long proxies that cannot confirm are given: in that time each of them renews. */
	readonly silentMs: number;
	/** After which a proxy that does not confirm holds up the rotation no longer. */
	readonly confirmMsMax: number;
	/** How long an old root stays trusted at least. */
	readonly retireMs: number;
	/** Age after which a replica's report says that the replica is gone. */
	readonly reportMsMax: number;
}

/** Old roots that may be trusted beside the present one: rotations that follow each other closely. */
export const retiringMax = 8;

export const emptySlots = (current: AuthorityPem): KeySlots => ({ current, next: undefined, retiring: [], reports: {}, leavesUntilMs: 0 });

export function phaseOf({ next, retiring }: KeySlots): RotationPhase {
	if (next !== undefined) return "distribute";
	return retiring.length > 0 ? "retire" : "steady";
}

/** PEM of every root that is trusted, the one that signs first. */
export function trustedRootsPem({ current, next, retiring }: KeySlots): string {
	return [current.rootCertPem, next?.authority.rootCertPem ?? "", ...retiring.map(({ rootCertPem }) => rootCertPem)].join("\n");
}

export function prepareNext(slots: KeySlots, authority: AuthorityPem, nowMs: number): KeySlots {
	return { ...slots, next: { authority, preparedAtMs: nowMs }, reports: {} };
}

/** The next root signs from now on; the old key is gone, its root stays for the leaves it signed. */
export function activateNext(slots: KeySlots, nowMs: number, { retireMs }: RotationTimes): KeySlots {
	if (slots.next === undefined) return slots;
	const retireAtMs = Math.max(nowMs + retireMs, slots.leavesUntilMs);
	const retiring = [...slots.retiring, { rootCertPem: slots.current.rootCertPem, retireAtMs }];
	return { ...slots, current: slots.next.authority, next: undefined, retiring, reports: {} };
}

export const withoutRetired = (slots: KeySlots, nowMs: number): KeySlots => ({ ...slots, retiring: slots.retiring.filter((root) => root.retireAtMs > nowMs) });

/** Whether the prepared root may sign, and what it waits for if not. */
export type Readiness = { readonly ready: true; readonly reason: string } | { readonly ready: false; readonly reason: string };

export function readinessOfNext({ next, reports }: KeySlots, bundleId: string, nowMs: number, times: RotationTimes): Readiness {
	if (next === undefined) return { ready: false, reason: "no root is prepared" };
	const ageMs = nowMs - next.preparedAtMs;
	const wait = (reason: string): Readiness => ({ ready: false, reason });
	if (ageMs < times.distributeMs) return wait(`it is handed out for ${seconds(times.distributeMs - ageMs)} more`);
	const alive = Object.values(reports).filter((report) => nowMs - report.atMs <= times.reportMsMax);
	const current = alive.filter((report) => report.bundleId === bundleId);
	if (current.length === 0 || current.length < alive.length) return wait("a replica of the control plane has not taken it up yet");
	const missing = sum(current.map((report) => report.missing));
	if (missing > 0 && ageMs < times.confirmMsMax) return wait(`${missing} proxies have not confirmed it`);
	const silent = sum(current.map((report) => report.silent));
	if (silent > 0 && ageMs < times.silentMs) return wait(`${silent} proxies cannot confirm it and renew within ${seconds(times.silentMs - ageMs)}`);
	return { ready: true, reason: missing > 0 ? `${missing} proxies did not confirm it in time` : "every proxy has it" };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
const seconds = (ms: number): string => `${Math.ceil(ms / 1000)} s`;
