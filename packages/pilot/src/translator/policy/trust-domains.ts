/** The mesh's own trust domain, then its aliases: identities that differ in nothing else are one. https://istio.io/latest/docs/tasks/security/authorization/authz-td-migration/ */
export type TrustDomains = readonly string[];

/** Stands for the mesh's own trust domain in every mesh. */
const pointer = "cluster.local";

/** Principals of the mesh in every trust domain that the mesh goes by. */
export function expandPrincipals(principals: readonly string[], domains: TrustDomains): readonly string[] {
	return principals.flatMap((principal) => {
		const parts = principal.split("/");
		const [domain = ""] = parts;
		const isChecked = parts.length === 5 && domain !== "*";
		const isOurs = domain === pointer || domains.some((own) => own === domain || wildcardMatches(domain, own));
		if (!isChecked || !isOurs) return [principal];
		const rest = parts.slice(1).join("/");
		// "*-td" already covers every domain that ends so.
		return [...new Set(domains.map((own) => (endMatches(domain, own) ? principal : `${own}/${rest}`)))];
	});
}

export function expandTrustDomains(values: readonly string[], domains: TrustDomains): readonly string[] {
	return [...new Set(values.flatMap((value) => (domains.includes(value) ? domains : [value])))];
}

const endMatches = (pattern: string, text: string): boolean => pattern.startsWith("*") && text.endsWith(pattern.slice(1));

const wildcardMatches = (pattern: string, text: string): boolean =>
	pattern === "*" || endMatches(pattern, text) || (pattern.endsWith("*") && text.startsWith(pattern.slice(0, -1)));
