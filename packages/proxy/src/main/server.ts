import type { Clock } from "@weft/runtime";
import type { Secret } from "../config/tls.ts";
import { trimMemory } from "../data/worker/heap-memory.ts";
import { adminContext } from "./admin/context.ts";
import type { AdminReply } from "./admin/routes.ts";
import { startAdmin } from "./admin/server.ts";
import { showPrometheus } from "./admin/stats.ts";
import { connectSources } from "./config-sources.ts";
import { createLoadReporter } from "./load-reporting.ts";
import { type Core, createCore } from "./server-core.ts";
import type { ServerOptions } from "./server-options.ts";
import type { ServerState } from "./server-state.ts";
import { recordStatic, staticChange } from "./static-resources.ts";
import { startStatsSinks } from "./stats/sinks.ts";
import { followDemand } from "./worker-demand.ts";

export interface Server {
	readonly adminAddress: string | undefined;
	readonly state: ServerState;
	/** Secrets that the process has itself: new ones take effect in new handshakes. Resolves when they do. */
	setSecrets(secrets: readonly Secret[], removed: readonly string[]): Promise<void>;
	/** What the admin server shows as `/stats/prometheus`. */
	metrics(query: URLSearchParams): Promise<AdminReply>;
	/** Closes what is quiet (`inboundOnly`: of others' connections to us), and resolves once nothing is under way, or at the deadline. */
	drain(deadlineMs: number, inboundOnly?: boolean): Promise<void>;
	/** Goes on accepting; more and more connections are closed as they answer, all by the deadline. */
	drainGradually(deadlineMs: number, inboundOnly: boolean): void;
	/** Tells the control plane of the workload's health: undefined is healthy, else why not. */
	reportHealth(problem: string | undefined): void;
	/** Not ready from now on, while everything is served as before. */
	markDraining(): void;
	reopenLogs(): void;
	stop(): Promise<void>;
}

/** Reads from top to bottom as the main thread: workers, configuration, control plane, admin. Rejects when the configuration cannot be served. */
export async function startServer(options: ServerOptions): Promise<Server> {
	const core = createCore(options);
	const stop = async () => {
		core.abort.abort();
		core.dns.stop();
		await core.pool.stop();
	};
	try {
		return await start(options, core, stop);
	} catch (error) {
		// A server that could not be started must not go on in part.
		await stop();
		throw error;
	}
}

async function start(options: ServerOptions, core: Core, stop: () => Promise<void>): Promise<Server> {
	const { config, clock } = options;
	const { abort, outliers, pool, refused, state, store } = core;
	const sources = await connectSources(options, core);
	await pool.start();
	recordStatic(core.records, config, clock.nowMs());
	core.runtime.start(abort.signal);
	const applied = store.apply(staticChange(config, options.initialSecrets));
	sources.follow();
	await applied;
	sources.run();
	const isIn = () => config.listeners.every(({ value }) => store.acknowledged.listeners.has(value.name));
	await Promise.race([until(isIn, startPollMs, clock, abort.signal), clock.sleep(startTimeoutMs, abort.signal)]);
	if (refused.length > 0) throw new Error(refused.map(({ resource, message }) => `${resource}: ${message}`).join("; "));
	const context = adminContext(options, core);
	const admin = config.admin && (await startAdmin({ address: config.admin, context }));
	void until(isIn, readyPollMs, clock, abort.signal).then(() => state.ready());
	void outliers.run(abort.signal);
	void core.overload?.run(abort.signal);
	if (config.message.clusterManager?.loadStatsConfig !== undefined) void (await createLoadReporter(options, core)).run(abort.signal);
	const flushStats = startStatsSinks(config.stats, context, core, abort.signal);
	void followDemandOnceLive(core, clock);
	trimMemory();
	if (config.message.dynamicResources !== undefined) void trimOnceConfigured(state, clock, abort.signal);
	return {
		adminAddress: admin?.address,
		state,
		setSecrets: async (upsert, remove) => void (await store.apply({ secrets: { upsert, remove } })),
		metrics: (query) => showPrometheus({ query, method: "GET" }, context),
		drain: async (deadlineMs, inboundOnly) => {
			state.drain();
			await pool.drain(deadlineMs, inboundOnly);
		},
		drainGradually: (deadlineMs, inboundOnly) => pool.broadcast({ kind: "drain", graceful: true, inboundOnly, deadlineMs }),
		reportHealth: sources.reportHealth,
		markDraining: () => state.drain(),
		reopenLogs: () => pool.broadcast({ kind: "reopenLogs" }),
		stop: async () => {
			await flushStats();
			await Promise.all([stop(), admin?.close()]);
		},
	};
}

/** Names may take a while to resolve; beyond this the rest is served without what waits for them. */
const startTimeoutMs = 5_000;
const startPollMs = 5;
const readyPollMs = 100;

async function until(isTrue: () => boolean, pollMs: number, clock: Clock, signal: AbortSignal): Promise<void> {
	while (!isTrue() && !signal.aborted) await clock.sleep(pollMs, signal);
}

/** Endpoints, routes and secrets follow clusters and listeners within that. */
const settleMs = 3_000;

async function followDemandOnceLive({ abort: { signal }, pool, state }: Core, clock: Clock): Promise<void> {
	await until(() => state.live === "LIVE" || !pool.mayWake, readyPollMs, clock, signal);
	if (pool.mayWake) await followDemand(pool, clock, signal);
}

/** What the control plane sends first is all of it, and takes as much room to read as the bootstrap does. */
async function trimOnceConfigured(state: ServerState, clock: Clock, signal: AbortSignal): Promise<void> {
	await until(() => state.live === "LIVE", readyPollMs, clock, signal);
	await clock.sleep(settleMs, signal);
	if (!signal.aborted) trimMemory();
}
