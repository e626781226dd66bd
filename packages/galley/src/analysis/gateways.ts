import { type ConfigObject, type Diagnostic, diagnosticCodes, type Server } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { labelsText, type MeshView, matchesLabels, type Workload } from "./mesh-view.ts";

type Gateway = ConfigObject<"Gateway">;

const selectorText = (gateway: Gateway) => labelsText(gateway.spec.selector ?? {});

/** A Gateway must pick workloads, and open ports that their Service opens. */
export function analyzeGatewaySelectors(view: MeshView): readonly Diagnostic[] {
	return view.snapshot.all("Gateway").flatMap((object): readonly Diagnostic[] => {
		const { selector = {}, servers = [] } = object.spec;
		const picked = view.workloads.filter(({ labels }) => matchesLabels(labels, selector));
		if (picked.length === 0) {
			const message = `Referenced selector not found: "${selectorText(object)}"; no workload has these labels`;
			return [diagnosticAt(object, "warning", diagnosticCodes.referenceNotFound, ["spec", "selector"], message)];
		}
		const open = openPorts(view, picked);
		return servers.flatMap((server, i) => {
			if (open.has(server.port.number)) return [];
			const message = `The gateway is listening on a target port (port ${server.port.number}) that is not defined in the Service associated with its workload instances (Pod selector ${selectorText(object)}); add the port to the Service`;
			return [diagnosticAt(object, "warning", diagnosticCodes.gatewayPortNotOnService, ["spec", "servers", i, "port", "number"], message)];
		});
	});
}

/** Both numbers of a Service's port: a Gateway's port is read as the Service's and translated to its target. */
function openPorts(view: MeshView, picked: readonly Workload[]): ReadonlySet<number> {
	const open = new Set<number>();
	for (const { metadata, spec } of view.snapshot.all("Service")) {
		const { selector } = spec;
		if (!selector || Object.keys(selector).length === 0) continue;
		if (!picked.some(({ namespace, labels }) => namespace === metadata.namespace && matchesLabels(labels, selector))) continue;
		for (const port of spec.ports ?? []) {
			open.add(port.port);
			if (typeof port.targetPort === "number") open.add(port.targetPort);
		}
	}
	return open;
}

interface Opening {
	readonly gateway: Gateway;
	readonly index: number;
	readonly server: Server;
	readonly workloads: ReadonlySet<Workload>;
	readonly selector: string;
}

/** Two Gateways that open one port for one host on one workload. */
export function analyzeGatewayConflicts(view: MeshView): readonly Diagnostic[] {
	const openings = view.snapshot.all("Gateway").flatMap((gateway) => {
		const workloads = new Set(view.workloads.filter(({ labels }) => matchesLabels(labels, gateway.spec.selector ?? {})));
		const selector = selectorText(gateway);
		return (gateway.spec.servers ?? []).map((server, index): Opening => ({ gateway, index, server, workloads, selector }));
	});
	const byPlace = Map.groupBy(openings, ({ server }) => `${server.bind ?? ""}:${server.port.number}`);
	return openings.flatMap((opening) => {
		const { gateway, index, server } = opening;
		const together = byPlace.get(`${server.bind ?? ""}:${server.port.number}`) ?? [];
		const rivals = new Set(
			together.filter((other) => isRival(opening, other)).map((other) => `${other.gateway.metadata.namespace}/${other.gateway.metadata.name}`),
		);
		if (rivals.size === 0) return [];
		const message = `Conflict with gateways ${[...rivals].sort().join(",")} (workload selector ${selectorText(gateway)}, port ${server.port.number}, hosts ${server.hosts.join(",")}); join the servers`;
		return [diagnosticAt(gateway, "warning", diagnosticCodes.conflictingGateways, ["spec", "servers", index], message)];
	});
}

/** Hosts are the same only as they are written: of two that overlap, the more specific one counts. */
function isRival(mine: Opening, theirs: Opening): boolean {
	if (theirs.gateway === mine.gateway || !theirs.server.hosts.some((host) => mine.server.hosts.includes(host))) return false;
	if (mine.selector === theirs.selector) return true;
	const isNarrower = mine.selector.includes(theirs.selector) || theirs.selector.includes(mine.selector);
	return isNarrower && !mine.workloads.isDisjointFrom(theirs.workloads);
}
