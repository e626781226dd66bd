import { randomFillSync } from "node:crypto";
import { hostname } from "node:os";
import { isWritten, type LogLevels } from "../../config/loggers.ts";
import { RuntimeValues } from "../../config/runtime-values.ts";
import { viewSharedWords } from "../../config/shared-state.ts";
import type { CountedLoad, DropCounts, FromWorker, ToWorker, WorkerInit } from "../../config/worker-messages.ts";
import { systemLookup } from "../dns/lookup.ts";
import { createRequestIds } from "../headers/request-id.ts";
import { IstioTelemetry } from "../http/istio-telemetry.ts";
import { Prober } from "../health/prober.ts";
import { loadHash64 } from "../lb/hash.ts";
import type { HostCounts } from "../lb/host-entry.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import { OutboundQueue } from "../http2/outbound.ts";
import { ConnectionBalance } from "../listener/connection-balance.ts";
import { ConnectionCeilings } from "../listener/connection-ceilings.ts";
import { ListenerManager, type OpenBalance } from "../listener/listener-manager.ts";
import { askAllToReconnect } from "../listener/reconnects.ts";
import { createLogFiles, type LogFiles } from "../log/log-files.ts";
import { LogServiceStreams } from "../log/log-service-stream.ts";
import { OverloadState } from "../overload/overload-state.ts";
import { createStatsRegistry } from "../stats/registry.ts";
import { VirtualClusters } from "../stats/virtual-clusters.ts";
import { compileBounds } from "../stats/stats-view.ts";
import { Tracers } from "../tracing/tracer.ts";
import type { OriginalDst } from "../transport/original-dst.ts";
import { Output } from "../transport/output.ts";
import type { SocketCalls } from "../transport/socket-calls.ts";
import { createTimerWheel } from "../transport/timers.ts";
import { createTlsEngine } from "../tls/create-engine.ts";
import { createTransport } from "../transport/transport.ts";
import { ConfigApplier } from "./config-applier.ts";
import type { WorkerContext } from "./context.ts";
import { trimMemory } from "./heap-memory.ts";
import { findMachineAddress } from "./machine-address.ts";
import { emptySnapshot } from "./snapshot.ts";
import { createWanted } from "./wanted-names.ts";

const drainPollMs = 100;

export interface DataWorker {
	handle(message: ToWorker): void;
	readonly context: WorkerContext;
	/** Everything closed. */
	close(): Promise<void>;
}

/** The data path of one thread. `post` carries answers and events to the main thread. */
export async function createDataWorker(
	init: WorkerInit,
	post: (message: FromWorker) => void,
	originalDst: OriginalDst,
	socketCalls?: SocketCalls,
): Promise<DataWorker> {
	let levels = init.options.logLevels;
	const output = new Output();
	const log: WorkerContext["log"] = (logger, level, message, fields = {}) => {
		if (isWritten(level, levels[logger])) post({ kind: "log", logger, level, message, fields });
	};
	const onHandlerError = (error: Error) => log("main", "error", "connection closed after an internal error", { error: error.stack ?? error.message });
	// Reading the clock costs as much as parsing a header: once an event is enough.
	let eventMs = -1;
	const nowMs = () => (eventMs >= 0 ? eventMs : (eventMs = performance.now()));
	let isFlushDue = false;
	const flush = () => {
		isFlushDue = false;
		try {
			output.flush();
		} catch (error) {
			onHandlerError(error instanceof Error ? error : new Error(String(error)));
			afterEvent();
		}
		eventMs = -1;
	};
	const afterEvent = () => {
		eventMs = -1;
		if (!output.endEvent() || isFlushDue) return;
		isFlushDue = true;
		setImmediate(flush);
	};
	const run = (fire: () => void) => {
		try {
			fire();
		} catch (error) {
			onHandlerError(error instanceof Error ? error : new Error(String(error)));
		}
		afterEvent();
	};
	const files = createLogFiles();
	const istio = new IstioTelemetry(init.node, compileBounds(init.options.histogramBounds ?? []));
	const stats = createStatsRegistry(istio);
	const runtime = new RuntimeValues();
	const hash64 = await loadHash64();
	const hooks = { afterEvent, beforeClose: () => output.flushEarlier(), onHandlerError, socketCalls };
	const transport = await createTransport(init.options.transport, hooks);
	log("main", "debug", "connections are made", { transport: transport.kind });
	const context: WorkerContext = {
		node: init.node,
		localCluster: init.options.localCluster ?? "",
		serverName: init.options.serverName,
		workerIndex: init.workerIndex,
		reusePort: init.options.reusePort,
		transport,
		tls: await createTlsEngine(transport, hooks),
		output,
		outbounds: new OutboundQueue(afterEvent),
		wheel: createTimerWheel(() => performance.now(), run, nowMs),
		stats,
		virtualClusters: new VirtualClusters(stats),
		istio,
		tracers: new Tracers(),
		logServices: new LogServiceStreams(),
		wanted: createWanted(),
		words: viewSharedWords(init.shared),
		runtime,
		ceilings: new ConnectionCeilings({ buckets: init.buckets, hash64, runtime, workerIndex: init.workerIndex, workers: init.workers }),
		overload: init.overload && new OverloadState(init.overload, init.workerIndex, Math.random),
		buckets: init.buckets,
		hash64,
		machineAddress: findMachineAddress(),
		lookup: systemLookup,
		environment: { hostname: hostname(), env: process.env, nowMs: Date.now },
		random: Math.random,
		createRequestId: createRequestIds((bytes) => void randomFillSync(bytes)),
		nowMs,
		afterEvent,
		wallMs: Date.now,
		snapshot: emptySnapshot,
		drain: undefined,
		healthcheckFailed: false,
		log,
		debugs: (logger) => levels[logger] === "debug",
		post,
	};
	const listeners = new ListenerManager(context, (path) => files.open(path), originalDst, balanceOpener(init, context, socketCalls));
	const prober = new Prober(context);
	const applier = new ConfigApplier(context, listeners);
	const flushTimer = setInterval(() => files.flush(), init.accessLogFlushMs);
	flushTimer.unref();
	const setLevels = (next: LogLevels) => {
		levels = next;
	};
	const close = () => {
		prober.close();
		return closeWorker(context, listeners, files, flushTimer);
	};
	return { context, handle: (message) => handleMessage(message, { context, listeners, applier, prober, files, setLevels, close }), close };
}

