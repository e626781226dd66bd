import { BlockList, isIP } from "node:net";
import { type ConfigObject, type MeshNetworks, serviceStatus } from "@weft/api";
import { compareText } from "./age.ts";

// Workloads of different networks reach each other through gateways alone: https://istio.io/latest/docs/ops/deployment/deployment-models/#multiple-networks

export const networkLabel = "topology.istio.io/network";
const gatewayPortLabel = "networking.istio.io/gatewayPort";
/** Where an east-west gateway takes the mesh's own TLS, by its SNI. */
const gatewayPortDefault = 15_443;

export interface NetworkGateway {
	readonly address: string;
	readonly port: number;
	/** "" : nobody says which; undefined: the one that the mesh is read from. */
	readonly clusterId?: "";
}

export interface Networks {
	/** The network of pods that do not say theirs; "" when not known. */
	readonly own: string;
	/** Where `own` is not known: the networks of pods by their addresses, wider ranges first. */
	readonly ranges: readonly { readonly cidr: string; readonly network: string }[];
	/** Gateways by the network that stands behind them, sorted. */
	readonly gateways: Readonly<Record<string, readonly NetworkGateway[]>>;
	/** Divisible by the number of gateways of each network, so that a weight can be shared among them. */
	readonly weightScale: number;
	/** Names of gateways, sorted: what they stand for is looked up elsewhere. */
	readonly names: readonly string[];
}

/** What names of gateways stand for; undefined: nobody has said yet. The same map while it says the same. */
export type GatewayAddresses = ReadonlyMap<string, readonly string[]>;

export interface NetworksInput {
	readonly services: readonly ConfigObject<"Service">[];
	readonly gateways: readonly ConfigObject<"KubernetesGateway">[];
	readonly namespaces: readonly ConfigObject<"Namespace">[];
	readonly rootNamespace: string;
	readonly meshNetworks: MeshNetworks;
	readonly clusterId: string;
	/** Undefined: gateways that are given by name are left out. */
	readonly addresses: GatewayAddresses | undefined;
}

/** Undefined while no gateway to a network is known: then everything is taken to be reachable. */
export function buildNetworks(input: NetworksInput): Networks | undefined {
	const { services, gateways, namespaces, rootNamespace, addresses } = input;
	const declared = declaredNetworks(input);
	const found = new Map<string, Map<string, NetworkGateway>>();
	const names = new Set<string>();
	const add = (network: string, gateway: NetworkGateway) => {
		const isName = isIP(gateway.address) === 0;
		if (isName && (addresses === undefined || !hostName.test(gateway.address))) return;
		if (isName) names.add(gateway.address);
		// A network whose gateway is still looked up has one all the same: what is behind it is never dialled directly.
		const list = found.get(network) ?? new Map<string, NetworkGateway>();
		for (const address of isName ? (addresses?.get(gateway.address) ?? []) : [gateway.address]) list.set(`${address} ${gateway.port}`, { ...gateway, address });
		found.set(network, list);
	};
	for (const service of services) {
		const network = service.metadata.labels[networkLabel];
		const port = Number(service.metadata.labels[gatewayPortLabel] ?? gatewayPortDefault) || gatewayPortDefault;
		// Its own label counts before what others say of it.
		// A Service that does not listen there is no gateway, whatever its label says.
		const named =
			network && !service.spec.ports?.some((p) => p.port === port)
				? []
				: network
					? [{ network, port }]
					: (declared.services.get(`${service.metadata.name}.${service.metadata.namespace}`) ?? []);
		for (const address of externalAddresses(service)) for (const gateway of named) add(gateway.network, { address, port: gateway.port });
	}
	for (const { network, ...gateway } of declared.gateways) add(network, gateway);
	for (const { metadata, spec } of gateways) {
		const network = metadata.labels[networkLabel];
		const listener = spec.listeners.find(({ protocol, tls }) => protocol === "TLS" && tls?.mode === "Passthrough");
		if (!network || !listener) continue;
		for (const { type, value } of spec.addresses ?? [])
			if (["IPAddress", "Hostname"].includes(type ?? "IPAddress") && value) add(network, { address: value, port: listener.port });
	}
	if (found.size === 0) return undefined;
	const root = namespaces.find(({ metadata }) => metadata.name === rootNamespace);
	const entries = [...found].sort(([a], [b]) => compareText(a, b)).map(([network, list]) => [network, sorted([...list.values()])] as const);
	return {
		own: root?.metadata.labels[networkLabel] ?? declared.own,
		ranges: declared.ranges,
		gateways: Object.fromEntries(entries),
		weightScale: entries
			.map(([, list]) => list.length)
			.filter((count) => count > 0)
			.reduce(leastCommonMultiple, 1),
		names: [...names].sort(compareText),
	};
}

