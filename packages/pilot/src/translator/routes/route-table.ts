import { hash } from "node:crypto";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import type { EgressListener, Scope, VirtualService } from "../../model/push.ts";
import type { Service, ServicePort } from "../../model/service.ts";
import type { EncodedResource, ProxyContext } from "../context.ts";
import { clientKey } from "./client-key.ts";
import { outboundClusterName } from "./cluster-name.ts";
import { type ClientNames, serviceDomains, withPort } from "./domains.ts";
import { matchWildcard, virtualServiceIndex } from "./virtual-service-index.ts";
import {
	allowAnyVirtualHost,
	blockAllVirtualHost,
	egressProxyVirtualHost,
	encodeVirtualHost,
	type VirtualHostInput,
} from "./virtual-host.ts";

/** Name of the table of the HTTP proxy listener: all HTTP ports in one. */
export const httpProxyRouteName = "http_proxy";

const tables = new WeakMap<Scope, Map<string, EncodedResource | undefined>>();

/**
 * The outbound route table `name` as this proxy's class sees it, built once a scope (and client key): `<port>` for every HTTP service on the port,
 * `<host>:<port>` for one service at its own address, `http_proxy` for all. Undefined where there is no such table.
 */
export function buildRouteTable(context: ProxyContext, name: string): EncodedResource | undefined {
	let known = tables.get(context.scope);
	if (known === undefined) {
		known = new Map();
		tables.set(context.scope, known);
	}
	const key = `${name}|${clientKey(context)}`;
	if (!known.has(key)) known.set(key, buildTable(context, name));
	return known.get(key);
}

function buildTable(context: ProxyContext, name: string): EncodedResource | undefined {
	const request = decodeTableName(name);
	if (request === undefined) return undefined;
	const egress = egressListenerFor(context.scope, request.port);
	if (egress === undefined) return undefined;
	const virtualHosts = request.host === undefined ? buildPortTable(context, egress, request.port) : buildHostTable(context, egress, request);
	return virtualHosts === undefined ? undefined : encodeTable(name, virtualHosts, request.port !== 0);
}

interface TableName {
	readonly host: string | undefined;
	/** 0: all ports. */
	readonly port: number;
}

function decodeTableName(name: string): TableName | undefined {
	if (name === httpProxyRouteName) return { host: undefined, port: 0 };
	if (/^\d{1,5}$/.test(name)) return { host: undefined, port: Number(name) };
	const match = /^(.+):(\d{1,5})$/.exec(name);
	return match?.[1] === undefined ? undefined : { host: match[1], port: Number(match[2]) };
}

/** The Sidecar's listener for this very port, else its catch-all. */
export function egressListenerFor(scope: Scope, port: number): EgressListener | undefined {
	return scope.egress.find((listener) => listener.port?.number === port) ?? scope.egress.find((listener) => listener.port === undefined);
}

function buildHostTable(context: ProxyContext, egress: EgressListener, { host, port }: TableName): Uint8Array[] | undefined {
	const service = egress.services.find(({ hostname, ports }) => hostname === host && ports.some((candidate) => candidate.port === port));
	const servicePort = service?.ports.find((candidate) => candidate.port === port);
	if (service === undefined || servicePort === undefined || !isHttpOrSniffed(servicePort)) return undefined;
	const builder = tableBuilder(context, egress);
	const bytes = builder.virtualHost(service, port, ["*"]);
	return bytes === undefined ? undefined : [bytes];
}

function buildPortTable(context: ProxyContext, egress: EgressListener, tablePort: number): Uint8Array[] {
	const builder = tableBuilder(context, egress);
	const claims = createDomainClaims();
	const services = egress.services.filter(({ ports }) => tablePort === 0 || ports.some(({ port }) => port === tablePort));
	const served = new Set<string>();
	const result: Uint8Array[] = [];
	for (const service of services) {
		served.add(service.hostname);
		for (const { port } of service.ports.filter((candidate) => isHttpOrSniffed(candidate) && (tablePort === 0 || candidate.port === tablePort))) {
			const name = `${service.hostname}:${port}`;
			if (!builder.speaksFor(service) || !claims.name(name)) continue;
			const names = serviceDomains(service, builder.aliasesOf(service), builder.clientNames);
			const domains = claims.domains(tablePort === 0 ? withPort(names, port) : names);
			const bytes = domains.length > 0 ? builder.virtualHost(service, port, domains) : undefined;
			if (bytes) result.push(bytes);
		}
	}
	for (const { host, port, virtualService } of hostsWithoutService(egress, services, served, tablePort)) {
		const bytes = claims.name(`${host}:${port}`) ? builder.hostOnly(virtualService, host, port, tablePort === 0 ? withPort([host], port) : [host]) : undefined;
		if (bytes) result.push(bytes);
	}
	// A request to the HTTP proxy was not captured, so it has no original destination to pass it on to: it would come back here.
	return [...result, tablePort === 0 ? blockAllVirtualHost : catchAllVirtualHost(context.scope)];
}

function isHttpOrSniffed({ protocol }: ServicePort): boolean {
	return protocol === "HTTP" || protocol === "HTTP2" || protocol === "GRPC" || protocol === "GRPC-Web" || protocol === "Auto";
}

interface LonelyHost {
	readonly host: string;
	readonly port: number;
	readonly virtualService: VirtualService;
}

/**
 * Hosts of VirtualServices that no service on this table bears. istiod puts them on port 80, and beside every service
 * of the same VirtualService on that one's port.
 */
