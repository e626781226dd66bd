/** Host names as Istio's configuration writes them. https://istio.io/latest/docs/reference/config/networking/virtual-service/#VirtualService */

/** A short name is read in the namespace of the object that says it; wildcards, dotted names and IPs stand for themselves. */
export function resolveHost(host: string, namespace: string, domain: string): string {
	if (host === "" || host.includes(".") || host.includes("*") || host.includes(":")) return host;
	return `${host}.${namespace}.svc.${domain}`;
}

/** Does `pattern` (exact, `*`, or `*.suffix`) cover `host` (which may itself be a wildcard)? */
export function hostCovers(pattern: string, host: string): boolean {
	if (pattern === host || pattern === "*") return true;
	if (!pattern.startsWith("*")) return false;
	const suffix = pattern.slice(1);
	const name = host.startsWith("*") ? host.slice(1) : host;
	// `*.b` covers `*.a.b`, and `*` alone was handled above.
	return name.length >= suffix.length && name.endsWith(suffix);
}

/** Do the two have a host in common? */
export function hostsOverlap(a: string, b: string): boolean {
	return hostCovers(a, b) || hostCovers(b, a);
}

/** What two hosts have in common: the narrower of the two. */
export function intersectHosts(a: string, b: string): string | undefined {
	if (hostCovers(a, b)) return b;
	return hostCovers(b, a) ? a : undefined;
}

export const isWildcard = (host: string): boolean => host.startsWith("*");

/** Orders wildcards most specific first (the longer suffix), ties by text. */
export function bySpecificity(a: string, b: string): number {
	return b.length - a.length || (a < b ? -1 : a > b ? 1 : 0);
}
