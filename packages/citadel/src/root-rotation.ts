import { accepted, type Checked, type KeyAlgorithm, refused } from "@weft/pki";
import type { Clock, Logger } from "@weft/runtime";
import { type AuthorityPem, buildSelfSignedAuthority, decodeAuthority, isSelfSigned, renewSelfSignedAuthority } from "./authority-material.ts";
import type { CertificateAuthority } from "./certificate-authority.ts";
import { createExpiryWarning } from "./expiry-warning.ts";
import {
	activateNext,
	type DistributionReport,
	type KeySlots,
	phaseOf,
	prepareNext,
	type Readiness,
	readinessOfNext,
	retiringMax,
	type RotationPhase,
	type RotationTimes,
	withoutRetired,
} from "./key-slots.ts";
import type { KeyStore, StoredSlots } from "./key-store.ts";

export type ProxyCounts = Pick<DistributionReport, "proxies" | "missing" | "silent">;

export interface RootRotationOptions {
	readonly authority: CertificateAuthority;
	readonly store: KeyStore;
	/** Tells replicas apart in the store. */
	readonly replica: string;
	/** What the connected proxies know of this bundle. */
	readonly countProxies: (bundleId: string) => ProxyCounts;
	readonly rootKeyAlgorithm: KeyAlgorithm;
	readonly times?: Partial<RotationTimes>;
	/** Default 5 s. */
	readonly tickMs?: number;
	readonly clock: Clock;
	readonly logger: Logger;
}

export interface RootStatus {
	readonly slot: "current" | "next" | "retiring";
	readonly subject: string;
	readonly keyType: string;
	readonly fingerprint: string;
	readonly notAfter: string;
	/** Of a retiring root: until when it stays trusted. */
	readonly trustedUntil?: string;
}

export interface AuthorityStatus {
	readonly trustDomain: string;
	readonly kind: "self-signed" | "plugged-in";
	readonly phase: RotationPhase;
	/** What the phase waits for; empty when steady. */
	readonly reason: string;
	readonly bundleId: string;
	readonly roots: readonly RootStatus[];
	readonly signer: { readonly subject: string; readonly notAfter: string };
	/** Over all replicas that have spoken lately. */
	readonly proxies: { readonly connected: number; readonly haveBundle: number; readonly missing: number; readonly silent: number };
}

export interface RootRotation {
	/** Makes the next root and hands it out. Refused while another is on its way, and for a CA that others keep. */
	prepare(): Promise<Checked<AuthorityStatus>>;
	/** Like `prepare`, with a CA that others made: its roots are trusted before it signs. Value: did that begin now? */
	stage(authority: AuthorityPem): Promise<Checked<boolean>>;
	status(): AuthorityStatus;
	/** Takes up what other replicas did, reports, and takes the step that is due, if any. */
	tick(): Promise<void>;
	/** Ticks until `signal` aborts; a failure is logged and tried again. */
	run(signal: AbortSignal): Promise<void>;
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const conflictsMax = 5;

/** Defaults for a mesh whose leaves live for `leafTtlMs`. */
export function rotationTimes(leafTtlMs: number, given: Partial<RotationTimes> = {}): RotationTimes {
	return {
		distributeMs: minuteMs,
		// Whoever cannot confirm renews at half life; a tenth more for jitter and retries.
		silentMs: leafTtlMs * 0.6,
		confirmMsMax: hourMs,
		// A tenth more: a replica that has not heard of the new root yet may still sign with the old one for a moment.
		retireMs: leafTtlMs * 1.1,
		reportMsMax: minuteMs,
		...given,
	};
}

/** Moves an authority from root to root without a moment in which anybody meets a certificate that it does not trust. */
export function createRootRotation(options: RootRotationOptions): RootRotation {
	return new StoredRotation(options);
}

class StoredRotation implements RootRotation {
	readonly #options: RootRotationOptions;
	readonly #times: RotationTimes;

	constructor(options: RootRotationOptions) {
		this.#options = options;
		this.#times = rotationTimes(options.authority.leafTtlMs, options.times);
	}

