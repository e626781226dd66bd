import { type ConfigObject, type Destination, type Diagnostic, diagnosticCodes, type Path } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { type KnownService, type MeshView, qualifyHost } from "./mesh-view.ts";

interface Placed {
	readonly destination: Destination;
	readonly path: Path;
	readonly isMirror: boolean;
}

function destinationsOf(spec: ConfigObject<"VirtualService">["spec"]): readonly Placed[] {
	const found: Placed[] = [];
	for (const list of ["http", "tls", "tcp"] as const) {
		for (const [i, route] of (spec[list] ?? []).entries()) {
			for (const [j, { destination }] of (route.route ?? []).entries())
				found.push({ destination, path: ["spec", list, i, "route", j, "destination"], isMirror: false });
		}
	}
	for (const [i, route] of (spec.http ?? []).entries()) {
		if (route.mirror) found.push({ destination: route.mirror, path: ["spec", "http", i, "mirror"], isMirror: true });
		for (const [j, { destination }] of (route.mirrors ?? []).entries()) {
			found.push({ destination, path: ["spec", "http", i, "mirrors", j, "destination"], isMirror: true });
		}
	}
	return found;
}

/** Destinations of a VirtualService: the host must exist and have the port, the port be clear. */
export function analyzeDestinationHosts(view: MeshView): readonly Diagnostic[] {
	return view.concerned("VirtualService").flatMap((object) =>
		destinationsOf(object.spec).flatMap(({ destination, path, isMirror }) => {
			const found = portProblem(view.resolveHost(destination.host, object.metadata.namespace), destination, isMirror);
			return found ? [diagnosticAt(object, "warning", found.code, [...path, ...found.at], found.message)] : [];
		}),
	);
}

/** A subset that a VirtualService names must be defined. */
export function analyzeSubsetReferences(view: MeshView): readonly Diagnostic[] {
	const subsets = subsetsByHost(view);
	return view.concerned("VirtualService").flatMap((object) =>
		destinationsOf(object.spec).flatMap(({ destination: { host, subset }, path, isMirror }) => {
			if (subset === undefined || subsets.get(qualifyHost(host, object.metadata.namespace))?.has(subset)) return [];
			const message = `Referenced ${isMirror ? "mirror" : "host"}+subset in destinationrule not found: "${host}+${subset}"; requests there get 503 until a DestinationRule defines the subset`;
			return [diagnosticAt(object, "warning", diagnosticCodes.referenceNotFound, [...path, "subset"], message)];
		}),
	);
}

interface Problem {
	readonly code: string;
	readonly at: Path;
	readonly message: string;
}

function portProblem(service: KnownService | undefined, { host, port }: Destination, isMirror: boolean): Problem | undefined {
	if (!service) {
		const message = `Referenced ${isMirror ? "mirror host" : "host"} not found: "${host}"; add its Service or ServiceEntry, or mend the name`;
		return { code: diagnosticCodes.referenceNotFound, at: ["host"], message };
	}
	if (port?.number === undefined) {
		if (service.ports.length < 2) return undefined;
		const message = `This VirtualService routes to a service "${host}" that exposes multiple ports [${service.ports.join(" ")}]. Specifying a port in the destination is required to disambiguate; add port.number`;
		return { code: diagnosticCodes.virtualServicePortRequired, at: [], message };
	}
	if (service.ports.includes(port.number)) return undefined;
	return {
		code: diagnosticCodes.referenceNotFound,
		at: ["port", "number"],
		message: `Referenced host:port not found: "${host}:${port.number}"; name a port of the service`,
	};
}

/** Subsets that a VirtualService of the sidecars chooses are not chosen by a gateway whose own routes name none. */
export function analyzeIngressSubsets(view: MeshView): readonly Diagnostic[] {
	const choosers = Map.groupBy(
		view.snapshot.all("VirtualService").flatMap((object) => chosenHosts(object).map((host) => ({ host, object }))),
		({ host }) => host,
	);
	return view.concerned("VirtualService").flatMap((object) => {
		if (!object.spec.gateways?.length) return [];
		return (object.spec.http ?? []).flatMap((route, i) =>
			(route.route ?? []).flatMap(({ destination }, j) =>
				(destination.subset === undefined ? (choosers.get(destination.host) ?? []) : []).map((chooser) => {
					const message = `Subset in virtual service ${nameOf(chooser.object)} has no effect on ingress gateway ${nameOf(object)} requests; name the subset here, too`;
					return diagnosticAt(object, "warning", diagnosticCodes.subsetWithoutEffectAtIngress, ["spec", "http", i, "route", j, "destination"], message);
				}),
			),
		);
	});
}

const nameOf = ({ metadata }: ConfigObject<"VirtualService">) => `${metadata.namespace}/${metadata.name}`;

function chosenHosts({ spec }: ConfigObject<"VirtualService">): readonly string[] {
	const chosen = (spec.http ?? []).flatMap(({ route }) => (route ?? []).filter(({ destination }) => destination.subset !== undefined));
	return [...new Set(chosen.map(({ destination }) => destination.host))].filter((host) => (spec.hosts ?? []).includes(host));
}

function subsetsByHost(view: MeshView): ReadonlyMap<string, ReadonlySet<string>> {
	const byHost = new Map<string, Set<string>>();
	for (const rule of view.snapshot.all("DestinationRule")) {
		const host = qualifyHost(rule.spec.host, rule.metadata.namespace);
		const names = byHost.get(host) ?? new Set<string>();
		for (const subset of rule.spec.subsets ?? []) names.add(subset.name);
		byHost.set(host, names);
	}
	return byHost;
}
