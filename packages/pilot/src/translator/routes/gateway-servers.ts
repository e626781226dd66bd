import type { Server } from "@weft/api";
import { labelsMatch } from "../../model/labels.ts";
import { inboundPorts } from "../../model/lookup.ts";
import type { Gateway, VirtualService } from "../../model/push.ts";
import { visibleVirtualServices } from "../../model/visibility.ts";
import type { ProxyContext } from "../context.ts";
import { lowestPort } from "../listeners/own-ports.ts";
import { intersectHosts } from "../../model/hosts.ts";

/** One server of one Gateway, on one gateway proxy. */
export interface GatewayServer {
	/** `namespace/name` of the Gateway. */
	readonly gateway: string;
	/** Where its proxies are. */
	readonly proxyNamespace: string;
	readonly server: Server;
	/** Where the proxy listens: the container port behind the gateway Service's port. */
	readonly targetPort: number;
	/** Undefined: not HTTP. */
	readonly routeName: string | undefined;
}

const httpProtocols: ReadonlySet<string> = new Set(["HTTP", "HTTP2", "GRPC", "GRPC-WEB"]);

/** Gateway proxies of one scope with equal keys serve the same. */
export function gatewayKey(context: ProxyContext): string {
	return JSON.stringify(gatewayServers(context).map(({ gateway, targetPort, routeName, server }) => [gateway, server.port.number, targetPort, routeName]));
}

/** The servers that this proxy is selected for, oldest Gateway first. */
export function gatewayServers(context: ProxyContext): readonly GatewayServer[] {
	const { push, scope, node } = context;
	const ports = inboundPorts(push, scope, node);
	const lowest = lowestPort(context);
	const selected = push.gateways.flatMap((gateway) =>
		gateway.servers.flatMap((server) =>
			listenPorts(gateway, server.port.number, ports, node)
				.filter((targetPort) => targetPort >= lowest)
				.map((targetPort) => ({
					gateway: `${gateway.namespace}/${gateway.name}`,
					proxyNamespace: proxyNamespaceOf(gateway),
					server,
					targetPort,
					routeName: routeNameOf(server, targetPort, gateway),
				})),
		),
	);
	return withoutConflicts(selected);
}

/** Plain text at one address is either HTTP, for all servers there, or the one server that came first. */
function withoutConflicts(servers: readonly GatewayServer[]): readonly GatewayServer[] {
	const plain = new Map<string, { readonly http: boolean }>();
	return servers.filter(({ server: { port, bind = "", tls }, targetPort }) => {
		const http = httpProtocols.has((port.protocol ?? "").toUpperCase());
		const address = `${targetPort} ${bind}`;
		const first = plain.get(address);
		if (first) return first.http && http;
		if (tls === undefined || http) plain.set(address, { http });
		return true;
	});
}

/** Does some server take services by their SNI (AUTO_PASSTHROUGH), as the gateway to other networks does? */
export function passesByItself(context: ProxyContext): boolean {
	return context.node.kind === "router" && gatewayServers(context).some(({ server }) => server.tls?.mode === "AUTO_PASSTHROUGH");
}

type Ports = ReturnType<typeof inboundPorts>;

const proxyNamespaceOf = ({ proxyNamespace, namespace }: Gateway): string => proxyNamespace ?? namespace;

/** Container ports behind a server's port; none where the gateway is not for this proxy. */
function listenPorts(gateway: Gateway, number: number, ports: Ports, { labels }: ProxyContext["node"]): readonly number[] {
	const { selector, services } = gateway;
	const namespace = proxyNamespaceOf(gateway);
	// A port that the gateway's Service does not have is opened all the same.
	if (services === undefined) return labelsMatch(selector, labels) ? [ports.find(({ port }) => port.port === number)?.targetPort ?? number] : [];
	const targets = ports.filter((entry) =>
		entry.targets.some(({ service, port }) => port.port === number && service.namespace === namespace && services.includes(service.hostname)),
	);
	return targets.map(({ targetPort }) => targetPort);
}

/** Is TLS left to what is behind the gateway? That is the mode where none is said. */
export function passesTls({ tls }: Pick<Server, "tls">): boolean {
	return tls !== undefined && (tls.mode === undefined || tls.mode === "PASSTHROUGH" || tls.mode === "AUTO_PASSTHROUGH");
}

function routeNameOf({ port, tls, bind }: Server, targetPort: number, { name, namespace }: Pick<Gateway, "name" | "namespace">): string | undefined {
	const protocol = (port.protocol ?? "").toUpperCase();
	const suffix = bind ? `.${bind}` : "";
	if (httpProtocols.has(protocol)) return `http.${targetPort}${suffix}`;
	return protocol === "HTTPS" && !passesTls({ tls }) ? `https.${port.number}.${port.name ?? ""}.${name}.${namespace}${suffix}` : undefined;
}

/** `ns/host` of a server: which VirtualServices may use it (`*`, `.` or a namespace), and the host itself. */
export function splitServerHost(text: string): { readonly namespace: string; readonly host: string } {
	const slash = text.indexOf("/");
	return slash < 0 ? { namespace: "*", host: text } : { namespace: text.slice(0, slash), host: text.slice(slash + 1) };
}

/** VirtualServices that name the gateway and that its proxies may see. */
export function boundTo({ push, node }: ProxyContext, gateway: string): readonly VirtualService[] {
	return visibleVirtualServices(push, gateway, node.namespace);
}

/** The hosts of a VirtualService that a server lets it serve. */
export function hostsInCommon(gateway: string, serverHosts: readonly string[], { hosts, namespace }: VirtualService): readonly string[] {
	const own = gateway.slice(0, gateway.indexOf("/"));
	const common = serverHosts.flatMap((text) => {
		const allowed = splitServerHost(text);
		const isAllowed = allowed.namespace === "*" || allowed.namespace === namespace || (allowed.namespace === "." && own === namespace);
		return isAllowed ? hosts.flatMap((host) => intersectHosts(allowed.host, host) ?? []) : [];
	});
	return [...new Set(common)];
}
