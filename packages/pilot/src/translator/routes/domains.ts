import type { Service } from "../../model/service.ts";

/** How a client writes a service's name, seen from its own namespace. */
export interface ClientNames {
	readonly namespace: string;
	/** The client resolves names at its own sidecar, so automatic addresses are in use. */
	readonly dnsCapture: boolean;
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
	const key = JSON.stringify([client.dnsCapture, hosts.map((host) => isLocal(host, client.namespace)), aliases]);
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
	const addresses = serviceAddresses(service, client.dnsCapture).filter((address) => !address.includes("/"));
	return [...all, ...addresses.map(bracketed)];
}

/** `name.ns.svc.domain`, seen from `ns`. */
function isLocal(host: string, clientNamespace: string): boolean {
	return host.startsWith(`.${clientNamespace}.svc.`, host.indexOf("."));
}

/** The addresses (and CIDRs) by which a client reaches the service. */
export function serviceAddresses(service: Service, dnsCapture: boolean): readonly string[] {
	if (service.addresses.length > 0) return service.addresses;
	return dnsCapture && service.autoAddress !== undefined ? [service.autoAddress] : [];
}

function hostForms(host: string, client: ClientNames): string[] {
	if (host.startsWith("*")) return [host];
	return [host, `${host}.`, ...shortForms(host, client.namespace)];
}

/** Forms that a resolver in a cluster completes: `name` and `name.ns` in the same namespace, `name.ns` elsewhere. */
function shortForms(host: string, clientNamespace: string): string[] {
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
