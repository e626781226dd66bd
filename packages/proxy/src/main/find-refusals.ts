import type { BootstrapConfig } from "../config/bootstrap/decode-bootstrap.ts";
import { levelsBy } from "../config/loggers.ts";
import type { ConfigUpdate } from "../config/runtime-config.ts";
import { createBucketBuffer } from "../config/shared-buckets.ts";
import { createSharedBuffer } from "../config/shared-state.ts";
import type { FromWorker, ResourceError, WorkerInit } from "../config/worker-messages.ts";
import { createDataWorker } from "../data/worker/worker.ts";

/**
 * What of the bootstrap's own resources a worker would refuse: they are compiled by its code, in this thread. Nothing is bound,
 * connected to or resolved; log files are opened, as they are by Envoy.
 */
export async function findRefusals(config: BootstrapConfig): Promise<readonly ResourceError[]> {
	const { promise, resolve } = Promise.withResolvers<readonly ResourceError[]>();
	const post = (message: FromWorker) => {
		if (message.kind === "updated") resolve(message.errors);
	};
	const worker = await createDataWorker(init(config), post, () => undefined);
	worker.handle({ kind: "update", update: unboundUpdate(config) });
	try {
		return await promise;
	} finally {
		await worker.close();
	}
}

/** A lone worker that writes no log of its own. */
function init({ node, localCluster, stats }: BootstrapConfig): WorkerInit {
	return {
		kind: "init",
		workerIndex: 0,
		workers: 1,
		node,
		shared: createSharedBuffer(),
		buckets: createBucketBuffer(),
		accessLogFlushMs: 1_000,
		options: {
			transport: "net",
			logLevels: levelsBy(() => "none"),
			reusePort: false,
			localCluster,
			histogramBounds: stats.config.histogramBounds,
			serverName: "envoy",
		},
	};
}

function unboundUpdate({ listeners, clusters, secrets }: BootstrapConfig): ConfigUpdate {
	const nothing = { upsert: [], remove: [] };
	return {
		id: 1,
		listeners: { upsert: listeners.map(({ value }) => ({ ...value, bindToPort: false })), remove: [] },
		clusters: { upsert: clusters.map(({ value }) => value.cluster), remove: [] },
		// Those that have no names to resolve.
		hosts: clusters.flatMap(({ value: { dns, hosts } }) => (dns === undefined && hosts !== undefined ? [hosts] : [])),
		routes: nothing,
		virtualHosts: [],
		scopes: nothing,
		extensions: nothing,
		secrets: { upsert: secrets.map(({ value }) => value), remove: [] },
	};
}
