import { accepted, type Checked, refused } from "./checked.ts";
import type { SubjectAltNames } from "./extensions.ts";

const minute = 60_000;
const day = 24 * 60 * minute;

/** Istio's bounds: 24 h unless asked, 90 days at most, two minutes of clock skew forgiven, a root of ten years. */
export const leafTtlMs = day;
export const leafTtlMsMax = 90 * day;
export const clockSkewMs = 2 * minute;
export const rootTtlMs = 10 * 365 * day;

/** Everything that a certificate will say, before anyone signs it. Times are epoch milliseconds at whole seconds. */
export interface CertificateTemplate {
	readonly kind: "leaf" | "authority";
	/** Unsigned, 8 to 20 octets of randomness (RFC 5280 §4.1.2.2). */
	readonly serialNumber: Uint8Array;
	/** Empty for leaves: the SAN carries the identity. */
	readonly organization: string | undefined;
	readonly notBeforeMs: number;
	readonly notAfterMs: number;
	readonly publicKeyDer: Uint8Array;
	readonly subjectAltNames: SubjectAltNames;
}

export interface LeafParams {
	readonly subjectAltNames: SubjectAltNames;
	readonly publicKeyDer: Uint8Array;
	readonly serialNumber: Uint8Array;
	readonly nowMs: number;
	/** 0 or less asks for the default. */
	readonly ttlMs: number;
	readonly ttlMsDefault?: number;
	readonly ttlMsMax?: number;
	/** End of the signer's own validity, which no leaf outlives. */
	readonly signerNotAfterMs: number;
}

const floorSecond = (ms: number): number => Math.floor(ms / 1000) * 1000;

/** Refuses a lifetime above the maximum and an expired signer; a lifetime past the signer's is cut to it. */
export function buildLeafTemplate(params: LeafParams): Checked<CertificateTemplate> {
	const { nowMs, ttlMsDefault = leafTtlMs, ttlMsMax = leafTtlMsMax, signerNotAfterMs } = params;
	const ttlMs = params.ttlMs > 0 ? params.ttlMs : Math.min(ttlMsDefault, ttlMsMax);
	if (!Number.isFinite(ttlMs) || ttlMs > ttlMsMax) return refused(`lifetime of ${ttlMs / 1000} s: at most ${ttlMsMax / 1000} s are granted`);
	if (signerNotAfterMs <= nowMs) return refused("the signing certificate has expired");
	return accepted({
		kind: "leaf",
		serialNumber: params.serialNumber,
		organization: undefined,
		notBeforeMs: floorSecond(nowMs - clockSkewMs),
		notAfterMs: Math.min(floorSecond(nowMs + ttlMs), signerNotAfterMs),
		publicKeyDer: params.publicKeyDer,
		subjectAltNames: params.subjectAltNames,
	});
}

export interface RootParams {
	readonly trustDomain: string;
	readonly publicKeyDer: Uint8Array;
	readonly serialNumber: Uint8Array;
	readonly nowMs: number;
	readonly ttlMs?: number;
}

/** A self-signed root as Istio makes it: O = trust domain, ten years. */
export function buildRootTemplate({ trustDomain, publicKeyDer, serialNumber, nowMs, ttlMs = rootTtlMs }: RootParams): CertificateTemplate {
	return {
		kind: "authority",
		serialNumber,
		organization: trustDomain,
		notBeforeMs: floorSecond(nowMs - clockSkewMs),
		notAfterMs: floorSecond(nowMs + ttlMs),
		publicKeyDer,
		subjectAltNames: { uris: [], dnsNames: [], ipAddresses: [] },
	};
}
