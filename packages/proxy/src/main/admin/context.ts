import { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import { compileStatsView } from "../../data/stats/stats-view.ts";
import type { AdminContext } from "./routes.ts";
import type { Core } from "../server-core.ts";
import type { ServerOptions } from "../server-options.ts";
import { nodeOf } from "../xds-node.ts";

export function adminContext(
	options: ServerOptions,
	{ pool, store, records, state, outliers, health, overload, runtime, extensionStats, scopeStats, loads }: Core,
): AdminContext {
	const { message, node, stats } = options.config;
	const { clock, logger, version, concurrency, onQuit } = options;
	const bootstrap = Bootstrap.encode({ ...message, node: nodeOf(options) }).finish();
	const statsView = compileStatsView(stats.config).value;
	const core = { pool, store, records, state, outliers, health, overload, runtime, extensionStats, scopeStats, loads };
	return { ...core, bootstrap, node, statsView, version, concurrency, clock, logger, onQuit };
}
