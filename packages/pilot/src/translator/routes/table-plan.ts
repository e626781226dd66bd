import type { EgressListener, Scope, VirtualService } from "../../model/push.ts";
import { isHttp } from "../../model/protocol.ts";
import { sameItems } from "../../model/reuse.ts";
import type { Service, ServicePort } from "../../model/service.ts";
import type { EncodedResource } from "../context.ts";
import { createMemo } from "../memo.ts";
import { type ClientNames, serviceDomains, withPort } from "./domains.ts";
import type { VirtualServiceIndex } from "./virtual-service-index.ts";

/** One virtual host that a service gives to a table. */
export interface PlannedHost {
	readonly service: Service;
	readonly port: number;
	readonly domains: readonly string[];
}

/** Which virtual hosts with which domains a table has: all that does not depend on what VirtualServices say. */
export interface TablePlan {
	readonly hosts: readonly PlannedHost[];
	/** Where the hosts of a service stand among them, by its name. */
	readonly places: ReadonlyMap<string, readonly number[]>;
	/** Host names of the services on the table, aliases among them. */
	readonly served: ReadonlySet<string>;
	/** Every domain that some host has, in lower case. */
	readonly taken: ReadonlySet<string>;
	/** The table as it was last assembled; the same virtual hosts make the same table. */
	last: { readonly virtualHosts: readonly Uint8Array[]; readonly resource: EncodedResource } | undefined;
	/** The virtual hosts of `hosts` as they were last built, by what clients read of themselves: most edits are about few of them. */
	readonly filled: Map<string, FilledPlan>;
}

/** Virtual hosts in the order of a plan's `hosts`. */
export interface FilledPlan {
	/** What they were made of beside the plan and VirtualServices. */
	readonly inputs: readonly unknown[];
	readonly slots: { readonly candidates: readonly VirtualService[]; readonly bytes: Uint8Array | undefined }[];
	/** The VirtualServices that filled it, and the hosts that they gave beside those of services. */
	last: { readonly virtualServices: readonly VirtualService[]; readonly lonely: readonly LonelyHost[] } | undefined;
}

/** A host of a VirtualService that no service on the table bears. */
export interface LonelyHost {
	readonly host: string;
	readonly port: number;
	readonly virtualService: VirtualService;
}

/** Kinds of clients in one namespace that a plan remembers. */
const filledMax = 16;

/** What is remembered for such clients; forgotten when anything but VirtualServices changes. */
export function filledPlan({ filled }: TablePlan, client: string, inputs: readonly unknown[]): FilledPlan {
	const known = filled.get(client);
	if (known && sameItems(known.inputs, inputs)) return known;
	if (filled.size >= filledMax) filled.clear();
	const fresh: FilledPlan = { inputs, slots: [], last: undefined };
	filled.set(client, fresh);
	return fresh;
}

/**
 * The hosts of VirtualServices that differ from those that filled the plan last, if they differ in their routes alone; undefined
 * where any host may have another VirtualService now.
 */
export function editedHosts({ last }: FilledPlan, now: readonly VirtualService[]): ReadonlySet<string> | undefined {
	if (last?.virtualServices.length !== now.length) return undefined;
	const hosts = new Set<string>();
	for (const [i, is] of now.entries()) {
		const was = last.virtualServices[i];
		if (was === is) continue;
		if (was === undefined || !hasSameHosts(was, is)) return undefined;
		for (const host of is.hosts) hosts.add(host);
	}
	return hosts;
}

/** They speak for the same hosts, each named in full. */
function hasSameHosts(was: VirtualService, is: VirtualService): boolean {
	const isSame = was.semantics === is.semantics && Boolean(was.spec.http?.length) === Boolean(is.spec.http?.length) && sameItems(was.hosts, is.hosts);
	return isSame && !is.hosts.some((host) => host.startsWith("*"));
}

export interface PlanInput {
	readonly scope: Scope;
	readonly egress: EgressListener;
	/** 0: all ports in one table. */
	readonly tablePort: number;
	readonly client: ClientNames;
	readonly index: VirtualServiceIndex;
	/** Hosts of VirtualServices that are short names or addresses of services: the virtual host named so has them. */
	readonly reserved: readonly string[];
}

const plans = createMemo<TablePlan>();
const tokens = new Map<string, object>();

/** One object a namespace, so that each has its own share of the memo. There are as many as the mesh ever had namespaces with proxies. */
function tokenOf(namespace: string): object {
	const token = tokens.get(namespace) ?? {};
	tokens.set(namespace, token);
	return token;
}

