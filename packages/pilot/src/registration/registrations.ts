import { isDeepStrictEqual } from "node:util";
import type { WorkloadEntrySpec } from "@weft/api";
import type { StoreSnapshot } from "@weft/galley";
import { formatSpiffeId, type SpiffeId } from "@weft/pki";
import { type Clock, createKeyQueue, type Logger } from "@weft/runtime";
import { entryAnnotations, type EntryCondition, entryLabels } from "../model/entry-registration.ts";
import type { Labels } from "../model/labels.ts";
import { declaredProblem } from "./declared-instance.ts";
import type { InstanceRequest } from "./instance-request.ts";
import { consentProblem, selectorOf } from "./service-consent.ts";
import { EntryChangedError, type EntryRef, keyOf, type StoredEntry, type WorkloadEntries, type WorkloadEntry } from "./workload-entries.ts";

export interface RegistrationsOptions {
	readonly entries: WorkloadEntries;
	readonly snapshot: () => StoreSnapshot;
	readonly clock: Clock;
	readonly logger: Logger;
	/** Of one identity; default 100. */
	readonly instancesMax?: number;
	/** Of all; default 10 000. */
	readonly totalMax?: number;
}

/** Why something was not done; the words are for whoever asked. */
export interface Refusal {
	readonly ok: false;
	readonly code: "invalid" | "forbidden" | "conflict" | "notFound" | "tooMany";
	readonly reason: string;
}

export interface Registered {
	readonly ok: true;
	readonly name: string;
	readonly created: boolean;
	readonly ttlMs: number;
}

/**
 * Instances that register themselves over HTTPS, without a proxy, and say now and then that they are there.
 *
 * registered ──no heartbeat for a TTL──▶ draining ──none for another TTL──▶ removed
 *     ▲────────────────heartbeat────────────┘
 *
 * All of it is in the entries: after a restart an instance has a whole TTL to be heard of.
 */
export interface Registrations {
	/** Registers, or renews: each call is a heartbeat and says all of the instance. Rejects where entries cannot be read or written now. */
	register(caller: SpiffeId, namespace: string, name: string | undefined, request: InstanceRequest): Promise<Registered | Refusal>;
	/** Removes the instance at once. */
	deregister(caller: SpiffeId, ref: EntryRef): Promise<{ readonly ok: true } | Refusal>;
	/** Drains and removes what is not heard of any more. For one of all replicas; never rejects. */
	sweep(): Promise<void>;
}

export function createRegistrations(options: RegistrationsOptions): Registrations {
	return new InstanceRegistrar(options);
}

const attemptsMax = 8;
const verdictsMax = 10_000;
const tlsModeLabel = "security.istio.io/tlsMode";
const dnsSubdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

interface Heard {
	/** The last heartbeat, as whoever took it wrote it. */
	readonly heartbeat: string | undefined;
	/** When we first saw it, by our own clock: those of other machines are not compared with it. */
	readonly atMs: number;
}

