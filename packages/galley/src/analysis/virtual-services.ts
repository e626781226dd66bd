import { type ConfigObject, type Diagnostic, diagnosticCodes, hostsOverlap } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { compareAge } from "../store/keys.ts";
import { type MeshView, qualifyHost } from "./mesh-view.ts";

type VirtualService = ConfigObject<"VirtualService">;

const nameOf = ({ metadata }: VirtualService) => `${metadata.namespace}/${metadata.name}`;

/** So many are named in one message. */
const namesMax = 10;

function isVisibleEverywhere({ spec }: VirtualService): boolean {
	return !spec.exportTo?.length || spec.exportTo.includes("*");
}

/** Two VirtualServices with one host for the sidecars: only the oldest counts. */
export function analyzeMeshHostConflicts(view: MeshView): readonly Diagnostic[] {
	const byHost = new Map<string, VirtualService[]>();
	for (const object of view.snapshot.all("VirtualService")) {
		const { gateways, hosts } = object.spec;
		if (gateways?.length && !gateways.includes("mesh")) continue;
		for (const host of hosts ?? []) {
			const full = qualifyHost(host, object.metadata.namespace);
			// What is exported to its own namespace alone meets only its neighbours.
			const scope = isVisibleEverywhere(object) ? "*" : object.metadata.namespace;
			const key = `${scope}/${full}`;
			const known = byHost.get(key);
			if (known) known.push(object);
			else byHost.set(key, [object]);
		}
	}
	return [...byHost].flatMap(([host, objects]) => {
		if (objects.length < 2) return [];
		const byAge = [...objects].sort(compareAge);
		const rest = objects.length - namesMax;
		const names = `${objects.slice(0, namesMax).map(nameOf).join(",")}${rest > 0 ? ` and ${rest} more` : ""}`;
		const winner = byAge[0];
		const message = `The VirtualServices ${names} associated with mesh gateway define the same host ${host}; only the oldest counts, here ${winner ? nameOf(winner) : ""}. Merge them into one`;
		return objects.map((object) => diagnosticAt(object, "warning", diagnosticCodes.conflictingVirtualServiceHosts, ["spec", "hosts"], message));
	});
}

/** Gateways that a VirtualService names must exist and serve its hosts. */
export function analyzeGatewayReferences(view: MeshView): readonly Diagnostic[] {
	return view.concerned("VirtualService").flatMap((object) =>
		(object.spec.gateways ?? []).flatMap((reference, i): readonly Diagnostic[] => {
			if (reference === "mesh") return [];
			const path = ["spec", "gateways", i];
			const slash = reference.indexOf("/");
			const written = slash < 0 ? "." : reference.slice(0, slash);
			const namespace = written === "." ? object.metadata.namespace : written;
			const name = reference.slice(slash + 1);
			const gateway = view.snapshot.get("Gateway", namespace, name);
			const found: Diagnostic[] = [];
			if (!gateway) {
				const message = `Referenced gateway not found: "${reference}"; add the Gateway, or mend the name`;
				found.push(diagnosticAt(object, "warning", diagnosticCodes.referenceNotFound, path, message));
			}
			if (!gateway || !servesAll(gateway, object)) {
				const message = `one or more host [${(object.spec.hosts ?? []).join(" ")}] defined in VirtualService ${nameOf(object)} not found in Gateway ${namespace}/${name}; add them to the Gateway's servers`;
				found.push(diagnosticAt(object, "warning", diagnosticCodes.hostNotInGateway, path, message));
			}
			return found;
		}),
	);
}

function servesAll(gateway: ConfigObject<"Gateway">, object: VirtualService): boolean {
	const served = (gateway.spec.servers ?? []).flatMap((server) => server.hosts);
	return (object.spec.hosts ?? []).every((host) =>
		served.some((entry) => {
			const [first = "", second] = entry.split("/");
			const namespace = second === undefined ? "*" : first === "." ? gateway.metadata.namespace : first;
			if (namespace !== "*" && namespace !== object.metadata.namespace) return false;
			return hostsOverlap(second ?? first, qualifyHost(host, object.metadata.namespace)) || hostsOverlap(second ?? first, host);
		}),
	);
}
