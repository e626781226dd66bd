import { status } from "@grpc/grpc-js";
import type { ConfigObject } from "@weft/api";
import { type Clock, createBackoff, createKeyQueue, type Logger } from "@weft/runtime";
import { RefusedError, type XdsClient } from "@weft/xds/server";
import { Counter, type Registry } from "prom-client";
import { entryAnnotations } from "../model/entry-registration.ts";
import { entryOfGroup, type RegisteringProxy, registeringProxy } from "./group-entry.ts";
import { EntryChangedError, type EntryRef, keyOf, type StoredEntry, type WorkloadEntries, type WorkloadEntry } from "./workload-entries.ts";

export interface AutoRegistrationOptions {
	readonly entries: WorkloadEntries;
	readonly groupOf: (namespace: string, name: string) => ConfigObject<"WorkloadGroup"> | undefined;
	/** This replica. */
	readonly instance: string;
	/** How long the entry of a proxy that went away is kept for it to come back: PILOT_WORKLOAD_ENTRY_GRACE_PERIOD. */
	readonly graceMs: number;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly registry: Registry;
	/** After it nothing is written any more: what goes on with proxies is for the replica that they connect to next. */
	readonly signal: AbortSignal;
}

/**
 * WorkloadEntries of proxies that name a WorkloadGroup in their metadata (AUTO_REGISTER_GROUP), as istiod keeps them; and the health
 * of those that name an entry which is there already (WORKLOAD_ENTRY).
 * https://istio.io/latest/docs/ops/deployment/vm-architecture/#workload-autoregistration
 *
 * connected ──stream ends──▶ disconnected ──grace period──▶ removed
 *     ▲───────reconnects, here or at another replica───┘
 */
export interface AutoRegistration {
	/**
	 * Undefined where the proxy asks for no registration. Resolves when its entry is kept; rejects with RefusedError where there is no
	 * such group, or the proxy's certificate is not for what the group says.
	 */
	connected(client: XdsClient): Promise<void> | undefined;
	disconnected(client: XdsClient): void;
	/** What the proxy's agent has probed: undefined is healthy, else why not. */
	health(client: XdsClient, problem: string | undefined): void;
	/**
	 * Ends what a replica that is gone could not: entries whose grace period is over, and of `entries` those of replicas for which
	 * `isGone` holds. For the leader among replicas.
	 */
	sweep(entries: readonly WorkloadEntry[], isGone: (instance: string) => boolean): Promise<void>;
}

const attemptsMax = 8;

export function createAutoRegistration(options: AutoRegistrationOptions): AutoRegistration {
	return new Registrar(options);
}

interface Connection {
	readonly proxy: RegisteringProxy;
	readonly connectedAt: string;
	/** What the proxy said last, and whether the entry says so. */
	health?: { readonly problem: string | undefined; readonly isKept: boolean };
}

class Registrar implements AutoRegistration {
	readonly #options: AutoRegistrationOptions;
	readonly #queue = createKeyQueue();
	readonly #connections = new Map<XdsClient, Connection>();
	/** By `namespace/name` of the entry: an old stream may end after the new one has begun. */
	readonly #connected = new Map<string, Set<XdsClient>>();
	/** Entries that are being marked as disconnected. */
	readonly #leaving = new Set<string>();
	readonly #metrics: ReturnType<typeof createMetrics>;
	readonly #startedMs: number;

	constructor(options: AutoRegistrationOptions) {
		this.#options = options;
		this.#metrics = createMetrics(options.registry);
		this.#startedMs = options.clock.monotonicMs();
	}