class InstanceRegistrar implements Registrations {
	readonly #options: RegistrationsOptions;
	readonly #queue = createKeyQueue();
	readonly #heard = new Map<string, Heard>();
	/** Made here, and perhaps not in the snapshot yet: by `namespace/name`, its owner. */
	readonly #fresh = new Map<string, string>();
	#verdicts: { readonly snapshot: StoreSnapshot | undefined; readonly refusals: Map<string, Refusal | undefined> } = {
		snapshot: undefined,
		refusals: new Map(),
	};

	constructor(options: RegistrationsOptions) {
		this.#options = options;
	}

	async register(caller: SpiffeId, namespace: string, name: string | undefined, request: InstanceRequest): Promise<Registered | Refusal> {
		if (caller.namespace !== namespace) return refuse("forbidden", `a workload of namespace ${caller.namespace} registers nothing in ${namespace}`);
		const { serviceAccount = "" } = request.spec;
		if (serviceAccount !== "" && serviceAccount !== caller.serviceAccount)
			return refuse("forbidden", `a workload of service account ${caller.serviceAccount} registers nothing for ${serviceAccount}`);
		const ref = { namespace, name: name ?? request.name ?? nameOf(request) };
		if (ref.name.length > 253 || !dnsSubdomain.test(ref.name)) return refuse("invalid", `name: ${JSON.stringify(ref.name)} is not a name such as reviews-1`);
		const selector = selectorOf(this.#options.snapshot(), namespace, request.service);
		if (typeof selector === "string") return refuse("invalid", selector);
		const entry = entryOf(ref, caller, request, selector);
		const refusal = this.#verdict(entry, caller);
		if (refusal) return refusal;
		return this.#queue.run(keyOf(ref), () => this.#put(entry, formatSpiffeId(caller), request));
	}

	deregister(caller: SpiffeId, ref: EntryRef): Promise<{ readonly ok: true } | Refusal> {
		return this.#queue.run(keyOf(ref), async () => {
			for (let attempt = 1; attempt <= attemptsMax; attempt++) {
				const stored = caller.namespace === ref.namespace ? await this.#options.entries.read(ref) : undefined;
				if (!stored) return refuse("notFound", `there is no instance ${keyOf(ref)}`);
				const refusal = ownerProblem(ref, stored, formatSpiffeId(caller));
				if (refusal) return refusal;
				try {
					await this.#remove(ref, stored, "deregistered");
					return { ok: true };
				} catch (error) {
					if (!(error instanceof EntryChangedError)) throw error;
				}
			}
			throw new EntryChangedError(ref);
		});
	}

	async sweep(): Promise<void> {
		const registered = this.#options
			.snapshot()
			.all("WorkloadEntry")
			.filter(({ metadata }) => metadata.annotations[entryAnnotations.registeredBy] !== undefined);
		const known = new Set(registered.map(({ metadata }) => keyOf(metadata)));
		for (const key of this.#fresh.keys()) if (known.has(key)) this.#fresh.delete(key);
		for (const key of this.#heard.keys()) if (!known.has(key) && !this.#fresh.has(key)) this.#heard.delete(key);
		for (const { metadata } of registered) {
			const ref = { namespace: metadata.namespace, name: metadata.name };
			try {
				await this.#queue.run(keyOf(ref), () => this.#judge(ref, ttlOf(metadata.annotations)));
			} catch (error) {
				// The next sweep comes soon; what changed meanwhile was heard of.
				if (!(error instanceof EntryChangedError)) this.#options.logger.warn("instance not looked at", { instance: keyOf(ref), error });
			}
		}
	}

	async #put(entry: WorkloadEntry, owner: string, request: InstanceRequest): Promise<Registered | Refusal> {
		const { entries, logger } = this.#options;
		const { metadata } = entry;
		const key = keyOf(metadata);
		for (let attempt = 1; attempt <= attemptsMax; attempt++) {
			const stored = await entries.read(metadata);
			if (!stored) {
				const refusal = this.#limitProblem(owner);
				if (refusal) return refusal;
				if (!(await this.#create(entry, owner))) continue;
				logger.info("instance registered", { instance: key, by: owner, ttlMs: request.ttlMs });
			} else {
				const refusal = ownerProblem(metadata, stored, owner);
				if (refusal) return refusal;
				if (!(await this.#update(entry, stored))) continue;
			}
			if (!(await this.#hear(metadata))) continue;
			await this.#tell(metadata, stored, request.problem);
			return { ok: true, name: metadata.name, created: stored === undefined, ttlMs: request.ttlMs };
		}
		throw new EntryChangedError(metadata);
	}

	/** Asked with every heartbeat, and a walk over services and pods: remembered while nothing changes. */
	#verdict(entry: WorkloadEntry, { serviceAccount }: SpiffeId): Refusal | undefined {
		const snapshot = this.#options.snapshot();
		if (this.#verdicts.snapshot !== snapshot || this.#verdicts.refusals.size >= verdictsMax) this.#verdicts = { snapshot, refusals: new Map() };
		const { refusals } = this.#verdicts;
		const key = JSON.stringify([entry.metadata.namespace, entry.metadata.name, serviceAccount, entry.spec]);
		if (!refusals.has(key)) refusals.set(key, judge(snapshot, entry, serviceAccount));
		return refusals.get(key);
	}

	/** False: somebody else was faster. Counted before it is there, so that many at one time do not get past the limit. */
	async #create(entry: WorkloadEntry, owner: string): Promise<boolean> {
		const key = keyOf(entry.metadata);
		this.#fresh.set(key, owner);
		let isCreated = false;
		try {
			isCreated = await this.#options.entries.create(entry);
			return isCreated;
		} finally {
			if (!isCreated) this.#fresh.delete(key);
		}
	}

	/** False: somebody else was faster. */
	async #update({ metadata, spec }: WorkloadEntry, stored: StoredEntry): Promise<boolean> {
		const changed = Object.entries(metadata.annotations).filter(([name, value]) => stored.annotations[name] !== value);
		const isSameSpec = isDeepStrictEqual(spec, stored.spec);
		if (changed.length === 0 && isSameSpec) return true;
		try {
			await this.#options.entries.change(metadata, stored.revision, Object.fromEntries(changed), isSameSpec ? undefined : spec);
			return true;
		} catch (error) {
			if (error instanceof EntryChangedError) return false;
			throw error;
		}
	}

	async #hear(ref: EntryRef): Promise<boolean> {
		const { entries, clock } = this.#options;
		const heartbeat = new Date(clock.nowMs()).toISOString();
		if (!(await entries.heartbeat(ref, heartbeat))) return false;
		this.#heard.set(keyOf(ref), { heartbeat, atMs: clock.monotonicMs() });
		return true;
	}

	/** Writes the instance's health where it is not what is known. */
	async #tell(ref: EntryRef, stored: StoredEntry | undefined, problem: string | undefined): Promise<void> {
		const { entries, clock, logger } = this.#options;
		const status = problem === undefined ? "True" : "False";
		const before = stored?.conditions ?? [];
		const isDraining = before.some((one) => one.type === "Draining");
		const known = before.find((one) => one.type === "Healthy");
		if (!isDraining && known?.status === status && (known.message ?? "") === (problem ?? "")) return;
		const now = new Date(clock.nowMs()).toISOString();
		await entries.setConditions(ref, [
			{ type: "Healthy", status, lastProbeTime: now, lastTransitionTime: now, ...(problem !== undefined && problem !== "" && { message: problem }) },
		]);
		logger.info(isDraining ? "instance is heard of again" : "instance health", { instance: keyOf(ref), healthy: problem === undefined, reason: problem ?? "" });
	}

	async #judge(ref: EntryRef, ttlMs: number): Promise<void> {
		const { clock, entries } = this.#options;
		const key = keyOf(ref);
		const heard = this.#heard.get(key);
		if (heard && clock.monotonicMs() - heard.atMs < ttlMs) return;
		const heartbeat = await entries.lastHeartbeat(ref);
		// Another replica has heard of it; or we have not looked before.
		if (!heard || heard.heartbeat !== heartbeat) return void this.#heard.set(key, { heartbeat, atMs: clock.monotonicMs() });
		const stored = await entries.read(ref);
		if (stored?.annotations[entryAnnotations.registeredBy] === undefined) return;
		if (clock.monotonicMs() - heard.atMs >= 2 * ttlMs) return this.#remove(ref, stored, "not heard of");
		if (!stored.conditions.some((one) => one.type === "Draining")) await this.#drain(ref, stored, ttlMs);
	}

	async #drain(ref: EntryRef, stored: StoredEntry, ttlMs: number): Promise<void> {
		const now = new Date(this.#options.clock.nowMs()).toISOString();
		const kept = stored.conditions.filter((one): one is EntryCondition => one.type === "Healthy" && one.status !== undefined);
		const message = `no heartbeat for ${ttlMs / 1000}s`;
		await this.#options.entries.setConditions(ref, [...kept, { type: "Draining", status: "True", lastProbeTime: now, lastTransitionTime: now, message }]);
		this.#options.logger.warn("instance drains", { instance: keyOf(ref), reason: message });
	}

	async #remove(ref: EntryRef, { revision }: StoredEntry, reason: string): Promise<void> {
		await this.#options.entries.remove(ref, revision);
		this.#heard.delete(keyOf(ref));
		this.#fresh.delete(keyOf(ref));
		this.#options.logger.info("instance removed", { instance: keyOf(ref), reason });
	}

	#limitProblem(owner: string): Refusal | undefined {
		const { instancesMax = 100, totalMax = 10_000, snapshot } = this.#options;
		const owners = new Map(this.#fresh);
		for (const { metadata } of snapshot().all("WorkloadEntry")) {
			const by = metadata.annotations[entryAnnotations.registeredBy];
			if (by !== undefined) owners.set(keyOf(metadata), by);
		}
		if (owners.size >= totalMax) return refuse("tooMany", `there are ${totalMax} registered instances, and no more are taken`);
		const own = [...owners.values()].filter((by) => by === owner).length;
		if (own >= instancesMax) return refuse("tooMany", `${owner} has ${own} instances, and may have no more: deregister one`);
		return undefined;
	}
}

