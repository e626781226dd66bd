import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import type { ProxyContext } from "../context.ts";
import { resolvesUnknownHosts } from "../dynamic-dns.ts";
import { allowAnyDynamicDnsCluster } from "../routes/cluster-name.ts";
import { egressListenerFor, httpProxyRouteName } from "../routes/route-table.ts";
import { virtualServiceIndex } from "../routes/virtual-service-index.ts";
import { parseSocketAddress, type SocketAddressValue } from "./addresses.ts";
import { buildOutboundConnectionManager } from "./http-connection-manager.ts";
import { plainTextHttp } from "./inbound-chain-match.ts";
import { listenerProtocolOf } from "./inbound-chains.ts";
import type { ListenerInput } from "./listener-input.ts";
import { addChain, finishListener, type ListenerDraft } from "./outbound-draft.ts";
import { dynamicHostsOf } from "./outbound-listeners.ts";
import { buildTcpChains, type TcpChainInput } from "./tcp-routes.ts";

/** The HTTP proxy on loopback: applications with `http_proxy` in their environment reach every HTTP service by its name. */
export function buildHttpProxyListener(context: ProxyContext, input: ListenerInput): Listener | undefined {
	const { scope, node } = context;
	if (node.httpProxyPort === 0) return undefined;
	const address = { ip: "127.0.0.1", port: node.httpProxyPort };
	const statPrefix = `outbound_${address.ip}_${address.port};`;
	const manager = buildOutboundConnectionManager(input, {
		statPrefix,
		routeName: httpProxyRouteName,
		port: node.httpProxyPort,
		httpProxy: true,
		dynamicHosts: resolvesUnknownHosts(node)
			? withUnknown(dynamicHostsOf(context, scope.services, undefined))
			: dynamicHostsOf(context, scope.services, undefined),
	});
	return finishListener({ address, bindToPort: true, protocol: "HTTP", chains: [{ kind: "http", match: undefined, filters: [manager] }] }, scope, input);
}

function withUnknown(hosts: readonly string[]): readonly string[] {
	return [...new Set([...hosts, allowAnyDynamicDnsCluster])].sort();
}

/** One bound listener for every service that the local launcher gave an address; those that this proxy may not see are left out. */
export function buildLocalOutbound(context: ProxyContext, input: ListenerInput): readonly Listener[] {
	const entries = Object.entries(context.node.local?.outbound ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
	return entries.flatMap(([target, bind]) => {
		const address = parseSocketAddress(bind);
		const draft = address === undefined ? undefined : draftFor(context, input, target, address);
		return draft === undefined ? [] : [finishListener(draft, context.scope, input)];
	});
}

function draftFor(context: ProxyContext, listener: ListenerInput, target: string, address: SocketAddressValue): ListenerDraft | undefined {
	const { ip: host, port: number } = parseSocketAddress(target) ?? { ip: "", port: 0 };
	const egress = egressListenerFor(context.scope, number);
	const service = egress?.services.find(({ hostname, ports }) => hostname === host && ports.some(({ port }) => port === number));
	const port = service?.ports.find((candidate) => candidate.port === number);
	if (egress === undefined || service === undefined || port === undefined) return undefined;
	const draft: ListenerDraft = { address, bindToPort: true, protocol: port.protocol, chains: [] };
	const protocol = listenerProtocolOf(port.protocol);
	if (protocol !== "tcp") {
		const statPrefix = `outbound_${address.ip}_${address.port};`;
		const grpcWeb = port.protocol === "GRPC-Web";
		const filters = [buildOutboundConnectionManager(listener, { statPrefix, routeName: `${host}:${number}`, port: number, grpcWeb })];
		const match = protocol === "auto" ? { applicationProtocols: plainTextHttp, transportProtocol: "raw_buffer" } : undefined;
		addChain(draft, { kind: "http", match, filters });
	}
	if (protocol !== "http") {
		const tls = port.protocol === "TLS" || port.protocol === "HTTPS";
		const route = { context, listener, direction: "outbound", port: number, protocol: port.protocol } as const;
		const virtualServices = virtualServiceIndex(egress).overlapping(host);
		const input: TcpChainInput = { ...route, service, tls, cidr: undefined, bySni: false, virtualServices };
		for (const chain of buildTcpChains(input)) addChain(draft, chain);
	}
	return draft;
}
