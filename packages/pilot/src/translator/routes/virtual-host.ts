import type { Destination, HTTPRetry } from "@weft/api";
import { VirtualHost } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { DestinationRule, VirtualService } from "../../model/push.ts";
import type { Service } from "../../model/service.ts";
import { allowAnyDynamicDnsCluster, passthroughCluster } from "./cluster-name.ts";
import { resolveDestinationHash } from "./hash-policy.ts";
import { appliesTo, buildDefaultRoute, buildHttpRoutes, type RouteClient } from "./http-routes.ts";
import type { ActionInput } from "./route-action.ts";
import { zeroDuration } from "./values.ts";
import { createVirtualHostCache } from "./virtual-host-cache.ts";

/** Everything a virtual host is made of; nothing else may be read while building it. */
export interface VirtualHostInput {
	/** Host part of the name. */
	readonly host: string;
	readonly port: number;
	/** The one port of the table; 0: it holds all ports, so that a request does not tell which one it is for. */
	readonly tablePort: number;
	readonly domains: readonly string[];
	/** Undefined: the service's plain default route. */
	readonly virtualService: VirtualService | undefined;
	readonly service: Service | undefined;
	readonly client: RouteClient;
	readonly defaultRetry: HTTPRetry | undefined;
	readonly destinationRule: (host: string) => DestinationRule | undefined;
	readonly serviceOf: (host: string) => Service | undefined;
}

const cache = createVirtualHostCache();

/** Counters of all virtual hosts built and of all that were taken from memory. */
export const virtualHostStats = cache.stats;

/** The encoded VirtualHost message; built anew only when something it reads has changed. Undefined: it has no routes for this client. */
export function encodeVirtualHost(input: VirtualHostInput): Uint8Array | undefined {
	const anchor = input.virtualService ?? input.service;
	if (anchor === undefined) return undefined;
	const key = `${input.host}:${input.port}|${input.tablePort === 0}|${clientKey(input)}|${input.domains.join()}`;
	return cache.get(anchor, key, dependencies(input), () => buildVirtualHost(input));
}

function buildVirtualHost(input: VirtualHostInput): Uint8Array | undefined {
	const action: ActionInput = {
		listenPort: input.virtualService ? input.tablePort : input.port,
		defaultRetry: input.defaultRetry,
		...(input.tablePort === 0 ? { solePort: (host) => solePort(input, host) } : {}),
		aliasOf: (host) => aliasOf(input, host),
		hashOf: (destination) => hashOf(input, destination),
	};
	const routes = input.virtualService ? buildHttpRoutes(input.virtualService, input.client, action) : [buildDefaultRoute(input.host, action)];
	if (routes.length === 0) return undefined;
	return encode({ name: `${input.host}:${input.port}`, domains: [...input.domains], routes });
}

/** An ExternalName Service of this port is another name of its target, which alone has a cluster. */
function aliasOf({ serviceOf, port }: VirtualHostInput, host: string): string | undefined {
	const service = serviceOf(host);
	return service?.ports.some((own) => own.port === port) ? service.externalName : undefined;
}

/** The port of a service that has just one. */
function solePort({ serviceOf }: VirtualHostInput, host: string): number | undefined {
	const ports = serviceOf(host)?.ports ?? [];
	return ports.length === 1 ? ports[0]?.port : undefined;
}

function hashOf(input: VirtualHostInput, destination: Destination): ReturnType<typeof resolveDestinationHash> {
	return resolveDestinationHash(input.destinationRule(destination.host), destination);
}

function encode(partial: object): Uint8Array {
	return VirtualHost.encode(VirtualHost.fromPartial({ ...partial, includeRequestAttemptCount: true })).finish();
}

/** The mesh's retry policy, and of every destination its DestinationRule (for hash policies) and what it stands for. */
function dependencies(input: VirtualHostInput): readonly unknown[] {
	if (!input.virtualService) return [input.defaultRetry, input.destinationRule(input.host)];
	return [
		input.defaultRetry,
		...destinationHosts(input.virtualService).flatMap((host) => [input.destinationRule(host), aliasOf(input, host), solePort(input, host)]),
	];
}

const hostsOf = new WeakMap<VirtualService, readonly string[]>();

function destinationHosts(virtualService: VirtualService): readonly string[] {
	const known = hostsOf.get(virtualService);
	if (known) return known;
	const destinations = (virtualService.spec.http ?? []).flatMap(({ route, mirror, mirrors }) => [
		...[...(route ?? []), ...(mirrors ?? [])].map(({ destination }) => destination),
		...(mirror ? [mirror] : []),
	]);
	const hosts = [...new Set(destinations.map(({ host }) => host))];
	hostsOf.set(virtualService, hosts);
	return hosts;
}

/** One digit a match: which of them hold for this client. Empty where no match looks at the client. */
function clientKey({ virtualService, client, tablePort }: VirtualHostInput): string {
	if (virtualService === undefined || !readsClient(virtualService)) return "";
	const matches = (virtualService.spec.http ?? []).flatMap(({ match }) => match ?? []);
	return matches.map((match) => (appliesTo(match, client, tablePort) ? "1" : "0")).join("");
}

const clientReaders = new WeakMap<VirtualService, boolean>();

/** Whether some match of it looks at the client. */
export function readsClient(virtualService: VirtualService): boolean {
	const known = clientReaders.get(virtualService);
	if (known !== undefined) return known;
	const matches = (virtualService.spec.http ?? []).flatMap(({ match }) => match ?? []);
	const reads = matches.some(({ sourceLabels, sourceNamespace, gateways }) => sourceLabels ?? sourceNamespace ?? gateways);
	clientReaders.set(virtualService, reads);
	return reads;
}

function catchAllRoute(name: string, action: object): Uint8Array {
	return encode({ name, domains: ["*"], routes: [{ name, match: { prefix: "/" }, ...action }] });
}

const forwardAny = (cluster: string): object => ({ route: { cluster, timeout: zeroDuration, maxGrpcTimeout: zeroDuration } });

/** Takes what no other virtual host does. */
export const anyHostName = "allow_any";

/** Unknown authorities go where the client dialled (ALLOW_ANY). */
export const allowAnyVirtualHost = catchAllRoute(anyHostName, forwardAny(passthroughCluster));

/** Unknown authorities are resolved by the sidecar (ALLOW_ANY_DYNAMIC_DNS). */
export const allowAnyDynamicVirtualHost = catchAllRoute(anyHostName, forwardAny(allowAnyDynamicDnsCluster));

/** Unknown authorities are refused with 502 (REGISTRY_ONLY). */
export const blockAllVirtualHost = catchAllRoute("block_all", { directResponse: { status: 502 } });

/** Unknown authorities go to the Sidecar's egress proxy. */
export function egressProxyVirtualHost(cluster: string): Uint8Array {
	return catchAllRoute(anyHostName, forwardAny(cluster));
}
