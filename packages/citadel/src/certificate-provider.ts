import { experimental, type ServerCredentials } from "@grpc/grpc-js";
import type { KeyedLeaf } from "./certificate-authority.ts";

type CertificateProvider = experimental.CertificateProvider;

/** What a gRPC server presents and trusts, to be changed while it serves. */
export interface ServingCertificate extends CertificateProvider {
	update(leaf: Pick<KeyedLeaf, "chainPem" | "privateKeyPem">): void;
	/** The trusted roots are others now. */
	updateRoots(): void;
}

/** TLS that asks for a client certificate and does not demand one: the ordinary createSsl does either the one or the other. */
export function createServerCredentials(provider: ServingCertificate): ServerCredentials {
	return experimental.createCertificateProviderServerCredentials(provider, provider, false);
}

/** Feeds @grpc/grpc-js; a listener hears the present value after the caller's turn, as it registers itself before it listens. */
export function createCertificateProvider(trustBundlePem: () => string): ServingCertificate {
	const listeners = new Set<experimental.IdentityCertificateUpdateListener>();
	const authorities = new Set<experimental.CaCertificateUpdateListener>();
	const roots = () => ({ caCertificate: Buffer.from(trustBundlePem()) });
	let identity: experimental.IdentityCertificateUpdate | null = null;
	return {
		update({ chainPem, privateKeyPem }) {
			identity = { certificate: Buffer.from(chainPem.join("")), privateKey: Buffer.from(privateKeyPem) };
			for (const listener of listeners) listener(identity);
		},
		updateRoots() {
			for (const listener of authorities) listener(roots());
		},
		addCaCertificateListener(listener) {
			authorities.add(listener);
			process.nextTick(() => authorities.has(listener) && listener(roots()));
		},
		removeCaCertificateListener: (listener) => void authorities.delete(listener),
		addIdentityCertificateListener(listener) {
			listeners.add(listener);
			process.nextTick(() => listeners.has(listener) && listener(identity));
		},
		removeIdentityCertificateListener: (listener) => void listeners.delete(listener),
	};
}
