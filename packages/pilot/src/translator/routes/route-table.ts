import { resolvesUnknownHosts } from "../dynamic-dns.ts";
import type { EgressListener, Scope, VirtualService } from "../../model/push.ts";
import { sameItems } from "../../model/reuse.ts";
import type { Service } from "../../model/service.ts";
import type { EncodedResource, ProxyContext } from "../context.ts";
import { createMemo } from "../memo.ts";
import { clientKey } from "./client-key.ts";
import { outboundClusterName } from "./cluster-name.ts";
import { addressingOf, searchOf, withPort } from "./domains.ts";
import { gatewayKey } from "./gateway-servers.ts";
import { buildGatewayTable } from "./gateway-table.ts";
import { encodeTable } from "./table-encoder.ts";
import { editedHosts, type FilledPlan, filledPlan, isHttpOrSniffed, type LonelyHost, type PlannedHost, type TablePlan, tablePlan } from "./table-plan.ts";
import {
	allowAnyDynamicVirtualHost,
	allowAnyVirtualHost,
	blockAllVirtualHost,
	egressProxyVirtualHost,
	encodeVirtualHost,
	readsClient,
	type VirtualHostInput,
} from "./virtual-host.ts";
import { matchWildcard, type VirtualServiceIndex, virtualServiceIndex } from "./virtual-service-index.ts";

/** Name of the table of the HTTP proxy listener: all HTTP ports in one. */
export const httpProxyRouteName = "http_proxy";

/** Of a Sidecar's egress listener that is a proxy for all ports. */
export const httpProxyProtocol = "HTTP_PROXY";

const tables = createMemo<Map<string, EncodedResource | undefined>>();

/**
 * The outbound route table `name` as this proxy's class sees it, built once a scope (and client key): `<port>` for every HTTP service
 * on the port, `<host>:<port>` for one service at its own address, `http_proxy` for all. Undefined where there is no such table.
 */
export function buildRouteTable(context: ProxyContext, name: string): EncodedResource | undefined {
	const { push, scope, node } = context;
	const gateway = node.kind === "router";
	// A gateway's ports are those of its own Service, by its pods.
	const known = tables.get(gateway ? [scope, push.workloads, push.endpoints] : [scope], "", () => new Map());
	const key = gateway ? `${name}|${gatewayLabels(context)}|${gatewayKey(context)}` : `${name}|${clientKey(context)}`;
	if (!known.has(key)) known.set(key, gateway ? buildGatewayTable(context, name) : buildTable(context, name));
	return known.get(key);
}

/** VirtualServices may match any label of a gateway: there are few gateways, so all labels count. */
function gatewayLabels({ node }: ProxyContext): string {
	return JSON.stringify(Object.entries(node.labels).sort());
}

function buildTable(context: ProxyContext, name: string): EncodedResource | undefined {
	const request = decodeTableName(name);
	const egress = request === undefined ? undefined : egressFor(context.scope, request);
	if (request === undefined || egress === undefined) return undefined;
	if (request.host !== undefined) return buildHostTable(context, egress, name, request);
	const holdsAll = egress.port?.number === 0 || egress.port?.protocol.toUpperCase() === httpProxyProtocol;
	return buildPortTable(context, egress, name, holdsAll ? 0 : request.port);
}

interface TableName {
	readonly host: string | undefined;
	/** 0: all ports. */
	readonly port: number;
	/** The Unix socket of an egress listener. */
	readonly socket?: string;
}

function decodeTableName(name: string): TableName | undefined {
	if (name === httpProxyRouteName) return { host: undefined, port: 0 };
	if (name.startsWith("unix://")) return { host: undefined, port: 0, socket: name };
	if (/^\d{1,5}$/.test(name)) return { host: undefined, port: Number(name) };
	const match = /^(.+):(\d{1,5})$/.exec(name);
	return match?.[1] === undefined ? undefined : { host: match[1], port: Number(match[2]) };
}

function egressFor(scope: Scope, { host, port, socket }: TableName): EgressListener | undefined {
	if (socket !== undefined) return scope.egress.find((listener) => listener.port?.number === 0 && listener.bind === socket);
	return host === undefined && port === 0 ? wholeEgress(scope) : egressListenerFor(scope, port);
}

const wholes = new WeakMap<Scope, EgressListener>();

/** All that the scope lets through, by whatever listener: the HTTP proxy serves every port. */
function wholeEgress(scope: Scope): EgressListener {
	const [only] = scope.egress;
	if (only !== undefined && scope.egress.length === 1) return only;
	const known = wholes.get(scope);
	if (known) return known;
	const services = [...new Set(scope.egress.flatMap((listener) => listener.services))];
	const virtualServices = [...new Set(scope.egress.flatMap((listener) => listener.virtualServices))];
	const whole: EgressListener = { port: undefined, bind: "", captureMode: "DEFAULT", services, virtualServices };
	wholes.set(scope, whole);
	return whole;
}