interface DeclaredNetworks {
	/** The network that this cluster's registry is in; "" : none says so. */
	readonly own: string;
	readonly ranges: Networks["ranges"];
	/** Gateways by address. */
	readonly gateways: readonly (NetworkGateway & { readonly network: string })[];
	/** By `name.namespace` of the Service that stands for them. */
	readonly services: ReadonlyMap<string, readonly { readonly network: string; readonly port: number }[]>;
}

/** What the user's MeshNetworks say of this cluster; https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshNetworks */
function declaredNetworks({ meshNetworks, clusterId }: NetworksInput): DeclaredNetworks {
	const networks = Object.entries(meshNetworks.networks ?? {}).sort(([a], [b]) => compareText(a, b));
	const isOurs = ({ endpoints = [] }: (typeof networks)[number][1]) => endpoints.some(({ fromRegistry }) => fromRegistry === clusterId);
	const all = networks.flatMap(([network, { gateways = [] }]) => gateways.map((gateway) => ({ ...gateway, network })));
	const ours = networks.filter(([, network]) => isOurs(network)).map(([network]) => network);
	const services = all.flatMap(({ registryServiceName, port, network }) =>
		registryServiceName && ours.includes(network) ? [{ service: registryServiceName.replace(/\.svc\..*$/, ""), port, network }] : [],
	);
	const ranges = networks.flatMap(([network, { endpoints = [] }]) => endpoints.flatMap(({ fromCidr }) => (fromCidr ? [{ cidr: fromCidr, network }] : [])));
	return {
		own: ours[0] ?? "",
		ranges: ranges.sort((a, b) => bitsOf(a.cidr) - bitsOf(b.cidr)),
		gateways: all.flatMap(({ address, port, network }) => (address ? [{ address, port, network, clusterId: "" as const }] : [])),
		services: Map.groupBy(services, ({ service }) => service),
	};
}

const bitsOf = (cidr: string): number => Number(cidr.slice(cidr.indexOf("/") + 1));

const rangeChecks = new WeakMap<Networks, readonly { readonly list: BlockList; readonly network: string }[]>();

/** The network whose range an address is in; "" : none. */
export function networkOfAddress(address: string, networks: Networks): string {
	const family = isIP(address);
	if (family === 0 || networks.ranges.length === 0) return "";
	let checks = rangeChecks.get(networks);
	if (!checks) rangeChecks.set(networks, (checks = networks.ranges.map(({ cidr, network }) => ({ list: blockListOf(cidr), network }))));
	return checks.find(({ list }) => list.check(address, family === 6 ? "ipv6" : "ipv4"))?.network ?? "";
}

function blockListOf(cidr: string): BlockList {
	const [address = "", bits] = cidr.split("/");
	const list = new BlockList();
	list.addSubnet(address, Number(bits), isIP(address) === 6 ? "ipv6" : "ipv4");
	return list;
}

/** Addresses and names at which other networks reach the Service. */
function externalAddresses(service: ConfigObject<"Service">): readonly string[] {
	const ingress = serviceStatus(service).loadBalancer?.ingress ?? [];
	return [...ingress.flatMap(({ ip, hostname }) => ip || hostname || []), ...(service.spec.externalIPs ?? [])];
}

const hostName = /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?$/i;

function sorted(gateways: readonly NetworkGateway[]): readonly NetworkGateway[] {
	return gateways.toSorted((a, b) => compareText(a.address, b.address) || a.port - b.port);
}

function leastCommonMultiple(a: number, b: number): number {
	let [x, y] = [a, b];
	while (y !== 0) [x, y] = [y, x % y];
	return (a * b) / x;
}