/** undefined: there is one worker. */
function balanceOpener({ balance }: WorkerInit, context: WorkerContext, socketCalls: SocketCalls | undefined): OpenBalance | undefined {
	if (balance === undefined) return undefined;
	return (onTaken) => {
		if (socketCalls !== undefined && context.transport.kind !== "net") return new ConnectionBalance(balance, context, socketCalls, onTaken);
		throw new Error("connectionBalanceConfig.exactBalance needs Linux, and node:ffi (Node 26) or the package koffi");
	};
}

interface Parts {
	readonly context: WorkerContext;
	readonly listeners: ListenerManager;
	readonly applier: ConfigApplier;
	readonly prober: Prober;
	readonly files: LogFiles;
	readonly setLevels: (levels: LogLevels) => void;
	readonly close: () => Promise<void>;
}

function countLoad(clusters: Iterable<ClusterRuntime>): CountedLoad {
	const counted = new Map<string, Map<string, HostCounts & { rq_active: number }>>();
	const dropped = new Map<string, DropCounts>();
	for (const { config, drops, hosts } of clusters) {
		const own = new Map<string, HostCounts & { rq_active: number }>();
		for (const { address, active, counts } of hosts.entries()) {
			if (counts.cx_total + counts.cx_connect_fail + counts.rq_total + counts.rq_error > 0) own.set(address, { ...counts, rq_active: active });
		}
		if (own.size > 0) counted.set(config.name, own);
		if (drops.total > 0) dropped.set(config.name, { ...drops });
	}
	return { hosts: counted, drops: dropped };
}

function handleMessage(message: ToWorker, { context, listeners, applier, prober, files, setLevels, close }: Parts): void {
	switch (message.kind) {
		case "update": {
			const { id } = message.update;
			applier.apply(message.update).then(
				(errors) => context.post({ kind: "updated", id, errors }),
				(error: unknown) =>
					context.post({ kind: "updated", id, errors: [{ resource: "", message: error instanceof Error ? (error.stack ?? error.message) : String(error) }] }),
			);
			return;
		}
		case "scrape":
			return context.post({ kind: "scraped", id: message.id, stats: context.stats.dump() });
		case "countHosts":
			return context.post({ kind: "hostsCounted", id: message.id, load: countLoad(context.snapshot.clusters.values()) });
		case "probe":
			return prober.probe(message.cluster, message.address, (result) => context.post({ kind: "probed", id: message.id, result }));
		case "hostFailed":
			context.snapshot.clusters.get(message.cluster)?.hostFailed(message.address);
			return context.afterEvent();
		case "drain":
			// Listeners that are still on their way drain, too.
			void applier.settled.then(() => startDrain(context, listeners, message));
			return;
		case "spread":
			return askAllToReconnect(listeners.spreadConnections(), context.afterEvent);
		case "stop":
			void close().then(() => context.post({ kind: "drained" }));
			return;
		case "answered":
			context.wanted[message.what].answered(message.names);
			return context.afterEvent();
		case "overload":
			listeners.onOverload();
			return context.afterEvent();
		case "shrinkHeap":
			return trimMemory();
		case "resetCounters":
			return context.stats.reset();
		case "reopenLogs":
			return files.reopen();
		case "logLevels":
			return setLevels(message.levels);
		case "healthcheckFail":
			context.healthcheckFailed = message.fail;
			return;
	}
}

/**
 * Graceful: go on accepting, closing connections as they answer, until the deadline; then stop accepting as well.
 * `untilIdle` goes on accepting too (whoever has not heard of the end yet is served, once), but only while something is under way.
 */
function startDrain(context: WorkerContext, listeners: ListenerManager, message: Extract<ToWorker, { kind: "drain" }>): void {
	const { graceful, inboundOnly, deadlineMs, untilIdle = false } = message;
	const state = { inboundOnly, graceful, deadlineMs, startedAt: context.nowMs() };
	context.drain = state;
	if (untilIdle) listeners.closeIdle(inboundOnly);
	else if (!graceful) listeners.drain(inboundOnly, true);
	const timer = setInterval(() => {
		// A later drain has taken this one's place.
		if (context.drain !== state) return clearInterval(timer);
		const isOver = context.nowMs() - state.startedAt >= deadlineMs;
		if (!isOver && (graceful || (untilIdle ? listeners.busyConnections : listeners.connections) > 0)) return;
		clearInterval(timer);
		listeners.drain(inboundOnly, true);
		context.afterEvent();
		context.post({ kind: "drained" });
	}, drainPollMs);
	context.afterEvent();
}

async function closeWorker(context: WorkerContext, listeners: ListenerManager, files: LogFiles, flushTimer: NodeJS.Timeout): Promise<void> {
	clearInterval(flushTimer);
	listeners.destroy();
	// The last entries of logs that go to a service.
	context.afterEvent();
	context.wheel.close();
	for (const cluster of context.snapshot.clusters.values()) cluster.remove();
	context.transport.close();
	await files.close();
}
