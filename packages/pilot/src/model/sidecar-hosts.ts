import type { ConfigObject, IstioEgressListener } from "@weft/api";
import { hostCovers, hostsOverlap } from "./hosts.ts";
import type { VirtualService } from "./push.ts";
import type { Service } from "./service.ts";

/** `egress[].hosts` by namespace. https://istio.io/latest/docs/reference/config/networking/sidecar/#IstioEgressListener */
export type ImportedHosts = ReadonlyMap<string, readonly string[]>;

/** `./x` means the namespace of the proxy; `~/x` imports nothing. */
export function importedHosts(hosts: readonly string[], namespace: string): ImportedHosts {
	const imports = new Map<string, string[]>();
	for (const entry of hosts) {
		const slash = entry.indexOf("/");
		const from = slash < 0 ? "*" : entry.slice(0, slash);
		if (from === "~") continue;
		const key = from === "." ? namespace : from;
		const list = imports.get(key);
		if (list) list.push(entry.slice(slash + 1));
		else imports.set(key, [entry.slice(slash + 1)]);
	}
	return imports;
}

function importsFor(imports: ImportedHosts, namespace: string): readonly string[] {
	return [...(imports.get(namespace) ?? []), ...(imports.get("*") ?? [])];
}

/** The services that a listener imports; where it has a port, narrowed to that port. */
export function importServices(services: readonly Service[], listener: IstioEgressListener, namespace: string): readonly Service[] {
	const imports = importedHosts(listener.hosts, namespace);
	const port = listener.port?.number;
	const wantsPort = port !== undefined && port !== 0 && listener.port?.protocol !== "HTTP_PROXY";
	const imported = services.flatMap((service) => {
		if (!importsFor(imports, service.namespace).some((host) => hostCovers(host, service.hostname))) return [];
		if (!wantsPort) return [service];
		return narrowToPorts(service, (number) => number === port);
	});
	return oneNamespaceEach(imported, namespace);
}

const narrowed = new WeakMap<Service, Map<string, Service>>();

/** The service with some of its ports; none left, none returned. The same choice gives the same object. */
export function narrowToPorts(service: Service, keep: (port: number) => boolean): readonly Service[] {
	const ports = service.ports.filter(({ port }) => keep(port));
	if (ports.length === service.ports.length) return [service];
	if (ports.length === 0) return [];
	const key = ports.map(({ port }) => port).join();
	let variants = narrowed.get(service);
	if (!variants) {
		variants = new Map();
		narrowed.set(service, variants);
	}
	const copy = variants.get(key) ?? { ...service, ports };
	variants.set(key, copy);
	return [copy];
}

/** One hostname in two namespaces: the proxy's own namespace counts, else a Service of Kubernetes, else the first. */
export function oneNamespaceEach(services: readonly Service[], namespace: string): readonly Service[] {
	const chosen = new Map<string, Service>();
	for (const service of services) {
		const before = chosen.get(service.hostname);
		if (before === undefined || rank(service, namespace) > rank(before, namespace)) chosen.set(service.hostname, service);
	}
	const kept = services.filter((service) => chosen.get(service.hostname)?.namespace === service.namespace);
	return kept.length === services.length ? services : kept;
}

function rank({ namespace, registry }: Service, own: string): number {
	if (namespace === own) return 2;
	return registry === "Kubernetes" ? 1 : 0;
}

export function importVirtualServices(virtualServices: readonly VirtualService[], listener: IstioEgressListener, namespace: string): readonly VirtualService[] {
	const imports = importedHosts(listener.hosts, namespace);
	return virtualServices.filter((vs) => {
		const wanted = importsFor(imports, vs.namespace);
		return wanted.length > 0 && vs.hosts.some((host) => wanted.some((pattern) => hostsOverlap(pattern, host)));
	});
}

/** Hosts that the VirtualService sends to, with the ports named; where a destination names none, 0 stands for all of them. */
export function destinationHosts({ spec }: VirtualService): ReadonlyMap<string, ReadonlySet<number>> {
	const hosts = new Map<string, Set<number>>();
	const add = (destination: { host: string; port?: { number?: number | undefined } | undefined }) => {
		const ports = hosts.get(destination.host) ?? new Set();
		ports.add(destination.port?.number ?? 0);
		hosts.set(destination.host, ports);
	};
	for (const route of spec.http ?? []) {
		for (const { destination } of route.route ?? []) add(destination);
		if (route.mirror) add(route.mirror);
		for (const { destination } of route.mirrors ?? []) add(destination);
	}
	for (const route of [...(spec.tls ?? []), ...(spec.tcp ?? [])]) for (const { destination } of route.route ?? []) add(destination);
	return hosts;
}

/** The Sidecar that holds for a workload: one that selects it (the oldest), its namespace's, the root namespace's. */
export function sidecarFor(
	sidecars: readonly ConfigObject<"Sidecar">[],
	namespace: string,
	labels: Readonly<Record<string, string>>,
	rootNamespace: string,
): ConfigObject<"Sidecar"> | undefined {
	let general: ConfigObject<"Sidecar"> | undefined;
	let root: ConfigObject<"Sidecar"> | undefined;
	for (const sidecar of sidecars) {
		const selector = Object.entries(sidecar.spec.workloadSelector?.labels ?? {});
		const own = sidecar.metadata.namespace === namespace;
		if (selector.length > 0) {
			if (own && selector.every(([key, value]) => labels[key] === value)) return sidecar;
		} else if (own) general ??= sidecar;
		else if (sidecar.metadata.namespace === rootNamespace) root ??= sidecar;
	}
	return general ?? root;
}
