import type { Clock, Logger } from "@weft/runtime";
import type { NodeInfo } from "../../config/runtime-config.ts";
import type { StatsView } from "../../data/stats/stats-view.ts";
import type { ConfigStore } from "../config-store.ts";
import type { ExtensionStats } from "../extension-stats.ts";
import type { HealthManager } from "../health/health-manager.ts";
import type { LoadReporter } from "../load-reporter.ts";
import type { OverloadManager } from "../overload/overload-manager.ts";
import type { OutlierManager } from "../outlier-manager.ts";
import type { ResourceRecords } from "../resource-records.ts";
import type { RuntimeLoader } from "../runtime/runtime-loader.ts";
import type { ScopeStats } from "../scope-stats.ts";
import type { ServerState } from "../server-state.ts";
import type { WorkerPool } from "../worker-pool.ts";
import { showCertificates } from "./certificates.ts";
import { showClusters } from "./clusters.ts";
import { showConfigDump } from "./config-dump.ts";
import { setLogging } from "./logging.ts";
import { modifyRuntime, showRuntime } from "./runtime.ts";
import { showStats, showPrometheus } from "./stats.ts";
import { showInitDump, showListeners, showMemory, showServerInfo } from "./status.ts";
import { refuseUnsupported, unsupportedPages } from "./unsupported.ts";

export interface AdminContext {
	readonly pool: WorkerPool;
	readonly store: ConfigStore;
	readonly records: ResourceRecords;
	readonly state: ServerState;
	readonly outliers: OutlierManager;
	readonly health: HealthManager;
	readonly extensionStats: ExtensionStats;
	readonly scopeStats: ScopeStats;
	/** undefined: there is none. */
	readonly overload: OverloadManager | undefined;
	readonly runtime: RuntimeLoader;
	/** Encoded. */
	readonly bootstrap: Uint8Array;
	/** Without a reporter no loads are reported. */
	readonly loads: { readonly reporter?: LoadReporter };
	readonly node: NodeInfo;
	/** How statistics are named, and which are there. */
	readonly statsView: StatsView;
	readonly version: string;
	readonly concurrency: number;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly onQuit: () => void;
}

export interface AdminRequest {
	readonly query: URLSearchParams;
	readonly method: string;
}

export interface AdminReply {
	readonly status?: number;
	readonly type?: string;
	/** Parts are written one after another. */
	readonly body: string | Iterable<string>;
}

export interface AdminRoute {
	/** POST only. */
	readonly mutates: boolean;
	/** A form may say what else the query says. */
	readonly takesForm?: boolean;
	readonly help: string;
	readonly handle: (request: AdminRequest, context: AdminContext) => AdminReply | Promise<AdminReply>;
}

const ok: AdminReply = { body: "OK\n" };

function reads(help: string, handle: AdminRoute["handle"]): AdminRoute {
	return { mutates: false, help, handle };
}

function mutates(help: string, handle: AdminRoute["handle"]): AdminRoute {
	return { mutates: true, help, handle };
}

export const adminRoutes: ReadonlyMap<string, AdminRoute> = new Map<string, AdminRoute>([
	["/", reads("what there is", showHelp)],
	["/certs", reads("certificates in use", showCertificates)],
	["/clusters", reads("clusters and their hosts", showClusters)],
	["/config_dump", reads("the configuration as it was received", showConfigDump)],
	["/contention", reads("contention of mutexes: there are none", () => ({ body: "Mutex contention tracing is not enabled: threads share no mutexes.\n" }))],
	["/drain_listeners", mutates("close the listeners", drainListeners)],
	["/healthcheck/fail", mutates("let health checks fail", (_, context) => failHealthChecks(context, true))],
	["/healthcheck/ok", mutates("let health checks pass again", (_, context) => failHealthChecks(context, false))],
	["/help", reads("what there is", showHelp)],
	["/hot_restart_version", reads("whether a process can take over from another: it cannot", () => ({ body: "disabled\n" }))],
	["/init_dump", reads("what is waited for", showInitDump)],
	["/listeners", reads("bound addresses", showListeners)],
	["/logging", mutates("show and set log levels", setLogging)],
	["/memory", reads("memory use", showMemory)],
	["/quitquitquit", mutates("end the process", quit)],
	["/ready", reads("LIVE, or why not", showReady)],
	["/reopen_logs", mutates("open the access logs anew", broadcast({ kind: "reopenLogs" }))],
	["/reset_counters", mutates("counters back to zero", broadcast({ kind: "resetCounters" }))],
	["/runtime", reads("runtime values", showRuntime)],
	["/runtime_modify", { ...mutates("change runtime values", modifyRuntime), takesForm: true }],
	["/server_info", reads("version and state", showServerInfo)],
	["/stats", reads("statistics", showStats)],
	["/stats/prometheus", reads("statistics in the Prometheus format", showPrometheus)],
	...unsupportedPages.map(([path, mutates, instead]): readonly [string, AdminRoute] => [
		path,
		{ mutates, help: "not supported", handle: () => refuseUnsupported(instead) },
	]),
]);

function showHelp(): AdminReply {
	const lines = [...adminRoutes].map(([path, route]) => `  ${path}${route.mutates ? " (POST)" : ""}: ${route.help}\n`);
	return { body: `admin commands are:\n${lines.join("")}` };
}

function showReady(_: AdminRequest, { state }: AdminContext): AdminReply {
	return { status: state.live === "LIVE" ? 200 : 503, body: `${state.live}\n` };
}

function broadcast(message: { readonly kind: "reopenLogs" | "resetCounters" }): AdminRoute["handle"] {
	return (_, { pool }) => {
		pool.broadcast(message);
		return ok;
	};
}

function failHealthChecks({ pool, state }: AdminContext, fail: boolean): AdminReply {
	state.isHealthCheckFailed = fail;
	pool.broadcast({ kind: "healthcheckFail", fail });
	return ok;
}

const drainDeadlineMs = 600_000;

function drainListeners({ query }: AdminRequest, { pool }: AdminContext): AdminReply {
	const inboundOnly = query.has("inboundonly");
	pool.broadcast({ kind: "drain", graceful: query.has("graceful"), inboundOnly, deadlineMs: drainDeadlineMs });
	return ok;
}

function quit(_: AdminRequest, { onQuit }: AdminContext): AdminReply {
	// After the answer is on its way.
	setTimeout(onQuit, 50);
	return ok;
}
