import { constants } from "node:crypto";
import type { SecureContext } from "node:tls";
import type { CertificateSource, Secret, TlsParams, TrustSource } from "../../config/runtime-config.ts";
import { nodeTls } from "./node-tls.ts";

export type SecretMap = ReadonlyMap<string, Secret>;

export interface SecureContextInputs {
	readonly params: TlsParams;
	readonly certificates: readonly CertificateSource[];
	readonly trust: TrustSource | undefined;
	/** Servers that ask for client certificates need one to resume sessions (SSL_CTX_set_session_id_context). */
	readonly sessionIdContext?: string;
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
function resolveMaterial({ certificates, trust }: SecureContextInputs, secrets: SecretMap): Resolved<Material> {
	const cert: string[] = [];
	const key: string[] = [];
	for (const source of certificates) {
		const found = source.kind === "inline" ? source : secrets.get(source.name)?.certificate;
		if (found === undefined) return { kind: "missing", secret: source.kind === "secret" ? source.name : "" };
		cert.push(found.certChainPem);
		key.push(found.privateKeyPem);
	}
	if (trust === undefined) return { kind: "ready", value: { cert, key, ca: undefined, crl: undefined } };
	if (trust.kind === "system") return { kind: "ready", value: { cert, key, ca: nodeTls().rootCertificates.join("\n"), crl: undefined } };
	const found = trust.kind === "inline" ? trust : secrets.get(trust.name)?.validation;
	if (found === undefined || found.caPem === "") return { kind: "missing", secret: trust.kind === "secret" ? trust.name : "" };
	return { kind: "ready", value: { cert, key, ca: found.caPem, crl: found.crlPem || undefined } };
}

/** A change of secrets makes a new cache; contexts of the same inputs (all of a mesh's clusters) are one. */
const contextsMax = 1024;

export class SecureContexts {
	readonly #known = new Map<string, SecureContext>();

	/** Throws what OpenSSL says of unusable certificates or keys. */
	resolve(inputs: SecureContextInputs, secrets: SecretMap): Resolved<{ readonly context: SecureContext; readonly id: string }> {
		const material = resolveMaterial(inputs, secrets);
		if (material.kind === "missing") return material;
		const { cert, key, ca, crl } = material.value;
		const id = JSON.stringify([inputs.params, cert, key, ca, crl, inputs.hasNoTickets]);
		let context = this.#known.get(id);
		if (context === undefined) {
			const { minVersion, maxVersion, ciphers } = inputs.params;
			context = nodeTls().createSecureContext({
				cert,
				key,
				// An empty list, not the public authorities, when nothing is trusted.
				ca: ca ?? [],
				...(crl === undefined ? {} : { crl }),
				minVersion,
				maxVersion,
				...(ciphers === "" ? {} : { ciphers }),
				...(inputs.hasNoTickets === true ? { secureOptions: constants.SSL_OP_NO_TICKET } : {}),
				...(inputs.sessionIdContext === undefined ? {} : { sessionIdContext: inputs.sessionIdContext }),
			});
			if (this.#known.size >= contextsMax) this.#known.clear();
			this.#known.set(id, context);
		}
		return { kind: "ready", value: { context, id } };
	}
}