/** The Sidecar's listener for this very port, else its catch-all. */
export function egressListenerFor(scope: Scope, port: number): EgressListener | undefined {
	return scope.egress.find((listener) => listener.port?.number === port) ?? scope.egress.find((listener) => listener.port === undefined);
}

function buildHostTable(context: ProxyContext, egress: EgressListener, name: string, { host, port }: TableName): EncodedResource | undefined {
	const service = egress.services.find(({ hostname, ports }) => hostname === host && ports.some((candidate) => candidate.port === port));
	// A port of datagrams may have the same number.
	if (!service?.ports.some((candidate) => candidate.port === port && isHttpOrSniffed(candidate))) return undefined;
	const bytes = virtualHostOf(hostInput(context, port), virtualServiceIndex(egress), service, port, ["*"]);
	return bytes === undefined ? undefined : encodeTable(name, [bytes], { ignorePortInHostMatching: true });
}

function buildPortTable(context: ProxyContext, egress: EgressListener, name: string, tablePort: number): EncodedResource {
	const { scope, node } = context;
	const index = virtualServiceIndex(egress);
	const client = { ...searchOf(node), ...addressingOf(node) };
	const planned = { scope, egress, tablePort, client, index };
	const input = hostInput(context, tablePort);
	const filledFor = (plan: TablePlan) => filledPlan(plan, clientKey(context), [input.defaultRetry, input.destinationRule, scope.serviceByHost]);
	const first = tablePlan({ ...planned, reserved: [] });
	const usual = filledFor(first);
	const changed = editedHosts(usual, egress.virtualServices);
	const held = changed && usual.last?.lonely;
	const lonely = held?.every(({ host }) => !changed?.has(host)) ? held : hostsWithoutService(egress, index, first, tablePort);
	usual.last = { virtualServices: egress.virtualServices, lonely };
	const reserved = tablePort === 0 ? [] : lonely.map(({ host }) => host).filter((host) => first.taken.has(host));
	const plan = reserved.length === 0 ? first : tablePlan({ ...planned, reserved });
	// What is not filled now does not know of this edit when the next one comes.
	if (plan !== first) usual.slots.length = 0;
	const { slots } = plan === first ? usual : filledFor(plan);
	const shared = sharedHosts(context, index, tablePort);
	for (const i of placesToFill(plan, slots, plan === first ? changed : undefined)) {
		const { service, port, domains } = plan.hosts[i] as PlannedHost;
		const candidates = index.candidates(service.hostname);
		const slot = slots[i];
		if (slot !== undefined && sameItems(slot.candidates, candidates)) continue;
		// What reads its client is not the same for all.
		const isShared = tablePort !== 0 && !candidates.some(readsClient);
		const bytes = isShared && shared.has(domains) ? shared.get(domains) : virtualHostOf(input, index, service, port, domains);
		if (isShared) shared.set(domains, bytes);
		slots[i] = { candidates, bytes };
	}
	const others = new Map<string, Uint8Array>();
	for (const { host, port, virtualService } of lonely) {
		const domains = tablePort === 0 ? withPort([host], port) : [host];
		const bytes = others.has(host) ? undefined : encodeVirtualHost({ ...input, host, port, domains, virtualService, service: undefined });
		// Where the oldest has nothing to say to this client on this port, the next one speaks.
		if (bytes !== undefined) others.set(host, bytes);
	}
	// A request to the HTTP proxy was not captured, so it has no original destination to pass it on to: it would come back here.
	const { mode, egressProxy } = scope.outboundTrafficPolicy;
	const isProxy = name === httpProxyRouteName;
	const isOpenProxy = isProxy && mode === "ALLOW_ANY" && egressProxy === undefined && resolvesUnknownHosts(node);
	const dynamic = isOpenProxy || (mode === "ALLOW_ANY_DYNAMIC_DNS" && node.dynamicForwardProxy);
	const catchAll = isProxy && !dynamic ? blockAllVirtualHost : catchAllVirtualHost(scope, dynamic);
	const rest = lonely.some(({ host }) => host === "*") ? [] : [catchAll];
	const virtualHosts: Uint8Array[] = [];
	for (const { bytes } of slots) if (bytes !== undefined) virtualHosts.push(bytes);
	virtualHosts.push(...others.values(), ...rest);
	return assemble(plan, name, virtualHosts, !isProxy);
}

const hostsOfAll = createMemo<Map<readonly string[], Uint8Array | undefined>>();