	connected(client: XdsClient): Promise<void> | undefined {
		const proxy = registeringProxy(client.node);
		if (proxy === undefined) return undefined;
		if (typeof proxy === "string") return Promise.reject(refusal(status.INVALID_ARGUMENT, `auto-registration of ${client.node.id} failed: ${proxy}`));
		const connection: Connection = { proxy, connectedAt: this.#now() };
		this.#connections.set(client, connection);
		const key = keyOf(proxy);
		this.#connected.set(key, (this.#connected.get(key) ?? new Set()).add(client));
		return this.#queue.run(key, () => this.#register(client, connection)).catch((error: unknown) => this.#refuse(proxy, error));
	}

	disconnected(client: XdsClient): void {
		const connection = this.#connections.get(client);
		if (!connection) return;
		this.#connections.delete(client);
		const key = keyOf(connection.proxy);
		const others = this.#connected.get(key);
		others?.delete(client);
		if (others && others.size > 0) return;
		this.#connected.delete(key);
		if (this.#leaving.has(key)) return;
		this.#leaving.add(key);
		void this.#persistently(connection.proxy, "not marked as disconnected", () => this.#markDisconnected(connection.proxy)).then(() =>
			this.#leaving.delete(key),
		);
	}

	health(client: XdsClient, problem: string | undefined): void {
		const connection = this.#connections.get(client);
		if (!connection) return this.#options.logger.debug("health of a workload that is not registered", { proxy: client.node.id });
		const isWaiting = connection.health !== undefined && !connection.health.isKept;
		if (connection.health?.isKept && connection.health.problem === problem) return;
		connection.health = { problem, isKept: false };
		// However often it changes meanwhile, one write waits, and writes the last.
		if (!isWaiting) void this.#persistently(connection.proxy, "health not kept", () => this.#keepHealth(client, connection));
	}

	async sweep(entries: readonly WorkloadEntry[], isGone: (instance: string) => boolean): Promise<void> {
		for (const { metadata } of entries) {
			if (this.#options.signal.aborted) return;
			const { annotations } = metadata;
			if (annotations[entryAnnotations.group] === undefined) continue;
			if (annotations[entryAnnotations.disconnectedAt] !== undefined) {
				if (this.#isOver(annotations)) await this.#persistently(metadata, "not removed", () => this.#removeIfOver(metadata));
				continue;
			}
			const controller = annotations[entryAnnotations.controller] ?? "";
			const isLost = controller === this.#options.instance ? this.#isForgotten(keyOf(metadata)) : isGone(controller);
			if (isLost) await this.#persistently(metadata, "not marked as disconnected", () => this.#markLost(metadata, controller));
		}
	}

	async #keepHealth(client: XdsClient, connection: Connection): Promise<void> {
		const { proxy } = connection;
		// A newer stream of the proxy speaks for it now.
		while (this.#connections.has(client) && connection.health?.isKept === false) {
			const { health } = connection;
			const { problem } = health;
			const now = this.#now();
			const condition = { type: "Healthy", status: problem === undefined ? "True" : "False", lastProbeTime: now, lastTransitionTime: now } as const;
			await this.#options.entries.setConditions(proxy, [{ ...condition, ...(problem !== undefined && { message: problem }) }]);
			this.#options.logger.info("workload health", { entry: keyOf(proxy), healthy: problem === undefined, reason: problem ?? "" });
			if (connection.health === health) connection.health = { problem, isKept: true };
		}
	}

	async #register(client: XdsClient, connection: Connection): Promise<void> {
		const { entries, groupOf } = this.#options;
		const { proxy } = connection;
		for (let attempt = 1; ; attempt++) {
			if (!this.#connections.has(client)) return;
			try {
				const stored = await entries.read(proxy);
				if (stored) return await this.#adopt(client, stored, connection);
				if (proxy.group === undefined) return this.#withoutHealth(client, proxy, "it is not there, or not in the API server");
				const group = groupOf(proxy.namespace, proxy.group);
				if (!group) throw refusal(status.FAILED_PRECONDITION, `auto-registration failed: there is no WorkloadGroup ${proxy.namespace}/${proxy.group}`);
				const entry = entryOfGroup(proxy, group);
				checkControl(client, proxy, entry.spec.serviceAccount);
				const annotations = { ...entry.metadata.annotations, ...this.#connectAnnotations(connection) };
				if (await entries.create({ ...entry, metadata: { ...entry.metadata, annotations } })) {
					this.#metrics.success.inc();
					this.#options.logger.info("workload registered", { entry: keyOf(proxy), group: proxy.group });
					return;
				}
			} catch (error) {
				if (!(error instanceof EntryChangedError)) throw error;
			}
			if (attempt >= attemptsMax) throw refusal(status.UNAVAILABLE, `WorkloadEntry ${keyOf(proxy)} changes all the time`);
		}
	}

	/** The entry is there: of a connection before, perhaps at another replica, or written by hand. */
	async #adopt(client: XdsClient, stored: StoredEntry, connection: Connection): Promise<void> {
		const { proxy } = connection;
		checkControl(client, proxy, stored.spec.serviceAccount);
		if (proxy.group === undefined && stored.annotations[entryAnnotations.healthChecks] !== "true")
			return this.#withoutHealth(client, proxy, `its annotation ${entryAnnotations.healthChecks} is not true`);
		if (proxy.group !== undefined && stored.annotations[entryAnnotations.group] === undefined)
			return this.#options.logger.info("workload has an entry that was written by hand: it stays as it is", { entry: keyOf(proxy) });
		const known = Date.parse(stored.annotations[entryAnnotations.connectedAt] ?? "");
		// The proxy has connected to another replica since.
		if (known > Date.parse(connection.connectedAt)) return;
		await this.#options.entries.change(proxy, stored.revision, { ...this.#connectAnnotations(connection), [entryAnnotations.disconnectedAt]: null });
		this.#metrics.updates.inc();
		this.#options.logger.info("workload is connected", { entry: keyOf(proxy), group: proxy.group ?? "" });
	}

	/** A proxy that names its entry, whose health nobody keeps: it is served as any other. */
	#withoutHealth(client: XdsClient, proxy: RegisteringProxy, reason: string): void {
		this.#connections.delete(client);
		const others = this.#connected.get(keyOf(proxy));
		others?.delete(client);
		if (others?.size === 0) this.#connected.delete(keyOf(proxy));
		this.#options.logger.warn("health of the workload is not kept in the entry that its proxy names", { entry: keyOf(proxy), reason });
	}

	#connectAnnotations({ connectedAt }: Connection): Readonly<Record<string, string>> {
		return { [entryAnnotations.controller]: this.#options.instance, [entryAnnotations.connectedAt]: connectedAt };
	}

	async #markDisconnected(ref: EntryRef): Promise<void> {
		const stored = await this.#options.entries.read(ref);
		const { annotations = {} } = stored ?? {};
		const isOurs = annotations[entryAnnotations.controller] === this.#options.instance && annotations[entryAnnotations.connectedAt] !== undefined;
		// It may have come back, here or at another replica.
		if (stored && isOurs && !this.#connected.has(keyOf(ref))) await this.#disconnect(ref, stored);
	}

	async #markLost(ref: EntryRef, controller: string): Promise<void> {
		const stored = await this.#options.entries.read(ref);
		if (stored?.annotations[entryAnnotations.controller] !== controller || stored.annotations[entryAnnotations.connectedAt] === undefined) return;
		if (!this.#connected.has(keyOf(ref))) await this.#disconnect(ref, stored);
	}

	async #disconnect(ref: EntryRef, { annotations, revision }: StoredEntry): Promise<void> {
		const { clock, entries, graceMs, logger, signal } = this.#options;
		await entries.change(ref, revision, { [entryAnnotations.connectedAt]: null, [entryAnnotations.disconnectedAt]: this.#now() });
		this.#metrics.unregistered.inc();
		logger.info("workload disconnected", { entry: keyOf(ref), graceMs });
		// One that was written by hand stays.
		if (annotations[entryAnnotations.group] === undefined) return;
		void clock.sleep(graceMs, signal).then(() => this.#persistently(ref, "not removed", () => this.#removeIfOver(ref)));
	}

	async #removeIfOver(ref: EntryRef): Promise<void> {
		const stored = await this.#options.entries.read(ref);
		if (!stored || !this.#isOver(stored.annotations)) return;
		await this.#options.entries.remove(ref, stored.revision);
		this.#metrics.deleted.inc();
		this.#options.logger.info("workload did not come back: its entry is removed", { entry: keyOf(ref) });
	}

	#isOver(annotations: Readonly<Record<string, string>>): boolean {
		const at = Date.parse(annotations[entryAnnotations.disconnectedAt] ?? "");
		return annotations[entryAnnotations.group] !== undefined && this.#options.clock.nowMs() - at >= this.#options.graceMs;
	}

	/** Ours by name, of a life before this one; whoever wants to come back has had the time. */
	#isForgotten(key: string): boolean {
		return !this.#connected.has(key) && this.#options.clock.monotonicMs() - this.#startedMs >= this.#options.graceMs;
	}

	#now(): string {
		return new Date(this.#options.clock.nowMs()).toISOString();
	}

	/**
	 * Tried again while the place where entries are kept does not answer, with other changes of the entry in between: `task` has to look
	 * at what is there. Never rejects.
	 */
	async #persistently(ref: EntryRef, failure: string, task: () => Promise<void>): Promise<void> {
		const { clock, logger, signal } = this.#options;
		const backoff = createBackoff({ minMs: 100, maxMs: 30_000 });
		for (let attempt = 1; !signal.aborted; attempt++) {
			try {
				return await this.#queue.run(keyOf(ref), async () => (signal.aborted ? undefined : task()));
			} catch (error) {
				if (signal.aborted) return;
				// An outage is told once, not at every attempt.
				if (attempt === attemptsMax) {
					this.#metrics.errors.inc();
					logger.error(`WorkloadEntry ${failure}, trying on`, { entry: keyOf(ref), error });
				}
				if (!(error instanceof EntryChangedError)) await clock.sleep(backoff.nextMs(), signal);
			}
		}
	}

