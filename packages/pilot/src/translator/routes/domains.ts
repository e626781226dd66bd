import type { ProxyNode } from "../../model/proxy-node.ts";
import { isDualStack } from "../listeners/addresses.ts";
import type { Service } from "../../model/service.ts";

/** How a client writes a service's name, seen from its own namespace. */
export interface ClientNames extends ClientAddressing, ClientSearch {}

/** What a client's resolver completes short names with. */
export interface ClientSearch {
	readonly namespace: string;
	/** `.svc.cluster.local` of its search list; "" where that is no cluster's. */
	readonly clusterSuffix: string;
}

export function searchOf({ namespace, dnsDomain }: Pick<ProxyNode, "namespace" | "dnsDomain">): ClientSearch {
	const start = dnsDomain.indexOf(".svc.");
	return { namespace, clusterSuffix: start > 0 ? dnsDomain.slice(start) : "" };
}

/** Which of a service's addresses mean something to a client. */
export interface ClientAddressing {
	/** The client resolves names at its own sidecar, so automatic addresses are in use. */
	readonly dnsCapture: boolean;
	/** Families of its own addresses. */
	readonly families: IpFamilies;
	/** It uses all addresses of a Service, not the first alone. */
	readonly dualStack: boolean;
}

export function addressingOf(node: Pick<ProxyNode, "ips" | "metadata" | "dnsCapture">): ClientAddressing {
	return { dnsCapture: node.dnsCapture, families: familiesOf(node), dualStack: isDualStack(node) };
}

export type IpFamilies = "v4" | "v6" | "both";

export function familiesOf({ ips }: Pick<ProxyNode, "ips">): IpFamilies {
	const v6 = ips.some((ip) => ip.includes(":"));
	if (!v6) return "v4";
	return ips.every((ip) => ip.includes(":")) ? "v6" : "both";
}

/**
 * The authorities by which a client may call a service: full name (with and without the root dot), the short forms that the
 * resolver's search list allows, those of its aliases, and its addresses.
 */
export function serviceDomains(service: Service, aliases: readonly string[], client: ClientNames): readonly string[] {
	let known = domainsOf.get(service);
	if (known === undefined) {
		known = new Map();
		domainsOf.set(service, known);
	}
	const hosts = [service.hostname, ...aliases];
	const locals = hosts.map((host) => (isLocal(host, client.namespace) ? "1" : "0")).join("");
	const key = `${client.dnsCapture}|${client.families}|${client.dualStack}|${client.clusterSuffix}|${locals}|${aliases.join()}`;
	const domains = known.get(key) ?? buildDomains(service, hosts, client);
	known.set(key, domains);
	return domains;
}

/** Clients of all namespaces but the service's own know it by the same names: they share one list. */
const domainsOf = new WeakMap<Service, Map<string, readonly string[]>>();

function buildDomains(service: Service, hosts: readonly string[], client: ClientNames): readonly string[] {
	const names = hosts.flatMap((host) => hostForms(host, client));
	// Pods of a headless service have names of their own under the service's.
	const all = service.headless ? [...names, ...names.map((name) => `*.${name}`)] : names;
	return [...all, ...serviceAddresses(service, client).map(bracketed)];
}

/** `name.ns.svc.domain`, seen from `ns`. */
function isLocal(host: string, clientNamespace: string): boolean {
	return host.startsWith(`.${clientNamespace}.svc.`, host.indexOf("."));
}

/**
 * The addresses (and CIDRs) by which a client knows the service: of a Service, those of its own family. Those of a ServiceEntry need
 * not be anybody's: the proxy only recognises them, so their family plays no part.
 */
export function serviceAddresses(service: Service, client: ClientAddressing): readonly string[] {
	const { families } = client;
	const all = heldAddresses(service, client);
	if (service.registry !== "Kubernetes") return all;
	const own = families === "both" || all.every((address) => isOf(families, address)) ? all : all.filter((address) => isOf(families, address));
	return usedOf(own, client);
}

/** The addresses that a client's connections to the service go to: of another family, where there is none of its own. */
export function dialledAddresses(service: Service, client: ClientAddressing): readonly string[] {
	const own = serviceAddresses(service, client);
	return own.length > 0 ? own : usedOf(heldAddresses(service, client), client);
}

const usedOf = (addresses: readonly string[], { dualStack }: ClientAddressing): readonly string[] =>
	dualStack || addresses.length < 2 ? addresses : addresses.slice(0, 1);

const isOf = (family: "v4" | "v6", address: string): boolean => address.includes(":") === (family === "v6");

function heldAddresses({ addresses, autoAddress }: Service, { dnsCapture }: ClientAddressing): readonly string[] {
	if (addresses.length > 0) return addresses;
	return dnsCapture && autoAddress !== undefined ? [autoAddress] : [];
}

/** A host with and without the root dot, and in the short forms that a client in a namespace may use. */
export function hostForms(host: string, client: ClientSearch): string[] {
	if (host.startsWith("*")) return [host, `${host}.`];
	return [host, `${host}.`, ...shortForms(host, client)];
}

/** Forms that a resolver in a cluster completes: `name` and `name.ns` in the same namespace, `name.ns` elsewhere. */
function shortForms(host: string, { namespace: clientNamespace, clusterSuffix }: ClientSearch): string[] {
	if (!host.endsWith(clusterSuffix)) return [];
	const end = host.indexOf(".svc.");
	const dot = host.indexOf(".");
	if (end <= 0 || dot + 1 > end) return [];
	const namespaced = host.slice(0, end);
	return isLocal(host, clientNamespace) ? [host.slice(0, dot), `${namespaced}.svc`, namespaced] : [namespaced, `${namespaced}.svc`];
}

export function bracketed(address: string): string {
	return address.includes(":") && !address.startsWith("[") ? `[${address}]` : address;
}

/** Domains for a table that holds all ports: the port is part of the authority; port 80 may be left out (RFC 9110 section 4.2.3). */
export function withPort(domains: readonly string[], port: number): string[] {
	return domains.flatMap((domain) => (port === 80 ? [domain, `${domain}:80`] : [`${domain}:${port}`]));
}
