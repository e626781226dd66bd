import { isIP } from "node:net";
import { type ConfigObject, serviceStatus } from "@weft/api";
import { compareText } from "./age.ts";

// Workloads of different networks reach each other through gateways alone: https://istio.io/latest/docs/ops/deployment/deployment-models/#multiple-networks

export const networkLabel = "topology.istio.io/network";
const gatewayPortLabel = "networking.istio.io/gatewayPort";
/** Where an east-west gateway takes the mesh's own TLS, by its SNI. */
const gatewayPortDefault = 15_443;

export interface NetworkGateway {
	readonly address: string;
	readonly port: number;
}

export interface Networks {
	/** The network of pods that do not say theirs; "" when not known. */
	readonly own: string;
	/** Gateways by the network that stands behind them, sorted. */
	readonly gateways: Readonly<Record<string, readonly NetworkGateway[]>>;
	/** Divisible by the number of gateways of each network, so that a weight can be shared among them. */
	readonly weightScale: number;
}

export interface NetworksInput {
	readonly services: readonly ConfigObject<"Service">[];
	readonly gateways: readonly ConfigObject<"KubernetesGateway">[];
	readonly namespaces: readonly ConfigObject<"Namespace">[];
	readonly rootNamespace: string;
}

/** Undefined while no gateway to a network is known: then everything is taken to be reachable. */
export function buildNetworks({ services, gateways, namespaces, rootNamespace }: NetworksInput): Networks | undefined {
	const found = new Map<string, Map<string, NetworkGateway>>();
	const add = (network: string, gateway: NetworkGateway) => {
		const list = found.get(network) ?? new Map<string, NetworkGateway>();
		list.set(`${gateway.address} ${gateway.port}`, gateway);
		found.set(network, list);
	};
	for (const service of services) {
		const network = service.metadata.labels[networkLabel];
		if (!network) continue;
		const port = Number(service.metadata.labels[gatewayPortLabel] ?? gatewayPortDefault) || gatewayPortDefault;
		for (const address of externalAddresses(service)) add(network, { address, port });
	}
	for (const { metadata, spec } of gateways) {
		const network = metadata.labels[networkLabel];
		const listener = spec.listeners.find(({ protocol, tls }) => protocol === "TLS" && tls?.mode === "Passthrough");
		if (!network || !listener) continue;
		for (const { type, value } of spec.addresses ?? [])
			if ((type ?? "IPAddress") === "IPAddress" && value) add(network, { address: value, port: listener.port });
	}
	if (found.size === 0) return undefined;
	const root = namespaces.find(({ metadata }) => metadata.name === rootNamespace);
	const entries = [...found].sort(([a], [b]) => compareText(a, b)).map(([network, list]) => [network, sorted([...list.values()])] as const);
	return {
		own: root?.metadata.labels[networkLabel] ?? "",
		gateways: Object.fromEntries(entries),
		weightScale: entries.map(([, list]) => list.length).reduce(leastCommonMultiple, 1),
	};
}

/** Addresses at which other networks reach the Service. Names are left out: an assignment of endpoints holds addresses alone. */
function externalAddresses(service: ConfigObject<"Service">): readonly string[] {
	const ingress = serviceStatus(service).loadBalancer?.ingress ?? [];
	const all = [...ingress.flatMap(({ ip }) => ip ?? []), ...(service.spec.externalIPs ?? [])];
	return all.filter((address) => isIP(address) !== 0);
}

function sorted(gateways: readonly NetworkGateway[]): readonly NetworkGateway[] {
	return gateways.toSorted((a, b) => compareText(a.address, b.address) || a.port - b.port);
}

function leastCommonMultiple(a: number, b: number): number {
	let [x, y] = [a, b];
	while (y !== 0) [x, y] = [y, x % y];
	return (a * b) / x;
}