	async prepare(): Promise<Checked<AuthorityStatus>> {
		const { authority, clock, rootKeyAlgorithm, logger } = this.#options;
		if (!isSelfSigned(authority.state.material)) {
			return refused(
				"the CA is plugged in: put the new one into the Secret cacerts (or its directory); with ISTIO_MULTIROOT_MESH=true a new root is rotated in",
			);
		}
		const next = await buildSelfSignedAuthority({ trustDomain: authority.trustDomain, keyAlgorithm: rootKeyAlgorithm, nowMs: clock.nowMs() });
		const begun = await this.#begin(next);
		if (!begun.ok) return begun;
		logger.info("root rotation prepared", { bundle: authority.state.bundleId });
		return accepted(this.status());
	}

	async stage(pem: AuthorityPem): Promise<Checked<boolean>> {
		const { authority, clock } = this.#options;
		const decoded = decodeAuthority(pem, clock.nowMs());
		if (!decoded.ok) return decoded;
		if (authority.state.slots.next?.authority.caCertPem === pem.caCertPem) return accepted(false);
		const begun = await this.#begin(pem);
		return begun.ok ? accepted(true) : begun;
	}

	#begin(next: AuthorityPem): Promise<Checked<true>> {
		const { clock } = this.#options;
		return this.#change((slots) => {
			if (slots.next !== undefined) return refused("a root rotation is under way already: see weft ca status");
			if (slots.retiring.length >= retiringMax) return refused(`${retiringMax} old roots are still trusted: wait until the oldest is retired`);
			return accepted(prepareNext(slots, next, clock.nowMs()));
		});
	}

	/** Compare-and-swap: what another replica did meanwhile is taken up first. */
	async #change(step: (slots: KeySlots) => Checked<KeySlots>): Promise<Checked<true>> {
		const { authority, store } = this.#options;
		for (let attempt = 0; attempt < conflictsMax; attempt++) {
			await this.#takeUp();
			const { slots, revision } = authority.state;
			const next = step(slots);
			if (!next.ok) return next;
			if (next.value === slots) return accepted(true as const);
			const stored = await store.replace(next.value, revision);
			if (stored === undefined) continue;
			const adopted = authority.adopt(stored);
			return adopted.ok ? accepted(true as const) : adopted;
		}
		return refused("the store keeps changing: try again");
	}

	async #takeUp(): Promise<StoredSlots> {
		const { authority, store } = this.#options;
		const stored = await store.load();
		if (stored === undefined) throw new Error("the authority is gone from its store");
		const adopted = authority.adopt(stored);
		if (!adopted.ok) throw new Error(`what is stored is not taken: ${adopted.reason}`);
		return stored;
	}

	async tick(): Promise<void> {
		const { rotationRequested } = await this.#takeUp();
		if (rotationRequested && this.#options.authority.state.slots.next === undefined) {
			const prepared = await this.prepare();
			if (!prepared.ok) throw new Error(prepared.reason);
		}
		const outcome = await this.#change((slots) => accepted(this.#due(slots)));
		if (!outcome.ok) throw new Error(outcome.reason);
	}

	#due(slots: KeySlots): KeySlots {
		const { authority, clock, logger } = this.#options;
		const nowMs = clock.nowMs();
		const told = this.#withReport(slots, nowMs);
		if (told.retiring.some((root) => root.retireAtMs <= nowMs)) {
			logger.info("old root retired");
			return withoutRetired(told, nowMs);
		}
		if (told.next !== undefined) {
			const readiness = this.#readiness(told);
			if (!readiness.ready) return told;
			logger.info("next root activated", { reason: readiness.reason });
			return activateNext(told, nowMs, this.#times);
		}
		const renewed = renewSelfSignedAuthority(authority.state.material, slots.current, authority.trustDomain, nowMs);
		if (renewed === undefined) return told;
		logger.info("root certificate renewed with its own key, in the last fifth of its life");
		return { ...told, current: renewed };
	}

	#readiness(slots: KeySlots): Readiness {
		const { authority, clock } = this.#options;
		return readinessOfNext(slots, authority.state.bundleId, clock.nowMs(), this.#times);
	}

	/** A report is written when it says something new, or before it grows old; only while somebody waits for it. */
	#withReport(slots: KeySlots, nowMs: number): KeySlots {
		const { authority, replica, countProxies } = this.#options;
		const leavesUntilMs = Math.max(slots.leavesUntilMs, authority.leavesUntilMs);
		const known = leavesUntilMs > slots.leavesUntilMs ? { ...slots, leavesUntilMs } : slots;
		if (known.next === undefined) return known;
		const { bundleId } = authority.state;
		const fresh = { bundleId, ...countProxies(bundleId), atMs: nowMs };
		const before = known.reports[replica];
		const says = (report: DistributionReport) => `${report.bundleId} ${report.proxies} ${report.missing} ${report.silent}`;
		if (before !== undefined && says(before) === says(fresh) && nowMs - before.atMs < this.#times.reportMsMax / 3) return known;
		return { ...known, reports: { ...known.reports, [replica]: fresh } };
	}

	async run(signal: AbortSignal): Promise<void> {
		const { authority, clock, logger, tickMs = 5_000 } = this.#options;
		const warnOfExpiry = createExpiryWarning(authority, clock, logger);
		let failure = "";
		while (!signal.aborted) {
			warnOfExpiry();
			await clock.sleep(tickMs, signal);
			if (signal.aborted) return;
			try {
				await this.tick();
				failure = "";
			} catch (error) {
				const reason = error instanceof Error ? error.message : String(error);
				if (reason !== failure) logger.error("root rotation waits; the present signer goes on", { error: reason });
				failure = reason;
			}
		}
	}

	status(): AuthorityStatus {
		const { authority, clock } = this.#options;
		const { material, slots, trustBundle, bundleId } = authority.state;
		const phase = phaseOf(slots);
		const { certificate } = material.signer;
		return {
			trustDomain: authority.trustDomain,
			kind: isSelfSigned(material) ? "self-signed" : "plugged-in",
			phase,
			reason: phase === "distribute" ? this.#readiness(slots).reason : phase === "retire" ? retireReason(slots) : "",
			bundleId,
			roots: trustBundle.roots.map((root) => {
				const retiring = slots.retiring.find(({ rootCertPem }) => rootCertPem.includes(root.toString().trim()));
				const isNext = slots.next?.authority.rootCertPem.includes(root.toString().trim()) === true;
				return {
					slot: retiring ? "retiring" : isNext ? "next" : "current",
					subject: root.subject,
					keyType: keyTypeOf(root.publicKey.asymmetricKeyDetails),
					fingerprint: root.fingerprint256,
					notAfter: root.validToDate.toISOString(),
					...(retiring && { trustedUntil: new Date(retiring.retireAtMs).toISOString() }),
				};
			}),
			signer: { subject: certificate.subject, notAfter: certificate.validToDate.toISOString() },
			proxies: this.#proxies(clock.nowMs()),
		};
	}

	#proxies(nowMs: number): AuthorityStatus["proxies"] {
		const { authority, replica, countProxies } = this.#options;
		const { bundleId, slots } = authority.state;
		const others = Object.entries(slots.reports).filter(([name, { atMs }]) => name !== replica && nowMs - atMs <= this.#times.reportMsMax);
		const all: ProxyCounts[] = [countProxies(bundleId), ...others.map(([, report]) => report)];
		const sum = (field: keyof ProxyCounts) => all.reduce((total, counts) => total + counts[field], 0);
		const [connected, missing, silent] = [sum("proxies"), sum("missing"), sum("silent")];
		return { connected, haveBundle: connected - missing - silent, missing, silent };
	}
}

function retireReason({ retiring }: KeySlots): string {
	const untilMs = Math.max(...retiring.map(({ retireAtMs }) => retireAtMs));
	return `the old root stays trusted until ${new Date(untilMs).toISOString()}, when the last certificate under it has ended`;
}

function keyTypeOf(details: { readonly modulusLength?: number; readonly namedCurve?: string } | undefined): string {
	return details?.namedCurve ?? `RSA ${details?.modulusLength ?? "?"}`;
}
