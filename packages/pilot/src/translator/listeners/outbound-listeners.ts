import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { endpointsOf } from "../../model/lookup.ts";
import type { EgressListener } from "../../model/push.ts";
import type { Protocol, Service, ServicePort } from "../../model/service.ts";
import type { ProxyContext } from "../context.ts";
import { isHttp } from "../../model/protocol.ts";
import { isResolvedByRequest } from "../dynamic-dns.ts";
import { allowAnyDynamicDnsCluster } from "../routes/cluster-name.ts";
import { addressingOf, dialledAddresses } from "../routes/domains.ts";
import { httpProxyProtocol } from "../routes/route-table.ts";
import { virtualServiceIndex } from "../routes/virtual-service-index.ts";
import { isWildcardIp, type SocketAddressValue, wildcardIpOf } from "./addresses.ts";
import { buildOutboundConnectionManager } from "./http-connection-manager.ts";
import { plainTextHttp } from "./inbound-chain-match.ts";
import { listenerProtocolOf } from "./inbound-chains.ts";
import { lowestPort, ownPorts } from "./own-ports.ts";
import type { ListenerInput } from "./listener-input.ts";
import { connectionExtensions } from "./network-filters.ts";
import { addChain, type ChainDraft, finishListener, type ListenerDraft } from "./outbound-draft.ts";
import { buildTcpChains } from "./tcp-routes.ts";

/** What one service port asks of the listeners. */
export interface Offer {
	readonly service: Service;
	readonly port: ServicePort;
	readonly egress: EgressListener;
	/** Undefined: all addresses for HTTP, the service's own for anything else. */
	readonly bind: string | undefined;
	/** The port to listen on. */
	readonly listenPort: number;
	readonly protocol: Protocol;
	readonly bindToPort: boolean;
}

/** Listeners for all that the scope's egress listeners let through. */
export function buildServiceListeners(context: ProxyContext, input: ListenerInput): readonly Listener[] {
	const drafts = new Map<string, ListenerDraft>();
	for (const egress of context.scope.egress) {
		// What a Sidecar says of an address and port is all that there is to be on it.
		const taken = egress.port ? none : new Set(drafts.keys());
		for (const offer of egress.port ? namedOffers(context, egress, egress.port) : catchAllOffers(context, egress)) {
			addOffer(context, input, drafts, offer, taken);
		}
	}
	return [...drafts.values()].map((draft) => finishListener(draft, context.scope, input));
}

const none: ReadonlySet<string> = new Set();

function isBound({ node }: ProxyContext, egress: EgressListener): boolean {
	return egress.captureMode === "NONE" || egress.bind.startsWith("unix://") || (egress.captureMode === "DEFAULT" && node.interceptionMode === "NONE");
}

/** A Sidecar egress listener with a port of its own: every service behind it is reached by that port. */
function namedOffers(context: ProxyContext, egress: EgressListener, port: NonNullable<EgressListener["port"]>): Offer[] {
	const bindToPort = isBound(context, egress);
	const protocol = protocolNamed(port.protocol);
	return egress.services
		.filter(({ resolution }) => resolution !== "Alias")
		.flatMap((service) => {
			const servicePort = service.ports.find(({ port: number }) => number === port.number) ?? service.ports[0];
			if (servicePort === undefined) return [];
			const offer = { service, port: servicePort, egress, listenPort: port.number, protocol, bindToPort };
			return bindsOf(context, service, protocol, egress, bindToPort).map((bind) => ({ ...offer, bind }));
		});
}

function protocolNamed(name: string): Protocol {
	if (name.toUpperCase() === httpProxyProtocol) return "HTTP";
	const known: readonly Protocol[] = ["HTTP", "HTTP2", "GRPC", "GRPC-Web", "TCP", "TLS", "HTTPS", "Mongo", "MySQL", "Redis"];
	return known.find((protocol) => protocol.toUpperCase() === name.toUpperCase()) ?? "Auto";
}

/** Every port of every service. */
function catchAllOffers(context: ProxyContext, egress: EgressListener): Offer[] {
	const bindToPort = isBound(context, egress);
	// An alias has no traffic of its own: its names are further names of the service it stands for.
	const services = egress.services.filter(({ resolution }) => resolution !== "Alias");
	return services.flatMap((service) =>
		service.ports
			.filter(({ protocol }) => protocol !== "UDP")
			.flatMap((port) => {
				const offer = { service, port, egress, listenPort: port.port, protocol: port.protocol, bindToPort };
				return podsOrBindsOf(context, service, port, egress, bindToPort).map((bind) => ({ ...offer, bind }));
			}),
	);
}

/** A headless TCP service is dialled by the addresses of its pods. */
function podsOrBindsOf(context: ProxyContext, service: Service, port: ServicePort, egress: EgressListener, bindToPort: boolean): (string | undefined)[] {
	const byPod = service.headless && !egress.bind && !bindToPort && listenerProtocolOf(port.protocol) !== "http";
	return byPod ? headlessAddresses(context, service, port) : bindsOf(context, service, port.protocol, egress, bindToPort);
}

/** The addresses to bind: one a VIP, or undefined for whatever the protocol suggests. */
function bindsOf(context: ProxyContext, service: Service, protocol: Protocol, egress: EgressListener, bindToPort: boolean): (string | undefined)[] {
	if (egress.bind) return [egress.bind];
	// Nothing captures traffic to other addresses, so only loopback is of use.
	if (bindToPort) return ["127.0.0.1"];
	if (listenerProtocolOf(protocol) === "http") return [undefined];
	const addresses = dialledAddresses(service, addressingOf(context.node));
	return addresses.length > 0 ? [...addresses] : [undefined];
}

