import type { Clock, Logger } from "@weft/runtime";
import type { KubeClient } from "./client.ts";
import { hasStatus } from "./errors.ts";
import { type KubeObject, resources } from "./resource.ts";

export interface LeaderElectionOptions {
	readonly client: KubeClient;
	readonly namespace: string;
	/** Of the Lease. */
	readonly name: string;
	/** Unique a candidate: the pod's name. */
	readonly identity: string;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly random?: () => number;
	/** How long others respect a lease that is not renewed; default 30 s. */
	readonly leaseMs?: number;
	/** A leader that could not renew for so long steps down; default half of the lease, so never two. */
	readonly renewDeadlineMs?: number;
	/** Between attempts; default 2 s. */
	readonly retryMs?: number;
	readonly signal: AbortSignal;
	/** Leads until `signal` aborts: when the lease is lost, or the election ends. */
	lead(signal: AbortSignal): Promise<void>;
}

interface LeaseSpec {
	readonly holderIdentity?: string;
	readonly leaseDurationSeconds?: number;
	readonly acquireTime?: string;
	readonly renewTime?: string;
	readonly leaseTransitions?: number;
}

/**
 * One leader among replicas by a coordination.k8s.io Lease. Like client-go it trusts no other machine's clock: a lease is
 * given up when its record has not changed for its duration by our own. Ends when `signal` aborts; never rejects.
 */
export async function runLeaderElection(options: LeaderElectionOptions): Promise<void> {
	const election = new Election(options);
	await election.run();
}

class Election {
	readonly #options: LeaderElectionOptions;
	readonly #leaseMs: number;
	readonly #renewDeadlineMs: number;
	readonly #retryMs: number;
	/** Somebody's record, and when we first saw it. */
	#seen = { record: "", atMs: 0 };
	/** An outage is told once, not at every attempt. */
	#isFailing = false;

	constructor(options: LeaderElectionOptions) {
		this.#options = options;
		this.#leaseMs = options.leaseMs ?? 30_000;
		this.#renewDeadlineMs = options.renewDeadlineMs ?? this.#leaseMs / 2;
		this.#retryMs = options.retryMs ?? 2_000;
	}

	async run(): Promise<void> {
		const { signal, logger, name, identity } = this.#options;
		while (!signal.aborted) {
			if (await this.#attempt()) {
				logger.info("leading", { lease: name, identity });
				await this.#lead();
				logger.info("leading no more", { lease: name, identity });
			}
			await this.#pause();
		}
	}

	async #lead(): Promise<void> {
		const { signal, clock, lead, logger, name } = this.#options;
		const stop = new AbortController();
		const leading = lead(AbortSignal.any([signal, stop.signal])).catch((error: unknown) => logger.error("the leader's work failed", { lease: name, error }));
		let renewedMs = clock.monotonicMs();
		while (!signal.aborted) {
			await this.#pause();
			const attemptMs = clock.monotonicMs();
			if (await this.#attempt()) renewedMs = attemptMs;
			else if (clock.monotonicMs() - renewedMs >= this.#renewDeadlineMs) break;
		}
		stop.abort();
		await leading;
		// So that another need not wait for the lease to run out.
		if (signal.aborted) await this.#release();
	}

	/** Two requests and a pause fit between the deadline and the lease's end. */
	#requestSignal(): AbortSignal {
		return AbortSignal.timeout(this.#renewDeadlineMs / 4);
	}

	#pause(): Promise<void> {
		const { clock, signal, random = Math.random } = this.#options;
		return clock.sleep(this.#retryMs * (1 + 0.2 * random()), signal);
	}

	/** Takes or renews the lease. Is it ours? */
	async #attempt(): Promise<boolean> {
		const { client, namespace, name, identity, clock, logger } = this.#options;
		try {
			const lease = await client.get(resources.leases, namespace, name, this.#requestSignal());
			this.#isFailing = false;
			const nowText = microTime(clock.nowMs());
			const mine = { holderIdentity: identity, leaseDurationSeconds: Math.ceil(this.#leaseMs / 1000), renewTime: nowText };
			if (!lease) {
				const spec = { ...mine, acquireTime: nowText, leaseTransitions: 0 };
				await client.create(resources.leases, namespace, { metadata: { name }, spec }, { signal: this.#requestSignal() });
				return true;
			}
			const spec = (lease["spec"] ?? {}) as LeaseSpec;
			const isMine = spec.holderIdentity === identity;
			if (!isMine && !this.#isFree(spec)) return false;
			const taken = isMine ? { ...spec, ...mine } : { ...spec, ...mine, acquireTime: nowText, leaseTransitions: (spec.leaseTransitions ?? 0) + 1 };
			// The resource version is that of the record we judged: of two who take it one fails.
			await client.replace(resources.leases, namespace, { ...lease, spec: taken }, { signal: this.#requestSignal() });
			return true;
		} catch (error) {
			// Another was faster: that is no trouble.
			if (hasStatus(error, 409)) return false;
			if (!this.#isFailing) logger.warn("lease not renewed", { lease: name, error });
			this.#isFailing = true;
			return false;
		}
	}

	#isFree(spec: LeaseSpec): boolean {
		if (!spec.holderIdentity) return true;
		const nowMs = this.#options.clock.monotonicMs();
		const record = JSON.stringify(spec);
		if (record !== this.#seen.record) this.#seen = { record, atMs: nowMs };
		return nowMs - this.#seen.atMs >= (spec.leaseDurationSeconds ?? 0) * 1000;
	}

	async #release(): Promise<void> {
		const { client, namespace, name, identity, logger } = this.#options;
		try {
			const lease = await client.get(resources.leases, namespace, name, AbortSignal.timeout(2_000));
			const spec = (lease?.["spec"] ?? {}) as LeaseSpec;
			if (!lease || spec.holderIdentity !== identity) return;
			const released: KubeObject = { ...lease, spec: { ...spec, holderIdentity: "", leaseDurationSeconds: 1 } };
			await client.replace(resources.leases, namespace, released, { signal: AbortSignal.timeout(2_000) });
		} catch (error) {
			logger.debug("lease not released, it runs out by itself", { lease: name, error });
		}
	}
}

/** Kubernetes' MicroTime. */
const microTime = (ms: number): string => new Date(ms).toISOString().replace(/Z$/, "000Z");
