import { constants, X509Certificate } from "node:crypto";
import type { SecureContext } from "node:tls";
import type { CertificateSource, Secret, TlsParams, TrustSource } from "../../config/tls.ts";
import { keyOf } from "../../config/resource-source.ts";
import { chooseCertificates, type KeyPair } from "./certificate-choice.ts";
import { nodeTls } from "./node-tls.ts";
import { type LocalIdentity, readLocalIdentity } from "./peer-identity.ts";

export type SecretMap = ReadonlyMap<string, Secret>;

export interface SecureContextInputs {
	readonly params: TlsParams;
	readonly certificates: readonly CertificateSource[];
	readonly trust: TrustSource | undefined;
	/** Servers that ask for client certificates need one to resume sessions (SSL_CTX_set_session_id_context). */
	readonly sessionIdContext?: string;
	/** Servers: which of several certificates is wanted. */
	readonly serverName?: string;
	/** Servers: sessions are not put into tickets. */
	readonly hasNoTickets?: boolean;
}

export type Resolved<T> = { readonly kind: "ready"; readonly value: T } | { readonly kind: "missing"; readonly secret: string };

interface Material {
	readonly cert: string[];
	readonly key: string[];
	readonly ca: string | undefined;
	readonly crl: string | undefined;
}

/** A secret that has not arrived means no connection at all: never one without it. */
function resolveMaterial({ certificates, trust, serverName = "" }: SecureContextInputs, secrets: SecretMap): Resolved<Material> {
	const pairs: KeyPair[] = [];
	for (const source of certificates) {
		const found = source.kind === "inline" ? source : secrets.get(keyOf(source))?.certificate;
		if (found === undefined) return { kind: "missing", secret: source.kind === "secret" ? source.name : "" };
		pairs.push(found);
	}
	const chosen = chooseCertificates(pairs, serverName);
	const [cert, key] = [chosen.map(({ certChainPem }) => certChainPem), chosen.map(({ privateKeyPem }) => privateKeyPem)];
	if (trust === undefined) return { kind: "ready", value: { cert, key, ca: undefined, crl: undefined } };
	if (trust.kind === "system") return { kind: "ready", value: { cert, key, ca: nodeTls().rootCertificates.join("\n"), crl: undefined } };
	// Without an authority the peer is known by the hash of its certificate.
	if (trust.kind === "inline") return { kind: "ready", value: { cert, key, ca: trust.caPem || undefined, crl: trust.crlPem || undefined } };
	const found = secrets.get(keyOf(trust))?.validation;
	if (found === undefined || found.caPem === "") return { kind: "missing", secret: trust.name };
	return { kind: "ready", value: { cert, key, ca: found.caPem, crl: found.crlPem || undefined } };
}

/** Envoy's, for TLS 1.2: forward secret and authenticated. The suites of TLS 1.3 are OpenSSL's. */
const ciphersDefault = ["AES128-GCM-SHA256", "CHACHA20-POLY1305", "AES256-GCM-SHA384"].flatMap((c) => [`ECDHE-ECDSA-${c}`, `ECDHE-RSA-${c}`]).join(":");

/** A change of secrets makes a new cache; contexts of the same inputs (all of a mesh's clusters) are one. */
const contextsMax = 1024;

/** Of contexts with one certificate: reading it anew from each connection takes a twentieth of a handshake. */
const localIdentities = new WeakMap<SecureContext, LocalIdentity>();

/** undefined: the context has several certificates, or none, and the connection knows which. */
export function localIdentityOf(context: SecureContext): LocalIdentity | undefined {
	return localIdentities.get(context);
}

export class SecureContexts {
	readonly #known = new Map<string, SecureContext>();

	/** Throws what OpenSSL says of unusable certificates or keys. */
	resolve(inputs: SecureContextInputs, secrets: SecretMap): Resolved<SecureContext> {
		const material = resolveMaterial(inputs, secrets);
		if (material.kind === "missing") return material;
		const { cert, key, ca, crl } = material.value;
		const id = JSON.stringify([inputs.params, cert, key, ca, crl, inputs.hasNoTickets]);
		let context = this.#known.get(id);
		if (context === undefined) {
			const { minVersion, maxVersion, ciphers, curves, signatures } = inputs.params;
			context = nodeTls().createSecureContext({
				cert,
				key,
				// An empty list, not the public authorities, when nothing is trusted.
				ca: ca ?? [],
				...(crl === undefined ? {} : { crl }),
				minVersion,
				maxVersion,
				ciphers: ciphers || ciphersDefault,
				...(curves === "" ? {} : { ecdhCurve: curves }),
				...(signatures === undefined ? {} : { sigalgs: signatures }),
				...(inputs.hasNoTickets === true ? { secureOptions: constants.SSL_OP_NO_TICKET } : {}),
				...(inputs.sessionIdContext === undefined ? {} : { sessionIdContext: inputs.sessionIdContext }),
			});
			const [only, another] = cert;
			if (only && another === undefined) localIdentities.set(context, readLocalIdentity(new X509Certificate(only)));
			if (this.#known.size >= contextsMax) this.#known.clear();
			this.#known.set(id, context);
		}
		return { kind: "ready", value: context };
	}
}

/** Server names whose context is remembered: clients may say any. */
const namesMax = 256;

/** Throws what OpenSSL says of unusable certificates or keys. `secrets`: another map when any of them is another. */
export type SecureContextFinder = (secrets: SecretMap, serverName?: string) => Resolved<SecureContext>;

/** Finds the context of each connection of one configuration, which is the same one while the secrets are. */
export function createContextFinder(contexts: SecureContexts, inputs: Omit<SecureContextInputs, "serverName">): SecureContextFinder {
	let seen: SecretMap | undefined;
	const known = new Map<string, Resolved<SecureContext>>();
	return (secrets, serverName = "") => {
		if (seen !== secrets || known.size >= namesMax) known.clear();
		seen = secrets;
		// The name chooses among certificates.
		const name = inputs.certificates.length > 1 ? serverName : "";
		let found = known.get(name);
		if (found === undefined) known.set(name, (found = contexts.resolve({ ...inputs, serverName }, secrets)));
		return found;
	};
}
