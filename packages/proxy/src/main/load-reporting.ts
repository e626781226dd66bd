import { transportKind } from "../data/transport/transport.ts";
import { GrpcChannel } from "../grpc/channel.ts";
import { createGrpcEnvironment } from "../grpc/environment.ts";
import { resolveGrpcTarget, targetSources } from "./grpc-target.ts";
import { mergeLoad } from "./host-counts.ts";
import type { LoadReporter } from "./load-reporter.ts";
import { nodeOf } from "./xds-node.ts";
import type { Core } from "./server-core.ts";
import type { ServerOptions } from "./server-options.ts";

/** Where the bootstrap says so: `cluster_manager.load_stats_config`. */
export async function createLoadReporter(options: ServerOptions, core: Core): Promise<LoadReporter> {
	const { LoadReporter: Reporter } = await import("./load-reporter.ts");
	const { config, clock, random } = options;
	const { pool, store } = core;
	const environment = await (options.grpc ?? createGrpcEnvironment({ ...options, transport: transportKind(process.env) }));
	const service = config.message.clusterManager?.loadStatsConfig?.grpcServices[0];
	const target = () => resolveGrpcTarget(service, targetSources(config, store));
	const reporter = new Reporter({
		openChannel: () => {
			const found = target();
			return typeof found === "string" ? found : new GrpcChannel(found.target, environment);
		},
		metadata: () => {
			const found = target();
			return typeof found === "string" ? {} : found.metadata;
		},
		node: nodeOf(options),
		countLoad: async () => mergeLoad(await pool.countHosts()),
		clusterNames: () => store.clusterNames(),
		hostsOf: (name) => store.hostsOf(name),
		serviceNameOf: (name) => {
			const assignment = store.inForce.clusters.get(name)?.assignment?.name;
			return assignment === undefined || assignment === name ? "" : assignment;
		},
		clock,
		random,
		logger: options.logger.child("lrs"),
	});
	core.loads.reporter = reporter;
	return reporter;
}
