import { randomBytes } from "node:crypto";
import {
	accepted,
	buildLeafTemplate,
	type Checked,
	encodePrivateKey,
	encodePublicKey,
	formatSpiffeId,
	generateKeys,
	type KeyAlgorithm,
	leafTtlMsMax,
	refused,
	type SpiffeId,
	signCertificate,
	verifyOwnOutput,
} from "@weft/pki";
import type { Clock, Logger } from "@weft/runtime";
import { type AuthorityMaterial, type AuthorityPem, buildSelfSignedAuthority, decodeAuthority } from "./authority-material.ts";
import type { KeyStore } from "./key-store.ts";

export interface LeafRequest {
	/** The authenticated caller; nothing else decides what the certificate says. */
	readonly identity: SpiffeId;
	readonly publicKeyDer: Uint8Array;
	/** 0 asks for the default. */
	readonly ttlMs: number;
	readonly dnsNames?: readonly string[];
	readonly ipAddresses?: readonly string[];
}

export interface IssuedLeaf {
	/** PEM each: leaf, then intermediates, without the root. */
	readonly chainPem: readonly string[];
	/** Hexadecimal. */
	readonly serialNumber: string;
	readonly notAfterMs: number;
}

export interface CertificateAuthority {
	readonly trustDomain: string;
	/** Every trusted root, PEM. */
	readonly trustBundlePem: string;
	readonly rootNotAfterMs: number;
	readonly chainNotAfterMs: number;
	readonly leafTtlMsMax: number;
	/** template → sign → verify own output. Refuses lifetimes above the maximum, and anything once the signer has expired. */
	issueLeaf(request: LeafRequest): Checked<IssuedLeaf>;
	/**
	 * Signs with another certificate and key from now on. The roots stay: what is issued under a new root would be trusted by
	 * nobody who has the old one, so that is refused, and the present signer goes on. The value: is anything different?
	 */
	reload(pem: AuthorityPem): Checked<boolean>;
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
}

/** Loads the authority from its store, or makes a self-signed one there. Rejects on a store that is damaged or expired. */
export async function createCertificateAuthority(options: CertificateAuthorityOptions): Promise<CertificateAuthority> {
	const { store, clock, logger, trustDomain = "cluster.local", rootKeyAlgorithm = "rsa-2048" } = options;
	const stored = await store.load();
	const pem = stored ?? (await store.create(await buildSelfSignedAuthority({ trustDomain, keyAlgorithm: rootKeyAlgorithm, nowMs: clock.nowMs() })));
	const decoded = decodeAuthority(pem, clock.nowMs());
	if (!decoded.ok) throw new Error(`certificate authority: ${decoded.reason}`);
	let material = decoded.value;
	const { signer, trustBundle } = material;
	logger.info(stored === undefined ? "certificate authority created" : "certificate authority loaded", {
		subject: signer.certificate.subject,
		fingerprint: signer.certificate.fingerprint256,
		notAfter: signer.certificate.validTo,
	});
	return {
		trustDomain,
		trustBundlePem: trustBundle.pem,
		rootNotAfterMs: Math.min(...trustBundle.roots.map((root) => root.validToDate.getTime())),
		get chainNotAfterMs() {
			return material.notAfterMs;
		},
		leafTtlMsMax: options.leafTtlMsMax ?? leafTtlMsMax,
		issueLeaf: (request) => issueLeaf(material, options, request),
		reload(fresh) {
			const next = decodeAuthority(fresh, clock.nowMs());
			if (!next.ok) return next;
			if (rootsOf(next.value) !== rootsOf(material)) {
				return refused("root-cert.pem holds other roots; a new root needs a restart of the control plane and of every workload");
			}
			const isChanged = next.value.signer.certificate.fingerprint256 !== material.signer.certificate.fingerprint256;
			material = next.value;
			if (isChanged) {
				const { subject, fingerprint256, validTo } = material.signer.certificate;
				logger.info("certificate authority reloaded", { subject, fingerprint: fingerprint256, notAfter: validTo });
			}
			return accepted(isChanged);
		},
	};
}

const rootsOf = ({ trustBundle }: AuthorityMaterial): string =>
	trustBundle.roots
		.map((root) => root.fingerprint256)
		.sort()
		.join();

function issueLeaf(material: AuthorityMaterial, options: CertificateAuthorityOptions, request: LeafRequest): Checked<IssuedLeaf> {
	const { signer, notAfterMs, intermediatesPem } = material;
	const template = buildLeafTemplate({
		subjectAltNames: {
			uris: [formatSpiffeId(request.identity)],
			dnsNames: request.dnsNames ?? [],
			ipAddresses: request.ipAddresses ?? [],
		},
		publicKeyDer: request.publicKeyDer,
		serialNumber: randomBytes(16),
		nowMs: options.clock.nowMs(),
		ttlMs: request.ttlMs,
		ttlMsDefault: options.leafTtlMs,
		ttlMsMax: options.leafTtlMsMax,
		signerNotAfterMs: notAfterMs,
	});
	if (!template.ok) return template;
	const pem = signCertificate(template.value, signer);
	const verified = verifyOwnOutput(pem, template.value, signer);
	if (!verified.ok) return verified;
	return accepted({
		chainPem: [pem, ...intermediatesPem],
		serialNumber: verified.value.serialNumber,
		notAfterMs: template.value.notAfterMs,
	});
}

export interface KeyedLeaf extends IssuedLeaf {
	readonly privateKeyPem: string;
}

/** A leaf with a key born here, for the control plane's own servers. */
export async function issueKeyedLeaf(authority: CertificateAuthority, request: Omit<LeafRequest, "publicKeyDer">): Promise<Checked<KeyedLeaf>> {
	const keys = await generateKeys();
	const leaf = authority.issueLeaf({ ...request, publicKeyDer: encodePublicKey(keys.publicKey) });
	return leaf.ok ? accepted({ ...leaf.value, privateKeyPem: encodePrivateKey(keys.privateKey) }) : leaf;
}