/** Kept while the services that the listener lets through stay the same, whatever happens to VirtualServices. */
export function tablePlan(input: PlanInput): TablePlan {
	const { scope, egress, tablePort, client, index, reserved } = input;
	const named = aliasHosts.get([scope.services], "", () => aliasesAmong(scope.services)).filter((host) => speaksForItself(index, host));
	const key = `${tablePort}|${client.dnsCapture}|${client.families}|${client.dualStack}|${client.clusterSuffix}|${named.join()}|${reserved.join()}`;
	return plans.get([egress.services, scope.services, tokenOf(client.namespace)], key, () => buildPlan(input, new Set(named)));
}

const aliasHosts = createMemo<readonly string[]>();

const aliasesAmong = (services: readonly Service[]): readonly string[] =>
	services.filter(({ resolution }) => resolution === "Alias").map(({ hostname }) => hostname);

/** An alias has a virtual host of its own only where a VirtualService names it; else its names go with those of its target. */
function speaksForItself(index: VirtualServiceIndex, host: string): boolean {
	return index.candidates(host).some(({ spec }) => spec.http?.length);
}

function buildPlan({ scope, egress, tablePort, client, reserved }: PlanInput, namedAliases: ReadonlySet<string>): TablePlan {
	const aliases = aliasIndex(scope);
	const claims = createClaims();
	claims.domains(reserved);
	const hosts: PlannedHost[] = [];
	const served = new Set<string>();
	for (const service of speakersOf(egress.services, tablePort)) {
		served.add(service.hostname);
		if (service.resolution === "Alias" && !namedAliases.has(service.hostname)) continue;
		for (const { port } of service.ports.filter((candidate) => isHttpOrSniffed(candidate) && (tablePort === 0 || candidate.port === tablePort))) {
			if (!claims.name(`${service.hostname}:${port}`)) continue;
			const names = serviceDomains(service, aliases.get(service.hostname) ?? [], client);
			const domains = claims.domains(tablePort === 0 ? withPort(names, port) : names);
			if (domains.length > 0) hosts.push({ service, port, domains });
		}
	}
	return { hosts, places: placesByName(hosts), served, taken: claims.taken, last: undefined, filled: new Map() };
}

function placesByName(hosts: readonly PlannedHost[]): ReadonlyMap<string, readonly number[]> {
	const places = new Map<string, number[]>();
	for (const [i, { service }] of hosts.entries()) {
		const own = places.get(service.hostname);
		if (own) own.push(i);
		else places.set(service.hostname, [i]);
	}
	return places;
}

/** The services of a port. Of two that say they are one host the younger speaks, as in istiod: its cluster is another matter. */
function speakersOf(services: readonly Service[], tablePort: number): Iterable<Service> {
	if (tablePort === 0) return services;
	const having = services.filter(({ ports }) => ports.some(({ port }) => port === tablePort));
	return new Map(having.map((service) => [service.hostname, service])).values();
}

export function isHttpOrSniffed({ protocol }: ServicePort): boolean {
	return isHttp(protocol) || protocol === "Auto";
}

/** Names of ExternalName services by the host they stand for. */
export function aliasIndex(scope: Scope): ReadonlyMap<string, readonly string[]> {
	return aliasIndexes.get([scope.services], "", () => buildAliasIndex(scope));
}

const aliasIndexes = createMemo<ReadonlyMap<string, readonly string[]>>();

function buildAliasIndex(scope: Scope): ReadonlyMap<string, readonly string[]> {
	const result = new Map<string, string[]>();
	for (const { hostname, resolution } of scope.services) {
		const target = resolution === "Alias" ? targetOf(scope, hostname) : undefined;
		if (target === undefined) continue;
		const names = result.get(target) ?? [];
		names.push(hostname);
		result.set(target, names);
	}
	return result;
}

/** What an alias stands for in the end; undefined where aliases go round in a circle. */
function targetOf({ serviceByHost }: Scope, alias: string): string | undefined {
	const seen = new Set<string>();
	for (let host = alias; ; ) {
		const next = serviceByHost.get(host);
		if (next?.resolution !== "Alias" || next.externalName === undefined) return host;
		if (seen.has(host)) return undefined;
		seen.add(host);
		host = next.externalName;
	}
}

/** Envoy refuses a table in which two virtual hosts have one name or one domain (case plays no part): the first keeps it. */
function createClaims(): { name(name: string): boolean; domains(wanted: readonly string[]): readonly string[]; readonly taken: ReadonlySet<string> } {
	const names = new Set<string>();
	const taken = new Set<string>();
	return {
		taken,
		name: (name) => !names.has(name) && Boolean(names.add(name)),
		domains: (wanted) => {
			const free = wanted.filter((domain) => {
				const key = domain.toLowerCase();
				return !taken.has(key) && Boolean(taken.add(key));
			});
			return free.length === wanted.length ? wanted : free;
		},
	};
}
