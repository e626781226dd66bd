import {
	type Checked,
	decodeChain,
	decodeNamedCsr,
	decodeTrustBundle,
	formatSpiffeId,
	leafTtlMs,
	leafTtlMsMax,
	type RequestedNames,
	refused,
	verifyForeignOutput,
} from "@weft/pki";
import type { Clock } from "@weft/runtime";
import type { AuthorityChange, LeafIssue, LeafIssuer, LeafRequest } from "./certificate-authority.ts";
import type { LeafRefusal } from "./issue-leaf.ts";

export interface SigningRequest {
	readonly csrPem: string;
	/** Such as `clusterissuers.cert-manager.io/istio-system`. */
	readonly signerName: string;
	readonly ttlMs: number;
	/** Whom the certificate is for, for whoever looks at the request: `spiffe://…` */
	readonly identity: string;
	/** Nobody waits any longer. */
	readonly signal: AbortSignal | undefined;
}

/** Somebody who signs requests as they are: what they ask for has been checked. Gives PEM, leaf first. */
export interface ExternalSigner {
	sign(request: SigningRequest): Promise<{ readonly ok: true; readonly value: string } | LeafRefusal>;
}

export interface RegistrationAuthorityOptions {
	readonly signer: ExternalSigner;
	readonly trustDomain: string;
	/** K8S_SIGNER: signs for whoever names no signer; undefined: everybody has to. */
	readonly signerName: string | undefined;
	/** CERT_SIGNER_DOMAIN: what stands before the names that requests give (`CertSigner`); undefined: they may give none. */
	readonly signerDomain: string | undefined;
	/** PEM of what this signer's certificates must lead to; "" : nothing is known of it. */
	readonly rootsOf: (signerName: string) => string;
	/** Every root that the mesh trusts, PEM. */
	readonly trustBundlePem: () => string;
	readonly onRootsChanged: (listener: () => void) => () => void;
	/** Default 24 h. */
	readonly leafTtlMs?: number;
	/** Default 90 days. */
	readonly leafTtlMsMax?: number;
	readonly clock: Clock;
}

const namePattern = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
const noChange: Omit<AuthorityChange, "roots"> = { signer: false, crl: false };

/**
 * Gives out certificates that somebody else signs, and vouches for them: the request must ask for its caller's name and nothing
 * else, and what comes back must say just that, be for the same key, and lead to the roots that are configured for its signer.
 */
export function createRegistrationAuthority(options: RegistrationAuthorityOptions): LeafIssuer {
	const { trustDomain, signerDomain, trustBundlePem, clock, signer } = options;
	const ttlMsMax = options.leafTtlMsMax ?? leafTtlMsMax;
	const ttlMsDefault = Math.min(options.leafTtlMs ?? leafTtlMs, ttlMsMax);
	const rootsEndMs = () => {
		const bundle = decodeTrustBundle(trustBundlePem());
		return bundle.ok ? Math.min(...bundle.value.roots.map((root) => root.validToDate.getTime())) : clock.nowMs();
	};
	return {
		trustDomain,
		hasNamedSigners: signerDomain !== undefined,
		leafTtlMs: ttlMsDefault,
		leafTtlMsMax: ttlMsMax,
		get trustBundlePem() {
			return trustBundlePem();
		},
		get rootNotAfterMs() {
			return rootsEndMs();
		},
		get chainNotAfterMs() {
			return rootsEndMs();
		},
		onChanged: (listener) => options.onRootsChanged(() => listener({ ...noChange, roots: true })),
		async issueLeaf(request) {
			const prepared = prepare(options, request);
			if (!prepared.ok) return { ...prepared, cause: "csr" };
			const { signerName, publicKeyDer, rootsPem } = prepared.value;
			if (request.ttlMs > ttlMsMax) return { ok: false, cause: "sign", reason: `a lifetime of ${request.ttlMs} ms is more than ${ttlMsMax} ms` };
			const ttlMs = request.ttlMs === 0 ? ttlMsDefault : request.ttlMs;
			const bundle = decodeTrustBundle(rootsPem);
			if (!bundle.ok) return { ok: false, cause: "sign", reason: `meshConfig.caCertificates has no root for signer ${signerName}: ${bundle.reason}` };
			const signed = await signer.sign({ csrPem: request.csrPem, signerName, ttlMs, identity: formatSpiffeId(request.identity), signal: request.signal });
			if (!signed.ok) return signed;
			const issued = checkSigned(signed.value, bundle.value.roots, { publicKeyDer, subjectAltNames: namesOf(request) }, clock.nowMs());
			return issued.ok ? issued : { ok: false, cause: "sign", reason: `signer ${signerName}: ${issued.reason}` };
		},
	};
}

