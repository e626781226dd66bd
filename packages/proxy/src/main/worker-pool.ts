import type { Logger } from "@weft/runtime";
import type { ProbeResult } from "../config/health-check.ts";
import type { ConfigUpdate } from "../config/runtime-config.ts";
import type { CountedLoad, FromWorker, ResourceError, ToWorker } from "../config/worker-messages.ts";
import type { StatsDump } from "../data/stats/registry.ts";

/** One worker thread, or a test's stand-in. */
export interface WorkerPort {
	post(message: ToWorker): void;
	stop(): Promise<void>;
}

export interface WorkerEvents {
	readonly message: (message: FromWorker) => void;
	/** It ended by itself. */
	readonly exit: (reason: string) => void;
}

export interface WorkerPoolOptions {
	readonly count: number;
	readonly spawn: (index: number, events: WorkerEvents) => WorkerPort;
	/** What a worker that takes a dead one's place begins with. */
	readonly snapshot: () => ConfigUpdate;
	readonly logger: Logger;
	/** Events that concern the whole process: ejections, bound listeners. */
	readonly onMessage: (message: FromWorker) => void;
	readonly restartDelayMs?: number;
}

interface Member {
	port: WorkerPort;
	readonly ready: PromiseWithResolvers<void>;
	/** What is asked of it, by id. */
	readonly updates: Map<number, (errors: readonly ResourceError[]) => void>;
	readonly scrapes: Map<number, (stats: StatsDump | undefined) => void>;
	readonly counts: Map<number, (load: CountedLoad | undefined) => void>;
	readonly probes: Map<number, (result: ProbeResult) => void>;
	drained: (() => void) | undefined;
}

/** A scrape that a stuck worker does not answer is given up. */
const scrapeTimeoutMs = 2_000;
/** Beyond a probe's own timeout. */
const probeGraceMs = 2_000;

/** The worker threads: asks all, gathers their answers, replaces those that die. */
export class WorkerPool {
	readonly #options: WorkerPoolOptions;
	readonly #members: Member[] = [];
	#nextScrape = 1;
	#nextProbe = 1;
	#stopping = false;

	constructor(options: WorkerPoolOptions) {
		this.#options = options;
	}

	get size(): number {
		return this.#members.length;
	}

	async start(): Promise<void> {
		for (let i = 0; i < this.#options.count; i++) this.#members.push(this.#spawn(i));
		await Promise.all(this.#members.map(({ ready }) => ready.promise));
	}

	#spawn(index: number): Member {
		const events: WorkerEvents = {
			message: (message) => this.#receive(member, message),
			exit: (reason) => this.#replace(index, member, reason),
		};
		const member: Member = {
			port: this.#options.spawn(index, events),
			ready: Promise.withResolvers(),
			updates: new Map(),
			scrapes: new Map(),
			counts: new Map(),
			probes: new Map(),
			drained: undefined,
		};
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

	#log({ level, message, fields }: Extract<FromWorker, { kind: "log" }>): void {
		const { logger } = this.#options;
		if (level === "debug" || level === "info" || level === "warn") logger[level](message, fields);
		else logger.error(message, fields);
	}

	#replace(index: number, member: Member, reason: string): void {
		for (const done of member.updates.values()) done([]);
		for (const done of member.scrapes.values()) done(undefined);
		for (const done of member.counts.values()) done(undefined);
		for (const done of member.probes.values()) done({ kind: "unknown" });
		member.drained?.();
		if (this.#stopping) return;
		this.#options.logger.error("a worker ended and is replaced", { worker: index, reason });
		const delayMs = this.#options.restartDelayMs ?? 500;
		setTimeout(() => {
			if (this.#stopping) return;
			const next = this.#spawn(index);
			this.#members[index] = next;
			void next.ready.promise.then(() => next.port.post({ kind: "update", update: this.#options.snapshot() }));
		}, delayMs);
	}

	/** Resolves once every worker has the update in force. The same complaint of several workers is one. */
	async update(update: ConfigUpdate): Promise<readonly ResourceError[]> {
		const answers = await Promise.all(
			this.#members.map((member) => {
				const { promise, resolve } = Promise.withResolvers<readonly ResourceError[]>();
				member.updates.set(update.id, resolve);
				member.port.post({ kind: "update", update });
				return promise;
			}),
		);
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
			this.#members.map((member) => {
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
		const [member] = this.#members;
		if (member === undefined) return { kind: "unknown" };
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

	broadcast(message: ToWorker): void {
		for (const { port } of this.#members) port.post(message);
	}

	/** Asks every worker to finish what it serves; resolves when all have, or after the deadline. */
	async drain(deadlineMs: number, inboundOnly = false): Promise<void> {
		const timer = Promise.withResolvers<void>();
		const timeout = setTimeout(timer.resolve, deadlineMs);
		const drained = this.#members.map((member) => {
			const { promise, resolve } = Promise.withResolvers<void>();
			member.drained = resolve;
			member.port.post({ kind: "drain", graceful: false, inboundOnly, deadlineMs, untilIdle: true });
			return promise;
		});
		await Promise.race([Promise.all(drained), timer.promise]);
		clearTimeout(timeout);
	}

	async stop(): Promise<void> {
		this.#stopping = true;
		this.broadcast({ kind: "stop" });
		await Promise.all(this.#members.map(({ port }) => port.stop()));
	}
}