/**
 * Virtual hosts by their domains, for all classes with the same rules and VirtualServices: the list of a service's domains is one object
 * for the clients of all namespaces but its own.
 */
function sharedHosts({ push, scope }: ProxyContext, index: VirtualServiceIndex, tablePort: number): Map<readonly string[], Uint8Array | undefined> {
	return hostsOfAll.get([index, scope.destinationRule, push.meshConfig], String(tablePort), () => new Map());
}

/** Where hosts may have other virtual hosts than before; `edited`: only those of such names. */
function placesToFill({ hosts, places }: TablePlan, slots: FilledPlan["slots"], edited: ReadonlySet<string> | undefined): Iterable<number> {
	if (edited === undefined || slots.length < hosts.length) return hosts.keys();
	return [...edited].flatMap((host) => places.get(host) ?? []);
}

function assemble(plan: TablePlan, name: string, virtualHosts: readonly Uint8Array[], ignorePortInHostMatching: boolean): EncodedResource {
	const { last } = plan;
	const isPatch = last?.virtualHosts.length === virtualHosts.length;
	const at: number[] = [];
	for (let i = 0; isPatch && i < virtualHosts.length; i++) if (virtualHosts[i] !== last.virtualHosts[i]) at.push(i);
	if (isPatch && at.length === 0) return last.resource;
	const patchOf = isPatch ? { table: new WeakRef(last.resource), at } : undefined;
	const resource = encodeTable(name, virtualHosts, { ignorePortInHostMatching }, patchOf);
	plan.last = { virtualHosts, resource };
	return resource;
}

type HostInput = Pick<VirtualHostInput, "tablePort" | "client" | "defaultRetry" | "destinationRule" | "serviceOf">;

const meshGateways: ReadonlySet<string> = new Set(["mesh"]);

function hostInput({ push, scope, node }: ProxyContext, tablePort: number): HostInput {
	return {
		tablePort,
		client: { namespace: node.namespace, labels: node.labels, gateways: meshGateways },
		defaultRetry: push.meshConfig.defaultHttpRetryPolicy,
		destinationRule: scope.destinationRule,
		serviceOf: (host) => scope.serviceByHost.get(host),
	};
}

/** The first VirtualService that has a route for this client and port counts; without one the service has its default route, but an alias none. */
function virtualHostOf(input: HostInput, index: VirtualServiceIndex, service: Service, port: number, domains: readonly string[]): Uint8Array | undefined {
	const own = { ...input, host: service.hostname, port, domains, service };
	for (const virtualService of index.candidates(service.hostname)) {
		const special = virtualService.spec.http?.length ? encodeVirtualHost({ ...own, virtualService }) : undefined;
		if (special !== undefined) return special;
	}
	return service.resolution === "Alias" ? undefined : encodeVirtualHost({ ...own, virtualService: undefined });
}

/**
 * Hosts of VirtualServices that no service on this table bears. istiod puts them on port 80, and beside every service
 * of the same VirtualService on that one's port.
 */
function hostsWithoutService(egress: EgressListener, index: VirtualServiceIndex, plan: TablePlan, tablePort: number): readonly LonelyHost[] {
	if (egress.virtualServices.length === 0) return [];
	const companions = new Set(plan.hosts.flatMap(({ service }) => index.candidates(service.hostname)));
	return egress.virtualServices.flatMap((virtualService) => {
		const port = tablePort !== 0 && companions.has(virtualService) ? tablePort : 80;
		// A route of the Gateway API names its parent, and without that there is nothing to route.
		if (virtualService.semantics === "gateway") return [];
		if (!virtualService.spec.http?.length || (tablePort !== 0 && port !== tablePort)) return [];
		const hosts = virtualService.hosts.filter((host) => !isServed(host, virtualService, index, plan)).map((host) => host.toLowerCase());
		return [...new Set(hosts)].map((host) => ({ host, port, virtualService }));
	});
}

function isServed(host: string, virtualService: VirtualService, index: VirtualServiceIndex, { served }: TablePlan): boolean {
	if (served.has(host.toLowerCase())) return true;
	return host.startsWith("*") && [...served].some((name) => matchWildcard(host, name));
}

function catchAllVirtualHost({ outboundTrafficPolicy: { mode, egressProxy } }: Scope, dynamic: boolean): Uint8Array {
	if (dynamic) return allowAnyDynamicVirtualHost;
	if (mode === "REGISTRY_ONLY") return blockAllVirtualHost;
	return egressProxy ? egressProxyVirtualHost(outboundClusterName(egressProxy.port, egressProxy.subset, egressProxy.host)) : allowAnyVirtualHost;
}