interface Prepared {
	readonly signerName: string;
	readonly publicKeyDer: Buffer;
	readonly rootsPem: string;
}

function prepare(options: RegistrationAuthorityOptions, request: LeafRequest): Checked<Prepared> {
	const name = signerNameOf(options, request.certSigner);
	if (!name.ok) return name;
	const csr = decodeNamedCsr(request.csrPem);
	if (!csr.ok) return csr;
	const wrong = wrongNames(csr.value.names, request);
	if (wrong !== undefined) return refused(wrong);
	return { ok: true, value: { signerName: name.value, publicKeyDer: csr.value.publicKeyDer, rootsPem: options.rootsOf(name.value) } };
}

function signerNameOf({ signerName, signerDomain }: RegistrationAuthorityOptions, asked: string | undefined): Checked<string> {
	if (asked === undefined)
		return signerName === undefined
			? refused("CertSigner is needed: there is no signer for those who name none (K8S_SIGNER)")
			: { ok: true, value: signerName };
	if (signerDomain === undefined) return refused("CertSigner is not supported without CERT_SIGNER_DOMAIN");
	if (!namePattern.test(asked)) return refused(`CertSigner ${JSON.stringify(asked.slice(0, 100))} is not a name`);
	return { ok: true, value: `${signerDomain}/${asked}` };
}

const namesOf = ({ identity, dnsNames = [], ipAddresses = [] }: LeafRequest) => ({ uris: [formatSpiffeId(identity)], dnsNames, ipAddresses });

/** The signer gives what the request asks for: that must be the caller's own name. */
function wrongNames({ uris, dnsNames, ipAddresses, otherNames }: RequestedNames, request: LeafRequest): string | undefined {
	const wanted = namesOf(request);
	const [uri] = wanted.uris;
	if (uris.length !== 1 || uris[0] !== uri)
		return `CSR must ask for the URI SAN ${uri} and no other; it asks for ${uris.length === 0 ? "none" : uris.join(", ").slice(0, 300)}`;
	const isOwn =
		dnsNames.length === wanted.dnsNames.length && dnsNames.every((name) => wanted.dnsNames.includes(name)) && ipAddresses.length === wanted.ipAddresses.length;
	return isOwn && otherNames === 0 ? undefined : "CSR asks for names beside the caller's own";
}

function checkSigned(
	pem: string,
	roots: Parameters<typeof verifyForeignOutput>[1],
	wanted: Parameters<typeof verifyForeignOutput>[2],
	nowMs: number,
): Checked<LeafIssueValue> {
	const chain = decodeChain(pem);
	if (!chain.ok) return refused(`what it signed cannot be read: ${chain.reason}`);
	const leaf = verifyForeignOutput(chain.value, roots, wanted, nowMs);
	if (!leaf.ok) return leaf;
	// The root goes with the bundle, not with the chain.
	const above = chain.value.slice(1).filter((certificate) => !roots.some((root) => root.raw.equals(certificate.raw)));
	const chainPem = [leaf.value, ...above].map((certificate) => certificate.toString());
	return { ok: true, value: { chainPem, serialNumber: leaf.value.serialNumber, notAfterMs: leaf.value.validToDate.getTime() } };
}

type LeafIssueValue = Extract<LeafIssue, { readonly ok: true }>["value"];
