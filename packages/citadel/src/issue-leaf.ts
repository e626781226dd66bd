import { buildLeafTemplate, decodeCsr, type Signer, signCertificate, type SubjectAltNames, verifyOwnOutput } from "@weft/pki";

/** All that a leaf is made from. Plain values: it may go to another thread. */
export interface LeafJob {
	/** A request to be read and checked; nothing but its key counts. */
	readonly csrPem: string;
	readonly subjectAltNames: SubjectAltNames;
	readonly serialNumber: Uint8Array;
	readonly nowMs: number;
	/** 0 asks for the default. */
	readonly ttlMs: number;
	readonly ttlMsDefault: number | undefined;
	readonly ttlMsMax: number | undefined;
	/** End of the signer's whole chain. */
	readonly signerNotAfterMs: number;
}

export interface SignedLeaf {
	readonly pem: string;
	/** Hexadecimal. */
	readonly serialNumber: string;
	readonly notAfterMs: number;
}

/** `csr`: what came is no request that is accepted; `sign`: it cannot be signed as asked; `busy`, `unavailable`: come back later. */
export type LeafRefusal = { readonly ok: false; readonly reason: string; readonly cause: "csr" | "sign" | "busy" | "unavailable" };
export type LeafOutcome = { readonly ok: true; readonly value: SignedLeaf } | LeafRefusal;

/** CSR → template → sign → verify own output. Pure, and all of an issue's CPU time. */
export function issueLeaf(signer: Signer, job: LeafJob): LeafOutcome {
	const csr = decodeCsr(job.csrPem);
	if (!csr.ok) return { ...csr, cause: "csr" };
	const template = buildLeafTemplate({ ...job, publicKeyDer: csr.value.publicKeyDer, ...optional(job) });
	if (!template.ok) return { ...template, cause: "sign" };
	const pem = signCertificate(template.value, signer);
	const verified = verifyOwnOutput(pem, template.value, signer);
	if (!verified.ok) return { ...verified, cause: "sign" };
	return { ok: true, value: { pem, serialNumber: verified.value.serialNumber, notAfterMs: template.value.notAfterMs } };
}

const optional = ({ ttlMsDefault, ttlMsMax }: LeafJob) => ({
	...(ttlMsDefault !== undefined && { ttlMsDefault }),
	...(ttlMsMax !== undefined && { ttlMsMax }),
});