const refuse = (code: Refusal["code"], reason: string): Refusal => ({ ok: false, code, reason });

function judge(snapshot: StoreSnapshot, entry: WorkloadEntry, serviceAccount: string): Refusal | undefined {
	const denied = consentProblem(snapshot, entry.metadata.namespace, entryLabels(entry), serviceAccount);
	if (denied !== undefined) return refuse("forbidden", denied);
	const declared = declaredProblem(snapshot, entry);
	return declared === undefined ? undefined : refuse("conflict", declared);
}

function ownerProblem(ref: EntryRef, { annotations }: StoredEntry, owner: string): Refusal | undefined {
	const by = annotations[entryAnnotations.registeredBy];
	if (by === undefined) return refuse("conflict", `WorkloadEntry ${keyOf(ref)} is there and was not registered: choose another name, or delete it`);
	if (by !== owner) return refuse("forbidden", `instance ${keyOf(ref)} is ${by}'s`);
	return undefined;
}

const nameOf = ({ service, spec }: InstanceRequest): string => {
	const ports = Object.values(spec.ports ?? {});
	const [port] = ports;
	const parts = [service.replace(/\..*$/, ""), spec.address.replaceAll(":", "-"), ...(ports.length === 1 && port !== undefined ? [String(port)] : [])];
	return parts.join("-").toLowerCase();
};

/** It runs no proxy, so it takes no mutual TLS unless its labels say so; and the service's selector is what makes it an instance. */
function entryOf({ namespace, name }: EntryRef, caller: SpiffeId, request: InstanceRequest, selector: Labels): WorkloadEntry {
	const labels = { [tlsModeLabel]: "disabled", ...request.spec.labels, ...selector };
	const spec: WorkloadEntrySpec = { ...request.spec, labels, serviceAccount: caller.serviceAccount };
	const annotations = {
		[entryAnnotations.registeredBy]: formatSpiffeId(caller),
		[entryAnnotations.service]: request.service,
		[entryAnnotations.ttl]: `${request.ttlMs / 1000}s`,
		[entryAnnotations.healthChecks]: "true",
	};
	return { apiVersion: "networking.istio.io/v1", kind: "WorkloadEntry", metadata: { name, namespace, labels, annotations }, spec };
}

/** Of an annotation that somebody has changed by hand: the default. */
function ttlOf(annotations: Readonly<Record<string, string>>): number {
	const seconds = Number(/^(\d+(?:\.\d+)?)s$/.exec(annotations[entryAnnotations.ttl] ?? "")?.[1]);
	return seconds > 0 ? seconds * 1000 : 30_000;
}