	#refuse(proxy: RegisteringProxy, error: unknown): never {
		this.#metrics.errors.inc();
		if (error instanceof RefusedError) throw error;
		this.#options.logger.warn("workload not registered", { entry: keyOf(proxy), error });
		throw refusal(status.UNAVAILABLE, `auto-registration of ${keyOf(proxy)} failed: its WorkloadEntry cannot be written now`);
	}
}

const refusal = (code: number, details: string): RefusedError => new RefusedError(code, details);

/**
 * The certificate of the connection must be for the entry's namespace, and for its service account where it names one: else any
 * workload of a namespace could stand in for any other.
 */
function checkControl({ peer, node }: XdsClient, { namespace, name, group }: RegisteringProxy, serviceAccount: string | undefined): void {
	if (peer.spiffeIds === undefined) throw refusal(status.PERMISSION_DENIED, `auto-registration of ${node.id} needs a certificate: connect to the TLS port`);
	const identities = peer.spiffeIds.flatMap((id) => /^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(id)?.slice(1) ?? []);
	const [ofNamespace, ofAccount] = identities;
	if (ofNamespace !== namespace)
		throw refusal(status.PERMISSION_DENIED, `a workload of namespace ${ofNamespace ?? "none"} cannot join ${namespace}/${group ?? name}`);
	if (serviceAccount !== undefined && serviceAccount !== "" && serviceAccount !== ofAccount)
		throw refusal(
			status.PERMISSION_DENIED,
			`${namespace}/${group ?? name} is for service account ${serviceAccount}, and the certificate is for ${ofAccount ?? "none"}`,
		);
}

/** istiod's names. */
function createMetrics(registry: Registry) {
	const counter = (name: string, help: string) => new Counter({ name, help, registers: [registry] });
	return {
		success: counter("auto_registration_success_total", "WorkloadEntries made for proxies that registered themselves."),
		updates: counter("auto_registration_updates_total", "WorkloadEntries taken over from an earlier connection."),
		unregistered: counter("auto_registration_unregister_total", "WorkloadEntries whose proxy disconnected."),
		deleted: counter("auto_registration_deletes_total", "WorkloadEntries removed after the grace period."),
		errors: counter("auto_registration_errors_total", "Registrations that failed."),
	} as const;
}
