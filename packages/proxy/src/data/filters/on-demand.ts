import type { OnDemandClusters } from "../../config/on-demand-clusters.ts";
import type { WantedKind } from "../../config/worker-messages.ts";
import { rerouteRequest } from "../http/route-selection.ts";
import type { FilterVerdict, StreamFilter } from "../http/stream-filter.ts";
import type { HttpStream } from "../http/stream.ts";
import type { FilterInputs } from "./filter-inputs.ts";

/** How long a request waits for routes, as for every other first answer of the control plane. */
const routeTimeoutMs = 15_000;

/**
 * A request waits while the control plane is asked for what it lacks: the route table of its scope, a virtual host, where the
 * table has more (VHDS), and the cluster that its route leads to, where the filter says so.
 */
export function compileOnDemand(clusters: OnDemandClusters | undefined, { context }: FilterInputs): StreamFilter {
	return {
		onRequestHead(stream) {
			if (stream.route === undefined) return awaitRoute(stream);
			return clusters === undefined ? "continue" : awaitCluster(stream, clusters);
		},
	};

	function awaitRoute(stream: HttpStream): FilterVerdict {
		const { filters } = stream;
		const missing = missingOf(stream);
		if (missing === undefined) return "continue";
		let resume: ReturnType<typeof filters.suspend> = () => undefined;
		const answered = filters.guard(() => {
			// What has come is in the newest configuration alone.
			stream.snapshot = context.snapshot;
			rerouteRequest(stream);
			// As it is for the route that there is now: its cluster may be wanted, too.
			resume(stream.route !== undefined);
		});
		const cancel = context.wanted[missing.what].wait(context, missing.name, routeTimeoutMs, answered);
		if (cancel === undefined) return "continue";
		resume = filters.suspend(cancel);
		return "stop";
	}

	function awaitCluster(stream: HttpStream, { timeoutMs }: OnDemandClusters): FilterVerdict {
		const { choice, filters } = stream;
		// A header that names no cluster cannot be asked about.
		if (choice === undefined || choice.cluster === "" || stream.cluster !== undefined) return "continue";
		let resume: ReturnType<typeof filters.suspend> = () => undefined;
		const answered = filters.guard(() => {
			stream.snapshot = context.snapshot;
			stream.cluster = context.snapshot.clusters.get(choice.cluster);
			if (stream.cluster !== undefined) stream.info.upstreamCluster = choice.cluster;
			resume();
		});
		const cancel = context.wanted.cluster.wait(context, choice.cluster, timeoutMs, answered);
		if (cancel === undefined) return "continue";
		resume = filters.suspend(cancel);
		return "stop";
	}
}

/** What might have a route for the request; undefined: there is nothing to ask for. */
function missingOf({ manager, request, snapshot }: HttpStream): { readonly what: WantedKind; readonly name: string } | undefined {
	const routes = manager.scope(snapshot, request)?.config.routes;
	if (routes?.kind === "rds" && !snapshot.routes.has(routes.name)) return { what: "routes", name: routes.name };
	const table = manager.table(snapshot, request);
	const host = request.authority.toLowerCase();
	if (table === undefined || !table.config.vhds || host === "" || host.includes("/")) return undefined;
	return { what: "host", name: `${table.config.name}/${host}` };
}
