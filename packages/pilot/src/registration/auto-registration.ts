import { status } from "@grpc/grpc-js";
import type { ConfigObject } from "@weft/api";
import { type Clock, createBackoff, type Logger } from "@weft/runtime";
import { RefusedError, type XdsClient } from "@weft/xds/server";
import { Counter, type Registry } from "prom-client";
import { entryAnnotations } from "../model/entry-registration.ts";
import { entryOfGroup, type RegisteringProxy, registeringProxy } from "./group-entry.ts";
import { createKeyQueue } from "./key-queue.ts";
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
 * WorkloadEntries of proxies that name a WorkloadGroup in their metadata (AUTO_REGISTER_GROUP), as istiod keeps them.
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
}

class Registrar implements AutoRegistration {
	readonly #options: AutoRegistrationOptions;
	readonly #queue = createKeyQueue();
	readonly #connections = new Map<XdsClient, Connection>();
	/** By `namespace/name` of the entry: an old stream may end after the new one has begun. */
	readonly #connected = new Map<string, Set<XdsClient>>();
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
		const connection = { proxy, connectedAt: this.#now() };
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
		void this.#persistently(connection.proxy, "not marked as disconnected", () => this.#markDisconnected(connection));
	}

	health(client: XdsClient, problem: string | undefined): void {
		const connection = this.#connections.get(client);
		if (!connection) return this.#options.logger.debug("health of a workload that is not registered", { proxy: client.node.id });
		const now = this.#now();
		const { proxy } = connection;
		const condition = { type: "Healthy", status: problem === undefined ? "True" : "False", lastProbeTime: now, lastTransitionTime: now } as const;
		void this.#persistently(proxy, "health not kept", async () => {
			// A newer stream of the proxy speaks for it now.
			if (!this.#connections.has(client)) return;
			await this.#options.entries.setConditions(proxy, [{ ...condition, ...(problem !== undefined && { message: problem }) }]);
			this.#options.logger.info("workload health", { entry: keyOf(proxy), healthy: problem === undefined, reason: problem ?? "" });
		});
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

	async #register(client: XdsClient, connection: Connection): Promise<void> {
		const { entries, groupOf } = this.#options;
		const { proxy } = connection;
		for (let attempt = 1; ; attempt++) {
			if (!this.#connections.has(client)) return;
			try {
				const stored = await entries.read(proxy);
				if (stored) return await this.#adopt(client, stored, connection);
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
		if (stored.annotations[entryAnnotations.group] === undefined)
			return this.#options.logger.info("workload has an entry that was written by hand: it stays as it is", { entry: keyOf(proxy) });
		const known = Date.parse(stored.annotations[entryAnnotations.connectedAt] ?? "");
		// The proxy has connected to another replica since.
		if (known > Date.parse(connection.connectedAt)) return;
		await this.#options.entries.change(proxy, stored.revision, { ...this.#connectAnnotations(connection), [entryAnnotations.disconnectedAt]: null });
		this.#metrics.updates.inc();
		this.#options.logger.info("workload is back", { entry: keyOf(proxy), group: proxy.group });
	}

	#connectAnnotations({ connectedAt }: Connection): Readonly<Record<string, string>> {
		return { [entryAnnotations.controller]: this.#options.instance, [entryAnnotations.connectedAt]: connectedAt };
	}

	async #markDisconnected({ proxy, connectedAt }: Connection): Promise<void> {
		// It has come back, and that stream's registration comes next in the queue or is done.
		if (this.#connected.has(keyOf(proxy))) return;
		const stored = await this.#options.entries.read(proxy);
		const { annotations = {} } = stored ?? {};
		const isOurs = annotations[entryAnnotations.controller] === this.#options.instance && annotations[entryAnnotations.connectedAt] === connectedAt;
		if (stored && isOurs) await this.#disconnect(proxy, stored);
	}

	async #markLost(ref: EntryRef, controller: string): Promise<void> {
		const stored = await this.#options.entries.read(ref);
		if (stored?.annotations[entryAnnotations.controller] !== controller || stored.annotations[entryAnnotations.connectedAt] === undefined) return;
		if (!this.#connected.has(keyOf(ref))) await this.#disconnect(ref, stored);
	}

	async #disconnect(ref: EntryRef, { revision }: StoredEntry): Promise<void> {
		const { clock, entries, graceMs, logger, signal } = this.#options;
		await entries.change(ref, revision, { [entryAnnotations.connectedAt]: null, [entryAnnotations.disconnectedAt]: this.#now() });
		this.#metrics.unregistered.inc();
		logger.info("workload disconnected", { entry: keyOf(ref), graceMs });
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

	/** In the order of the entry's other changes; tried again while the place where entries are kept does not answer. Never rejects. */
	#persistently(ref: EntryRef, failure: string, task: () => Promise<void>): Promise<void> {
		const { clock, logger, signal } = this.#options;
		const backoff = createBackoff({ minMs: 100, maxMs: 5_000 });
		return this.#queue.run(keyOf(ref), async () => {
			for (let attempt = 1; !signal.aborted; attempt++) {
				try {
					return await task();
				} catch (error) {
					if (signal.aborted) return;
					if (attempt >= attemptsMax) {
						this.#metrics.errors.inc();
						return logger.error(`WorkloadEntry ${failure}`, { entry: keyOf(ref), error });
					}
					if (!(error instanceof EntryChangedError)) await clock.sleep(backoff.nextMs(), signal);
				}
			}
		});
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
function checkControl({ peer, node }: XdsClient, { namespace, group }: RegisteringProxy, serviceAccount: string | undefined): void {
	if (peer.spiffeIds === undefined) throw refusal(status.PERMISSION_DENIED, `auto-registration of ${node.id} needs a certificate: connect to the TLS port`);
	const identities = peer.spiffeIds.flatMap((id) => /^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(id)?.slice(1) ?? []);
	const [ofNamespace, ofAccount] = identities;
	if (ofNamespace !== namespace) throw refusal(status.PERMISSION_DENIED, `a workload of namespace ${ofNamespace ?? "none"} cannot join ${namespace}/${group}`);
	if (serviceAccount !== undefined && serviceAccount !== "" && serviceAccount !== ofAccount)
		throw refusal(
			status.PERMISSION_DENIED,
			`${namespace}/${group} is for service account ${serviceAccount}, and the certificate is for ${ofAccount ?? "none"}`,
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
