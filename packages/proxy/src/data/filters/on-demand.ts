import { rerouteRequest } from "../http/route-selection.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import type { FilterInputs } from "./filter-inputs.ts";

/** A request that no virtual host takes waits while the control plane is asked for one, where the route table has more (VHDS). */
export function compileOnDemand({ context }: FilterInputs): StreamFilter {
	return {
		onRequestHead(stream) {
			const { filters, manager, request } = stream;
			const table = stream.route === undefined ? manager.table(stream.snapshot) : undefined;
			if (table === undefined || !table.config.vhds) return "continue";
			let resume: () => void = () => undefined;
			const cancel = context.wantedHosts.wait(
				context,
				table.config.name,
				request.authority.toLowerCase(),
				filters.guard(() => {
					// What has come is in the newest configuration alone.
					stream.snapshot = context.snapshot;
					rerouteRequest(stream);
					resume();
				}) as () => void,
			);
			if (cancel === undefined) return "continue";
			resume = filters.suspend(cancel);
			return "stop";
		},
	};
}
