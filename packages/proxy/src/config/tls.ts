/** TLS towards clients and hosts, and the secrets that it needs. */

import type { StringMatch } from "./matchers.ts";
import type { ResourceReference } from "./resource-source.ts";

export interface TlsParams {
	readonly minVersion: "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";
	readonly maxVersion: "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";
	/** OpenSSL names, colon-joined; "" : the default. */
	readonly ciphers: string;
	/** Groups of the key exchange, likewise. */
	readonly curves: string;
	/** Algorithms of signatures, likewise; absent: the default. */
	readonly signatures?: string;
}

/** Of a secret that arrives by SDS. */
export type SecretSource = { readonly kind: "secret" } & ResourceReference;

/** A certificate and key: in line, or a secret's. */
export type CertificateSource = { readonly kind: "inline"; readonly certChainPem: string; readonly privateKeyPem: string } | SecretSource;

export type TrustSource = { readonly kind: "inline"; readonly caPem: string; readonly crlPem: string } | SecretSource | { readonly kind: "system" };

export interface SanMatch {
	readonly type: "uri" | "dns" | "email" | "ip" | "any";
	readonly match: StringMatch;
}

export interface PeerValidation {
	readonly trust: TrustSource;
	/** Empty: any name that the trust anchors vouch for. */
	readonly sans: readonly SanMatch[];
	/** Hex SHA-256 of the certificate, or base64 of its SPKI. */
	readonly certificateHashes: readonly string[];
	readonly spkiHashes: readonly string[];
	readonly acceptUntrusted: boolean;
}

export interface DownstreamTls {
	readonly params: TlsParams;
	readonly alpn: readonly string[];
	readonly certificates: readonly CertificateSource[];
	readonly validation: PeerValidation | undefined;
	readonly requireClientCertificate: boolean;
	/** No session tickets. */
	readonly disableStatelessResumption: boolean;
}

export interface UpstreamTls {
	readonly params: TlsParams;
	readonly alpn: readonly string[];
	readonly certificates: readonly CertificateSource[];
	readonly validation: PeerValidation | undefined;
	readonly sni: string;
	/** auto_sni and auto_san_validation of the cluster. */
	readonly autoSni: boolean;
	readonly autoSanValidation: boolean;
}

export interface Secret {
	readonly name: string;
	readonly certificate: { readonly certChainPem: string; readonly privateKeyPem: string } | undefined;
	readonly validation: { readonly caPem: string; readonly crlPem: string } | undefined;
}
