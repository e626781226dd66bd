import { createHash, randomBytes } from "node:crypto";
import {
	accepted,
	buildCsr,
	type Checked,
	decodeTrustBundle,
	encodePrivateKey,
	formatSpiffeId,
	generateKeys,
	type KeyAlgorithm,
	leafTtlMs,
	leafTtlMsMax,
	refused,
	type SpiffeId,
	type TrustBundle,
} from "@weft/pki";
import type { Clock, Logger } from "@weft/runtime";
import { type AuthorityMaterial, buildSelfSignedAuthority, decodeAuthority } from "./authority-material.ts";
import type { LeafRefusal } from "./issue-leaf.ts";
import { trustedRootsPem } from "./key-slots.ts";
import type { KeyStore, StoredSlots } from "./key-store.ts";
import { inlineLeafSigner, type LeafSigner } from "./leaf-signer.ts";

export interface LeafRequest {
	/** The authenticated caller; nothing else decides what the certificate says. */
	readonly identity: SpiffeId;
	readonly csrPem: string;
	/** 0 asks for the default. */
	readonly ttlMs: number;
	readonly dnsNames?: readonly string[];
	readonly ipAddresses?: readonly string[];
	/** Which of several signers; undefined: the usual one. */
	readonly certSigner?: string;
	/** Whoever asked waits no longer: what somebody else is to sign is given up. */
	readonly signal?: AbortSignal;
}

export interface IssuedLeaf {
	/** PEM each: leaf, then intermediates, without the root. */
	readonly chainPem: readonly string[];
	/** Hexadecimal. */
	readonly serialNumber: string;
	readonly notAfterMs: number;
}

export type LeafIssue = { readonly ok: true; readonly value: IssuedLeaf } | LeafRefusal;

/** What an authority stands on at one moment. */
export interface AuthorityState extends StoredSlots {
	readonly material: AuthorityMaterial;
	/** Every root that is trusted now. */
	readonly trustBundle: TrustBundle;
	/** Names the bundle: a hash of its roots. */
	readonly bundleId: string;
}

/** Whoever gives out certificates of the mesh: an authority of our own, or somebody behind us. */
export interface LeafIssuer {
	readonly trustDomain: string;
	/** Every trusted root, PEM; during a rotation several. */
	readonly trustBundlePem: string;
	readonly rootNotAfterMs: number;
	readonly chainNotAfterMs: number;
	readonly leafTtlMsMax: number;
	readonly leafTtlMs: number;
	/** May a request name its signer? */
	readonly hasNamedSigners: boolean;
	/** Refuses lifetimes above the maximum, and whatever it cannot vouch for. */
	issueLeaf(request: LeafRequest): Promise<LeafIssue>;
	/** Called after the signer or the trusted roots changed. Returns the way to stop. */
	onChanged(listener: (change: AuthorityChange) => void): () => void;
}

/** template → sign → verify own output, with a key of our own. It refuses everything once that has expired. */
export interface CertificateAuthority extends LeafIssuer {
	readonly state: AuthorityState;
	/** Of the longest-lived leaf that was given out since the start and that outlives the default. */
	readonly leavesUntilMs: number;
	/**
	 * Signs with what is stored there from now on, and trusts it. Refuses what does not belong together: the present signer then
	 * goes on. The value: is anything different?
	 */
	adopt(stored: StoredSlots): Checked<boolean>;
}

export interface AuthorityChange {
	readonly roots: boolean;
	readonly signer: boolean;
	readonly crl: boolean;
}

export interface CertificateAuthorityOptions {
	readonly store: KeyStore;
	readonly clock: Clock;
	readonly logger: Logger;
	/** Default `cluster.local`. */
	readonly trustDomain?: string;
	/** Of a new self-signed root; default `rsa-2048`, as Istio's. */
	readonly rootKeyAlgorithm?: KeyAlgorithm;
	/** Default 24 h. */
	readonly leafTtlMs?: number;
	/** Default 90 days. */
	readonly leafTtlMsMax?: number;
	/** Default: the caller's own thread. */
	readonly leafSigner?: LeafSigner;
}

/** Loads the authority from its store, or makes a self-signed one there. Rejects on a store that is damaged or expired. */
export async function createCertificateAuthority(options: CertificateAuthorityOptions): Promise<CertificateAuthority> {
	const { store, clock, logger, trustDomain = "cluster.local", rootKeyAlgorithm = "rsa-2048" } = options;
	const loaded = await store.load();
	const stored = loaded ?? (await store.create(await buildSelfSignedAuthority({ trustDomain, keyAlgorithm: rootKeyAlgorithm, nowMs: clock.nowMs() })));
	const state = decodeState(stored, clock.nowMs());
	if (!state.ok) throw new Error(`certificate authority: ${state.reason}`);
	const { subject, fingerprint256, validTo } = state.value.material.signer.certificate;
	logger.info(loaded === undefined ? "certificate authority created" : "certificate authority loaded", {
		subject,
		fingerprint: fingerprint256,
		notAfter: validTo,
	});
	return new StoredAuthority(options, trustDomain, state.value);
}

class StoredAuthority implements CertificateAuthority {
	readonly hasNamedSigners = false;
	readonly trustDomain: string;
	readonly #options: CertificateAuthorityOptions;
	readonly #listeners = new Set<(change: AuthorityChange) => void>();
	#state: AuthorityState;
	#leavesUntilMs = 0;

