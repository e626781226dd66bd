import type { Clock, Logger } from "@weft/runtime";
import type { ProbeResult } from "../config/health-check.ts";
import type { ConfigUpdate } from "../config/runtime-config.ts";
import type { CountedLoad, FromWorker, ResourceError, ToWorker } from "../config/worker-messages.ts";
import type { StatsDump } from "../data/stats/registry.ts";
import { loggerNamed } from "./loggers.ts";
import type { SleepingWorkers } from "./worker-demand.ts";

/** One worker thread, or a test's stand-in. */
export interface WorkerPort {
	post(message: ToWorker): void;
	/** The share of time that it was busy since this was asked last, 0 to 1. It is not disturbed by it. */
	busyShare(): number;
	stop(): Promise<void>;
}

export interface WorkerEvents {
	readonly message: (message: FromWorker) => void;
	/** It ended by itself. */
	readonly exit: (reason: string) => void;
}

export interface WorkerPoolOptions {
	readonly count: number;
	/** One starts; the others when they are woken. */
	readonly onDemand: boolean;
	readonly spawn: (index: number, events: WorkerEvents) => WorkerPort;
	/** Calls `begin` with what a worker begins with that comes later than the others: everything in force, while no update is under way. */
	readonly join: (begin: (snapshot: ConfigUpdate) => void) => Promise<void>;
	readonly clock: Clock;
	readonly logger: Logger;
	/** Events that concern the whole process: ejections, bound listeners. */
	readonly onMessage: (message: FromWorker) => void;
	readonly restartDelayMs?: number;
}

interface Member {
	readonly port: WorkerPort;
	readonly ready: PromiseWithResolvers<void>;
	/** What is asked of it, by id. */
	readonly updates: Map<number, (errors: readonly ResourceError[]) => void>;
	readonly scrapes: Map<number, (stats: StatsDump | undefined) => void>;
	readonly counts: Map<number, (load: CountedLoad | undefined) => void>;
	readonly probes: Map<number, (result: ProbeResult) => void>;
	drained: (() => void) | undefined;
	/** It is told everything from now on. */
	isServing: boolean;
}

type Drain = Extract<ToWorker, { kind: "drain" }>;

/** A scrape that a stuck worker does not answer is given up. */
const scrapeTimeoutMs = 2_000;
/** Beyond a probe's own timeout. */
const probeGraceMs = 2_000;

/** The worker threads: asks all, gathers their answers, wakes more of them, replaces those that die. */
export class WorkerPool implements SleepingWorkers {
	readonly #options: WorkerPoolOptions;
	/** Those that run, by their index. */
	readonly #members = new Map<number, Member>();
	/** What whoever comes late is told, too: the last of each kind. */
	readonly #standing = new Map<ToWorker["kind"], ToWorker>();
	#drain: { readonly message: Drain; readonly startedMs: number } | undefined;
	/** Those below have been started; one may have died, and wait for its successor. */
	#awake = 0;
	#nextScrape = 1;
	#nextProbe = 1;
	#stopping = false;

	constructor(options: WorkerPoolOptions) {
		this.#options = options;
	}

