import { accepted, type Checked, refused } from "./checked.ts";

/** A workload identity as Istio writes it: `spiffe://<trustDomain>/ns/<namespace>/sa/<serviceAccount>`. */
export interface SpiffeId {
	readonly trustDomain: string;
	readonly namespace: string;
	readonly serviceAccount: string;
}

// SPIFFE-ID §2: at most 2048 bytes in all, 255 for the trust domain.
const idLengthMax = 2048;
const trustDomainPattern = /^[a-z0-9][a-z0-9._-]{0,254}$/;
// RFC 1123 label and subdomain: what Kubernetes allows as namespace and as service account.
const labelPattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const subdomainPattern = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;

/** Checks each part; the names are not normalised, so two spellings never become one identity. */
export function checkSpiffeId(id: SpiffeId): Checked<SpiffeId> {
	if (!trustDomainPattern.test(id.trustDomain)) return refused(`trust domain ${JSON.stringify(id.trustDomain)} is not valid`);
	if (!labelPattern.test(id.namespace)) return refused(`namespace ${JSON.stringify(id.namespace)} is not an RFC 1123 label`);
	if (id.serviceAccount.length > 253 || !subdomainPattern.test(id.serviceAccount)) {
		return refused(`service account ${JSON.stringify(id.serviceAccount)} is not an RFC 1123 subdomain`);
	}
	return accepted(id);
}

/** Strict: exact path shape, no escapes, no port, query, fragment, trailing slash or control character. */
export function decodeSpiffeId(uri: string): Checked<SpiffeId> {
	if (uri.length > idLengthMax) return refused(`SPIFFE ID is longer than ${idLengthMax} bytes`);
	const [scheme, empty, trustDomain, ns, namespace, sa, serviceAccount, ...rest] = uri.split("/");
	const shaped = scheme === "spiffe:" && empty === "" && ns === "ns" && sa === "sa" && rest.length === 0;
	if (!shaped || trustDomain === undefined || namespace === undefined || serviceAccount === undefined) {
		return refused(`${JSON.stringify(uri)} is not of the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>`);
	}
	return checkSpiffeId({ trustDomain, namespace, serviceAccount });
}

export function formatSpiffeId(id: SpiffeId): string {
	return `spiffe://${id.trustDomain}/ns/${id.namespace}/sa/${id.serviceAccount}`;
}
