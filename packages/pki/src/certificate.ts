import type { KeyObject, X509Certificate } from "node:crypto";
import { readCertificate } from "./certificate-fields.ts";
import { type DerNode, der, embedDer, encodeDer } from "./der.ts";
import {
	authorityKeyIdExtension,
	basicConstraintsExtension,
	extKeyUsageExtension,
	keyIdOf,
	keyUsageExtension,
	subjectAltNameExtension,
	subjectKeyIdExtension,
} from "./extensions.ts";
import { oids } from "./oids.ts";
import { encodePem } from "./pem.ts";
import { signatureAlgorithmOf, signDer } from "./signature.ts";
import type { CertificateTemplate } from "./template.ts";

/** Who signs: an authority's certificate with its key. */
export interface Signer {
	readonly certificate: X509Certificate;
	readonly privateKey: KeyObject;
}

interface Issuer {
	readonly name: DerNode;
	readonly keyId: Uint8Array;
	readonly privateKey: KeyObject;
}

/** Signs a template as `signer`; PEM. Throws only when the signer itself is no readable certificate. */
export function signCertificate(template: CertificateTemplate, signer: Signer): string {
	const fields = readCertificate(signer.certificate);
	if (!fields.ok) throw new TypeError(`signer's ${fields.reason}`);
	const { subjectDer, subjectKeyId, publicKeyDer } = fields.value;
	return issue(template, { name: embedDer(subjectDer), keyId: subjectKeyId ?? keyIdOf(publicKeyDer), privateKey: signer.privateKey });
}

/** Signs a template with the very key it certifies; PEM. */
export function signSelf(template: CertificateTemplate, privateKey: KeyObject): string {
	return issue(template, { name: subjectOf(template), keyId: keyIdOf(template.publicKeyDer), privateKey });
}

function issue(template: CertificateTemplate, issuer: Issuer): string {
	const algorithm = signatureAlgorithmOf(issuer.privateKey);
	const tbs = der.sequence(
		der.context(0, der.integer(Uint8Array.of(2))), // X.509 version 3
		der.integer(template.serialNumber),
		algorithm,
		issuer.name,
		der.sequence(der.time(template.notBeforeMs), der.time(template.notAfterMs)),
		subjectOf(template),
		embedDer(template.publicKeyDer),
		der.context(3, der.sequence(...extensionsOf(template, issuer))),
	);
	const signature = signDer(encodeDer(tbs), issuer.privateKey);
	return encodePem("CERTIFICATE", encodeDer(der.sequence(tbs, algorithm, der.bitString(signature))));
}

function subjectOf({ organization }: CertificateTemplate): DerNode {
	if (organization === undefined) return der.sequence();
	return der.sequence(der.set(der.sequence(der.oid(oids.organizationName), der.utf8String(organization))));
}

function extensionsOf(template: CertificateTemplate, issuer: Issuer): readonly DerNode[] {
	if (template.kind === "authority") {
		return [keyUsageExtension(true), basicConstraintsExtension(true), subjectKeyIdExtension(keyIdOf(template.publicKeyDer))];
	}
	return [
		keyUsageExtension(false),
		extKeyUsageExtension(),
		basicConstraintsExtension(false),
		authorityKeyIdExtension(issuer.keyId),
		subjectAltNameExtension(template.subjectAltNames),
	];
}