	async start(): Promise<void> {
		const { count, onDemand } = this.#options;
		this.#awake = onDemand ? 1 : count;
		const members = Array.from({ length: this.#awake }, (_, index) => this.#spawn(index, true));
		await Promise.all(members.map(({ ready }) => ready.promise));
	}

	get mayWake(): boolean {
		return this.#awake < this.#options.count && this.#drain === undefined && !this.#stopping;
	}

	busyShares(): readonly number[] {
		return this.#serving.map(({ port }) => port.busyShare());
	}

	get #serving(): readonly Member[] {
		return [...this.#members.values()].filter(({ isServing }) => isServing);
	}

	async wake(): Promise<void> {
		const { count, logger } = this.#options;
		const before = this.#awake;
		this.#awake = Math.min(count, 2 * before);
		logger.info("there is work for more workers", { workers: this.#awake });
		await this.#enterAll(Array.from({ length: this.#awake - before }, (_, i) => before + i));
	}

	/** Workers come while others serve. Once they listen, the others have their clients come again. */
	async #enterAll(indexes: readonly number[]): Promise<void> {
		const older = this.#serving;
		await Promise.all(indexes.map((index) => this.#enter(index)));
		if (this.#drain !== undefined || this.#stopping || !indexes.some((index) => this.#members.get(index)?.isServing)) return;
		for (const { port } of older) port.post({ kind: "spread" });
	}

	/** Resolves once it serves as the others do, or has ended. */
	async #enter(index: number): Promise<void> {
		const member = this.#spawn(index, false);
		let applied: Promise<readonly ResourceError[]> | undefined;
		await this.#options.join((snapshot) => {
			if (this.#members.get(index) === member) applied = this.#tellAll(member, snapshot);
		});
		for (const { resource, message } of (await applied) ?? []) this.#options.logger.warn("a worker refused a resource", { resource, message });
	}

	/** What the others know, at once: what they are told from now on comes behind that. */
	#tellAll(member: Member, snapshot: ConfigUpdate): Promise<readonly ResourceError[]> {
		member.isServing = true;
		for (const message of this.#standing.values()) member.port.post(message);
		const applied = this.#send(member, snapshot);
		if (this.#drain !== undefined) {
			const { message, startedMs } = this.#drain;
			const deadlineMs = Math.max(0, message.deadlineMs - (this.#options.clock.monotonicMs() - startedMs));
			member.port.post({ ...message, deadlineMs });
		}
		return applied;
	}

	#spawn(index: number, isServing: boolean): Member {
		const events: WorkerEvents = {
			message: (message) => this.#receive(member, message),
			exit: (reason) => this.#onExit(index, member, reason),
		};
		const member: Member = {
			port: this.#options.spawn(index, events),
			ready: Promise.withResolvers(),
			updates: new Map(),
			scrapes: new Map(),
			counts: new Map(),
			probes: new Map(),
			drained: undefined,
			isServing,
		};
		this.#members.set(index, member);
		return member;
	}

	#receive(member: Member, message: FromWorker): void {
		switch (message.kind) {
			case "ready":
				return member.ready.resolve();
			case "updated":
				member.updates.get(message.id)?.(message.errors);
				return void member.updates.delete(message.id);
			case "scraped":
				member.scrapes.get(message.id)?.(message.stats);
				return void member.scrapes.delete(message.id);
			case "hostsCounted":
				member.counts.get(message.id)?.(message.load);
				return void member.counts.delete(message.id);
			case "probed":
				member.probes.get(message.id)?.(message.result);
				return void member.probes.delete(message.id);
			case "drained":
				return member.drained?.();
			case "log":
				return this.#log(message);
			default:
				this.#options.onMessage(message);
		}
	}

	#log({ logger, level, message, fields }: Extract<FromWorker, { kind: "log" }>): void {
		loggerNamed(this.#options.logger, logger)[level](message, fields);
	}

	#onExit(index: number, member: Member, reason: string): void {
		this.#members.delete(index);
		for (const done of member.updates.values()) done([]);
		for (const done of member.scrapes.values()) done(undefined);
		for (const done of member.counts.values()) done(undefined);
		for (const done of member.probes.values()) done({ kind: "unknown" });
		member.drained?.();
		if (this.#stopping) return;
		this.#options.logger.error("a worker ended and is replaced", { worker: index, reason });
		const delayMs = this.#options.restartDelayMs ?? 500;
		setTimeout(() => {
			if (!this.#stopping) void this.#enterAll([index]);
		}, delayMs);
	}

	#send({ port, updates }: Member, update: ConfigUpdate): Promise<readonly ResourceError[]> {
		const { promise, resolve } = Promise.withResolvers<readonly ResourceError[]>();
		updates.set(update.id, resolve);
		port.post({ kind: "update", update });
		return promise;
	}

	/** Resolves once every worker has the update in force. The same complaint of several workers is one. */
	async update(update: ConfigUpdate): Promise<readonly ResourceError[]> {
		const answers = await Promise.all(this.#serving.map((member) => this.#send(member, update)));
		const seen = new Map(answers.flat().map((error) => [`${error.resource}\0${error.message}`, error]));
		return [...seen.values()];
	}

	/** What every worker counted; those that do not answer in time are left out. */
	scrape(): Promise<readonly StatsDump[]> {
		return this.#askAll("scrape", (member) => member.scrapes);
	}

	/** The same of each host of each cluster. */
	countHosts(): Promise<readonly CountedLoad[]> {
		return this.#askAll("countHosts", (member) => member.counts);
	}

	async #askAll<T>(kind: "scrape" | "countHosts", waitingOf: (member: Member) => Map<number, (answer: T | undefined) => void>): Promise<readonly T[]> {
		const id = this.#nextScrape++;
		const answers = await Promise.all(
			this.#serving.map((member) => {
				const { promise, resolve } = Promise.withResolvers<T | undefined>();
				const waiting = waitingOf(member);
				waiting.set(id, resolve);
				const timer = setTimeout(() => {
					waiting.delete(id);
					resolve(undefined);
				}, scrapeTimeoutMs);
				member.port.post({ kind, id });
				return promise.finally(() => clearTimeout(timer));
			}),
		);
		return answers.filter((answer) => answer !== undefined);
	}

	/** Has the first worker look at a host, as the cluster's health check says; `unknown` when it does not answer. */
	async probe(cluster: string, address: string, timeoutMs: number): Promise<ProbeResult> {
		const member = this.#members.get(0);
		if (member?.isServing !== true) return { kind: "unknown" };
		const id = this.#nextProbe++;
		const { promise, resolve } = Promise.withResolvers<ProbeResult>();
		const timer = setTimeout(() => {
			member.probes.delete(id);
			resolve({ kind: "unknown" });
		}, timeoutMs + probeGraceMs);
		member.probes.set(id, resolve);
		member.port.post({ kind: "probe", id, cluster, address });
		return promise.finally(() => clearTimeout(timer));
	}

	/** To those that serve. Whoever comes later is told of what lasts. */
	broadcast(message: ToWorker): void {
		if (message.kind === "drain") this.#begin(message);
		else if (message.kind === "logLevels" || message.kind === "healthcheckFail") this.#standing.set(message.kind, message);
		for (const { port } of this.#serving) port.post(message);
	}

	#begin(message: Drain): void {
		this.#drain = { message, startedMs: this.#options.clock.monotonicMs() };
	}

	/** Asks every worker to finish what it serves; resolves when all have, or after the deadline. */
	async drain(deadlineMs: number, inboundOnly = false): Promise<void> {
		const timer = Promise.withResolvers<void>();
		const timeout = setTimeout(timer.resolve, deadlineMs);
		const message: Drain = { kind: "drain", graceful: false, inboundOnly, deadlineMs, untilIdle: true };
		this.#begin(message);
		const drained = this.#serving.map((member) => {
			const { promise, resolve } = Promise.withResolvers<void>();
			member.drained = resolve;
			member.port.post(message);
			return promise;
		});
		await Promise.race([Promise.all(drained), timer.promise]);
		clearTimeout(timeout);
	}

	async stop(): Promise<void> {
		this.#stopping = true;
		const ports = [...this.#members.values()].map(({ port }) => port);
		for (const port of ports) port.post({ kind: "stop" });
		await Promise.all(ports.map((port) => port.stop()));
	}
}