/** Pods of a headless service are dialled by their own addresses, ready or not. Our own is left out: that traffic is inbound. */
function headlessAddresses({ push, node }: ProxyContext, service: Service, port: ServicePort): string[] {
	const addresses = endpointsOf(push, service, port.name)
		.map(({ address }) => address)
		.filter((address) => /^[\d.:a-fA-F]+$/.test(address) && !node.ips.includes(address));
	return [...new Set(addresses)];
}

function addOffer(context: ProxyContext, input: ListenerInput, drafts: Map<string, ListenerDraft>, offer: Offer, taken: ReadonlySet<string>): void {
	const cidr = offer.bind?.includes("/") && !/^(unix:|\/)/.test(offer.bind) ? offer.bind : undefined;
	const wildcard = wildcardIpOf(context.node);
	const address = { ip: cidr === undefined ? (offer.bind ?? wildcard) : wildcard, port: offer.listenPort };
	if (isWildcardIp(address.ip) && ownPorts(context).has(address.port)) return;
	if (offer.bindToPort && address.port > 0 && address.port < lowestPort(context)) return;
	const key = `${address.ip}_${address.port}`;
	if (taken.has(key)) return;
	const draft = drafts.get(key) ?? { address, bindToPort: offer.bindToPort, protocol: offer.protocol, chains: [] };
	if (draft.protocol !== offer.protocol && [draft.protocol, offer.protocol].some((protocol) => serverFirst.has(protocol))) return;
	// At a bound address nothing tells services apart but HTTP's authority: whoever came first has the port.
	if (offer.bindToPort && draft.chains.length > 0) return;
	// A listener that sniffs has a place for what is not HTTP, too: of services that may be either the first has it.
	if (listenerProtocolOf(offer.protocol) === "auto" && draft.chains.some(({ kind, match }) => kind === "http" && match !== undefined)) return;
	drafts.set(key, draft);
	for (const chain of chainsOf(context, input, offer, draft, cidr)) addChain(draft, chain);
}

/** Their servers speak first, so a listener cannot wait for a client's first bytes: they share it with no other protocol. */
const serverFirst: ReadonlySet<Protocol> = new Set(["Mongo", "MySQL"]);

function chainsOf(context: ProxyContext, input: ListenerInput, offer: Offer, draft: ListenerDraft, cidr: string | undefined): readonly ChainDraft[] {
	const protocol = listenerProtocolOf(offer.protocol);
	// One HTTP chain serves all services of the listener: its route table tells them apart.
	const http = protocol === "tcp" || draft.chains.some(({ kind }) => kind === "http") ? [] : [httpChain(context, input, offer, draft.address)];
	return protocol === "http" ? http : [...http, ...tcpChainsOf(context, input, offer, draft.address, cidr)];
}

/** `<port>`, or `<host>:<port>` where the listener belongs to one sniffed service. */
export function routeNameOf({ service, listenPort, protocol }: Offer, { ip }: SocketAddressValue): string {
	if (listenPort === 0) return ip;
	return listenerProtocolOf(protocol) === "auto" && !isWildcardIp(ip) ? `${service.hostname}:${listenPort}` : String(listenPort);
}

/** Wildcards of a port whose hosts are resolved when a request names them. */
export function dynamicHostsOf({ scope }: ProxyContext, services: readonly Service[], port: number | undefined): readonly string[] {
	const named = services.filter((service) =>
		service.ports.some((own) => (port === undefined || own.port === port) && isHttp(own.protocol) && isResolvedByRequest(service, own)),
	);
	const unknown = scope.outboundTrafficPolicy.mode === "ALLOW_ANY_DYNAMIC_DNS" ? [allowAnyDynamicDnsCluster] : [];
	return [...new Set([...named.map(({ hostname }) => hostname), ...unknown])].sort();
}

function httpChain(context: ProxyContext, input: ListenerInput, offer: Offer, address: SocketAddressValue): ChainDraft {
	const statPrefix = `outbound_${address.ip}_${address.port};`;
	const routeName = routeNameOf(offer, address);
	// A table of one service's own has no other hosts.
	const services = routeName === `${offer.service.hostname}:${offer.listenPort}` ? [offer.service] : offer.egress.services;
	const dynamicHosts = dynamicHostsOf(context, services, offer.listenPort);
	const isProxy = offer.egress.port?.protocol.toUpperCase() === httpProxyProtocol;
	const sniffed = !isProxy && (isWildcardIp(address.ip) || listenerProtocolOf(offer.protocol) === "auto");
	return {
		kind: "http",
		// A listener for all addresses also gets traffic of servers that the mesh does not know: only what looks like HTTP is taken.
		// What is sent to a proxy is meant for it.
		match: sniffed ? { applicationProtocols: plainTextHttp, transportProtocol: "raw_buffer" } : undefined,
		filters: [
			...connectionExtensions(input, "outbound", offer.listenPort),
			buildOutboundConnectionManager(input, {
				statPrefix,
				routeName,
				port: offer.listenPort,
				grpcWeb: offer.protocol === "GRPC-Web",
				dynamicHosts,
			}),
		],
	};
}

function tcpChainsOf(
	context: ProxyContext,
	listener: ListenerInput,
	offer: Offer,
	address: SocketAddressValue,
	cidr: string | undefined,
): readonly ChainDraft[] {
	const { service, listenPort: port, protocol, egress } = offer;
	const tls = protocol === "TLS" || protocol === "HTTPS";
	const route = { context, listener, direction: "outbound", port, protocol } as const;
	const virtualServices = virtualServiceIndex(egress).overlapping(service.hostname);
	return buildTcpChains({ ...route, service, tls, cidr, bySni: isWildcardIp(address.ip), virtualServices });
}