function hostsWithoutService(egress: EgressListener, services: readonly Service[], served: ReadonlySet<string>, tablePort: number): LonelyHost[] {
	const index = virtualServiceIndex(egress);
	const companions = new Set<VirtualService>();
	for (const service of services) {
		const virtualService = service.ports.some((port) => isHttpOrSniffed(port) && port.port === tablePort) ? index.forHost(service.hostname) : undefined;
		if (virtualService) companions.add(virtualService);
	}
	const result: LonelyHost[] = [];
	for (const virtualService of egress.virtualServices) {
		const port = companions.has(virtualService) ? tablePort : 80;
		if (port !== tablePort && tablePort !== 0) continue;
		for (const host of virtualService.hosts) {
			if (!index.owns(virtualService, host) || served.has(host)) continue;
			if (host.startsWith("*") && [...served].some((name) => matchWildcard(host, name) && index.forHost(name) === virtualService)) continue;
			result.push({ host, port, virtualService });
		}
	}
	return result;
}

interface TableBuilder {
	readonly clientNames: ClientNames;
	aliasesOf(service: Service): readonly string[];
	/** An alias has a virtual host of its own only where a VirtualService names it; else its names go with those of its target. */
	speaksFor(service: Service): boolean;
	virtualHost(service: Service, port: number, domains: readonly string[]): Uint8Array | undefined;
	hostOnly(virtualService: VirtualService, host: string, port: number, domains: readonly string[]): Uint8Array | undefined;
}

const meshGateways: ReadonlySet<string> = new Set(["mesh"]);

function tableBuilder({ push, scope, node }: ProxyContext, egress: EgressListener): TableBuilder {
	const index = virtualServiceIndex(egress);
	const aliases = aliasIndex(scope);
	const shared = {
		client: { namespace: node.namespace, labels: node.labels, gateways: meshGateways },
		defaultRetry: push.meshConfig.defaultHttpRetryPolicy,
		destinationRule: scope.destinationRule,
	} satisfies Partial<VirtualHostInput>;
	return {
		clientNames: { namespace: node.namespace, domain: push.mesh.domain, dnsCapture: node.dnsCapture },
		aliasesOf: (service) => aliases.get(service.hostname) ?? [],
		speaksFor: ({ resolution, hostname }) => resolution !== "Alias" || Boolean(index.forHost(hostname)?.spec.http?.length),
		virtualHost: (service, port, domains) => {
			const input = { ...shared, host: service.hostname, port, domains, service };
			const virtualService = index.forHost(service.hostname);
			// A VirtualService none of whose routes is for this client leaves the service its default route.
			const special = virtualService?.spec.http?.length ? encodeVirtualHost({ ...input, virtualService }) : undefined;
			return special ?? encodeVirtualHost({ ...input, virtualService: undefined });
		},
		hostOnly: (virtualService, host, port, domains) =>
			virtualService.spec.http?.length ? encodeVirtualHost({ ...shared, host, port, domains, virtualService, service: undefined }) : undefined,
	};
}

/** Names of ExternalName services by the host they stand for. */
function aliasIndex(scope: Scope): ReadonlyMap<string, readonly string[]> {
	const result = new Map<string, string[]>();
	for (const { hostname, externalName, resolution } of scope.services) {
		if (resolution !== "Alias" || externalName === undefined) continue;
		const names = result.get(externalName) ?? [];
		names.push(hostname);
		result.set(externalName, names);
	}
	return result;
}

/** Envoy refuses a table in which two virtual hosts have one name or one domain: the first keeps it. */
function createDomainClaims(): { name(name: string): boolean; domains(wanted: readonly string[]): string[] } {
	const names = new Set<string>();
	const taken = new Set<string>();
	return {
		name: (name) => !names.has(name) && Boolean(names.add(name)),
		domains: (wanted) => wanted.filter((domain) => !taken.has(domain) && Boolean(taken.add(domain))),
	};
}

function catchAllVirtualHost({ outboundTrafficPolicy: { mode, egressProxy } }: Scope): Uint8Array {
	if (mode === "REGISTRY_ONLY") return blockAllVirtualHost;
	return egressProxy ? egressProxyVirtualHost(outboundClusterName(egressProxy.port, egressProxy.subset, egressProxy.host)) : allowAnyVirtualHost;
}

const tableTail = new Map<boolean, Uint8Array>([true, false].map((ignorePort) => [ignorePort, encodeTail(ignorePort)]));

function encodeTail(ignorePortInHostMatching: boolean): Uint8Array {
	const rest = { validateClusters: false, maxDirectResponseBodySizeBytes: 1_048_576, ignorePortInHostMatching };
	return RouteConfiguration.encode(RouteConfiguration.fromPartial(rest)).finish();
}

/** RouteConfiguration.virtual_hosts is field 2; a message's bytes are its fields' bytes one after another. */
const virtualHostsTag = (2 << 3) | 2;

function encodeTable(name: string, virtualHosts: readonly Uint8Array[], ignorePort: boolean): EncodedResource {
	const head = RouteConfiguration.encode(RouteConfiguration.fromPartial({ name })).finish();
	const parts = [head, ...virtualHosts.flatMap((bytes) => [lengthPrefix(bytes.length), bytes]), tableTail.get(ignorePort) ?? new Uint8Array()];
	const bytes = Buffer.concat(parts);
	return { name, version: hash("sha1", bytes, "hex").slice(0, 16), bytes };
}

function lengthPrefix(length: number): Uint8Array {
	const bytes = [virtualHostsTag];
	let rest = length;
	while (rest > 0x7f) {
		bytes.push((rest & 0x7f) | 0x80);
		rest >>>= 7;
	}
	bytes.push(rest);
	return Uint8Array.from(bytes);
}