	constructor(options: CertificateAuthorityOptions, trustDomain: string, state: AuthorityState) {
		this.#options = options;
		this.trustDomain = trustDomain;
		this.#state = state;
	}

	get state(): AuthorityState {
		return this.#state;
	}

	get trustBundlePem(): string {
		return this.#state.trustBundle.pem;
	}

	get rootNotAfterMs(): number {
		return Math.min(...this.#state.material.trustBundle.roots.map((root) => root.validToDate.getTime()));
	}

	get chainNotAfterMs(): number {
		return this.#state.material.notAfterMs;
	}

	get leafTtlMs(): number {
		return this.#options.leafTtlMs ?? leafTtlMs;
	}

	get leafTtlMsMax(): number {
		return this.#options.leafTtlMsMax ?? leafTtlMsMax;
	}

	get leavesUntilMs(): number {
		return this.#leavesUntilMs;
	}

	async issueLeaf({ identity, csrPem, ttlMs, dnsNames = [], ipAddresses = [] }: LeafRequest): Promise<LeafIssue> {
		const { clock, leafSigner = inlineLeafSigner } = this.#options;
		const { signer, notAfterMs, intermediatesPem } = this.#state.material;
		const nowMs = clock.nowMs();
		const leaf = await leafSigner.sign(signer, {
			csrPem,
			subjectAltNames: { uris: [formatSpiffeId(identity)], dnsNames, ipAddresses },
			serialNumber: randomBytes(16),
			nowMs,
			ttlMs,
			ttlMsDefault: this.#options.leafTtlMs,
			ttlMsMax: this.#options.leafTtlMsMax,
			signerNotAfterMs: notAfterMs,
		});
		if (!leaf.ok) return leaf;
		const { pem, serialNumber } = leaf.value;
		if (leaf.value.notAfterMs > nowMs + this.leafTtlMs) this.#leavesUntilMs = Math.max(this.#leavesUntilMs, leaf.value.notAfterMs);
		return { ok: true, value: { chainPem: [pem, ...intermediatesPem], serialNumber, notAfterMs: leaf.value.notAfterMs } };
	}

	adopt(stored: StoredSlots): Checked<boolean> {
		const { clock, logger } = this.#options;
		if (stored.revision === this.#state.revision) return accepted(false);
		const next = decodeState(stored, clock.nowMs());
		if (!next.ok) return next;
		const before = this.#state;
		const { certificate } = next.value.material.signer;
		const change = {
			roots: next.value.bundleId !== before.bundleId,
			signer: certificate.fingerprint256 !== before.material.signer.certificate.fingerprint256,
			crl: (next.value.slots.current.crlPem ?? "") !== (before.slots.current.crlPem ?? ""),
		};
		// The same signer stays the same object: what has been made of it, such as a thread's copy, stays valid.
		this.#state = change.signer ? next.value : { ...next.value, material: { ...next.value.material, signer: before.material.signer } };
		if (!change.roots && !change.signer && !change.crl) return accepted(false);
		const { subject, fingerprint256, validTo } = certificate;
		const trusted = next.value.trustBundle.roots.length;
		logger.info("certificate authority reloaded", { subject, fingerprint: fingerprint256, notAfter: validTo, trusted, newRoots: change.roots });
		for (const listener of this.#listeners) listener(change);
		return accepted(true);
	}

	onChanged(listener: (change: AuthorityChange) => void): () => void {
		this.#listeners.add(listener);
		return () => void this.#listeners.delete(listener);
	}
}

function decodeState(stored: StoredSlots, nowMs: number): Checked<AuthorityState> {
	const { current, next } = stored.slots;
	const material = decodeAuthority(current, nowMs);
	if (!material.ok) return material;
	const prepared = next === undefined ? accepted(undefined) : decodeAuthority(next.authority, nowMs);
	if (!prepared.ok) return refused(`next root: ${prepared.reason}`);
	const trustBundle = decodeTrustBundle(trustedRootsPem(stored.slots));
	if (!trustBundle.ok) return trustBundle;
	return accepted({ ...stored, material: material.value, trustBundle: trustBundle.value, bundleId: bundleIdOf(trustBundle.value) });
}

function bundleIdOf({ roots }: TrustBundle): string {
	const fingerprints = roots.map((root) => root.fingerprint256).sort();
	return createHash("sha256").update(fingerprints.join()).digest("hex").slice(0, 16);
}

export interface KeyedLeaf extends IssuedLeaf {
	readonly privateKeyPem: string;
}

/** A leaf with a key born here, for the control plane's own servers. */
export async function issueKeyedLeaf(issuer: Pick<LeafIssuer, "issueLeaf">, request: Omit<LeafRequest, "csrPem">): Promise<Checked<KeyedLeaf>> {
	const { identity, dnsNames = [], ipAddresses = [] } = request;
	const keys = await generateKeys();
	const csrPem = buildCsr({ keys, uris: [formatSpiffeId(identity)], dnsNames, ipAddresses });
	const leaf = await issuer.issueLeaf({ ...request, csrPem });
	return leaf.ok ? accepted({ ...leaf.value, privateKeyPem: encodePrivateKey(keys.privateKey) }) : leaf;
}
