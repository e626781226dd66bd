import { addressText } from "../slots.ts";
import type { AdminContext, AdminReply, AdminRequest } from "./routes.ts";

const json = (value: unknown): AdminReply => ({ type: "application/json", body: `${JSON.stringify(value, undefined, 1)}\n` });

export function showListeners({ query }: AdminRequest, { state, store }: AdminContext): AdminReply {
	const rows = [...store.inForce.listeners.values()]
		.filter(({ bindToPort }) => bindToPort)
		.map(({ name, address }) => ({ name, address: state.addresses.get(name) ?? addressText(address) }));
	if (query.get("format") !== "json") return { body: rows.map(({ name, address }) => `${name}::${address}\n`).join("") };
	const split = (text: string) => {
		const at = text.lastIndexOf(":");
		return at < 0
			? { pipe: { path: text } }
			: { socket_address: { address: text.slice(0, at).replace(/^\[|\]$/g, ""), port_value: Number(text.slice(at + 1)) } };
	};
	return json({ listener_statuses: rows.map(({ name, address }) => ({ name, local_address: split(address) })) });
}

/** `envoy.admin.v3.UnreadyTargetsDumps`: what is received and not in force yet, and what it waits for. */
export function showInitDump(_: AdminRequest, { store }: AdminContext): AdminReply {
	const waiting = [...store.waiting].map(([name, reason]) => ({ name, target_names: [reason] }));
	return json(waiting.length === 0 ? {} : { unready_targets_dumps: waiting });
}

export function showMemory(): AdminReply {
	const { rss, heapTotal, heapUsed, external } = process.memoryUsage();
	return json({
		allocated: String(heapUsed + external),
		heap_size: String(heapTotal),
		pageheap_unmapped: "0",
		pageheap_free: String(heapTotal - heapUsed),
		total_thread_cache: "0",
		total_physical_bytes: String(rss),
	});
}

export function showServerInfo(_: AdminRequest, { clock, concurrency, logger, node, state, version }: AdminContext): AdminReply {
	const uptime = `${Math.floor((clock.nowMs() - state.startedMs) / 1000)}s`;
	return json({
		version: `weft-proxy/${version}/node-${process.version.slice(1)}`,
		state: state.live,
		uptime_current_epoch: uptime,
		uptime_all_epochs: uptime,
		hot_restart_version: "disabled",
		command_line_options: { concurrency, log_level: logger.level, service_node: node.id, service_cluster: node.cluster, mode: "Serve" },
		node: {
			id: node.id,
			cluster: node.cluster,
			metadata: node.metadata,
			locality: { region: node.locality.region, zone: node.locality.zone, sub_zone: node.locality.subZone },
		},
	});
}
