import type { X509Certificate } from "node:crypto";
import { decodeChain } from "./chain.ts";
import { accepted, type Checked, refused } from "./checked.ts";
import { splitCertificates } from "./pem.ts";

/** Roots that are trusted together, as during a root rotation. */
export interface TrustBundle {
	readonly roots: readonly X509Certificate[];
	/** The same, as one PEM text without repeats. */
	readonly pem: string;
}

export const rootsMax = 64;

/** Reads one or several roots from PEM. Refuses a bundle with anything that is not an authority; repeats are dropped. */
export function decodeTrustBundle(pem: string): Checked<TrustBundle> {
	const read = decodeChain(pem, rootsMax);
	if (!read.ok) return refused(`trust bundle: ${read.reason}`);
	const unique = new Map(read.value.map((root) => [root.fingerprint256, root]));
	const leaf = read.value.find((root) => !root.ca);
	if (leaf !== undefined) return refused(`trust bundle: ${leaf.subject || leaf.subjectAltName || "a certificate"} is not an authority`);
	const roots = [...unique.values()];
	return accepted({ roots, pem: roots.map((root) => root.toString()).join("") });
}

/** Bundles (PEM that has been read before) as one, without repeats: the first come first, and what is more than one may hold is left out. */
export function joinTrustBundles(pems: readonly string[]): { readonly pem: string; readonly leftOut: number } {
	const unique = [...new Set(pems.flatMap(splitCertificates))];
	return { pem: unique.slice(0, rootsMax).join(""), leftOut: Math.max(0, unique.length - rootsMax) };
}
