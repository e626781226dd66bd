import { X509Certificate } from "node:crypto";
import type { Signer } from "./certificate.ts";
import { authorityUsages, type CertificateFields, readCertificate } from "./certificate-fields.ts";
import { verifyChain } from "./chain.ts";
import { accepted, type Checked, checkedCall, refused } from "./checked.ts";
import { addressBytes, type SubjectAltNames } from "./extensions.ts";
import { oids } from "./oids.ts";
import type { CertificateTemplate } from "./template.ts";

const sameNames = (got: readonly string[], wanted: readonly string[]): boolean => got.length === wanted.length && got.every((name, i) => name === wanted[i]);

interface Issued {
	readonly certificate: X509Certificate;
	readonly fields: CertificateFields;
	readonly template: CertificateTemplate;
	readonly signer: Signer;
}

// Every line is something a bug in the encoder could get wrong and a client would have to pay for.
const checks: readonly (readonly [wrong: string, holds: (issued: Issued) => boolean])[] = [
	["it is not issued by the signer", ({ certificate, signer }) => certificate.checkIssued(signer.certificate)],
	["its signature does not verify", ({ certificate, signer }) => certificate.verify(signer.certificate.publicKey)],
	["it is an authority", ({ certificate, fields }) => !certificate.ca && !fields.authority],
	["its subject is not empty", ({ fields }) => fields.subjectEmpty],
	["its SAN is not critical", ({ fields }) => fields.sanCritical],
	["its URI SANs differ", ({ fields, template }) => sameNames(fields.uris, template.subjectAltNames.uris)],
	["its DNS SANs differ", ({ fields, template }) => sameNames(fields.dnsNames, template.subjectAltNames.dnsNames)],
	["its IP SANs differ", ({ fields, template }) => sameNames(fields.ipAddresses, template.subjectAltNames.ipAddresses.map(hex))],
	["it has SANs of other kinds", ({ fields }) => fields.otherNames === 0],
	["its public key differs", ({ fields, template }) => fields.publicKeyDer.equals(template.publicKeyDer)],
	["its key usage differs", ({ fields }) => fields.keyUsage === 0xa0],
	["its extended key usage differs", ({ fields }) => sameNames(fields.extKeyUsages, [oids.serverAuth, oids.clientAuth])],
	["its serial number differs", ({ certificate, template }) => BigInt(`0x${certificate.serialNumber}`) === serialOf(template)],
	["its start differs", ({ certificate, template }) => certificate.validFromDate.getTime() === template.notBeforeMs],
	["its end differs", ({ certificate, template }) => certificate.validToDate.getTime() === template.notAfterMs],
	["it outlives its signer", ({ certificate, signer }) => certificate.validToDate <= signer.certificate.validToDate],
];

const hex = (address: string): string => addressBytes(address).toString("hex");
const serialOf = ({ serialNumber }: CertificateTemplate): bigint => BigInt(`0x${Buffer.from(serialNumber).toString("hex")}`);

/** Reads a leaf back and holds it against its template, before it leaves the authority. The refusal names what is wrong. */
export function verifyOwnOutput(pem: string, template: CertificateTemplate, signer: Signer): Checked<X509Certificate> {
	const certificate = checkedCall("issued certificate is unreadable", () => new X509Certificate(pem));
	if (!certificate.ok) return certificate;
	const fields = readCertificate(certificate.value);
	if (!fields.ok) return refused(`issued ${fields.reason}`);
	const issued = { certificate: certificate.value, fields: fields.value, template, signer };
	const broken = checks.find(([, holds]) => !holds(issued));
	return broken === undefined ? accepted(certificate.value) : refused(`issued certificate does not hold: ${broken[0]}`);
}

/** What a certificate that somebody else signs has to be. */
export interface WantedCertificate {
	readonly publicKeyDer: Buffer;
	readonly subjectAltNames: SubjectAltNames;
}

const foreignChecks: readonly (readonly [
	wrong: string,
	holds: (issued: Pick<Issued, "certificate" | "fields"> & { readonly wanted: WantedCertificate }) => boolean,
])[] = [
	["its public key differs", ({ fields, wanted }) => fields.publicKeyDer.equals(wanted.publicKeyDer)],
	["it is an authority", ({ certificate, fields }) => !certificate.ca && !fields.authority && ((fields.keyUsage ?? 0) & authorityUsages) === 0],
	["its URI SANs differ", ({ fields, wanted }) => sameNames(fields.uris, wanted.subjectAltNames.uris)],
	["its DNS SANs differ", ({ fields, wanted }) => sameNames(fields.dnsNames.toSorted(), wanted.subjectAltNames.dnsNames.toSorted())],
	["its IP SANs differ", ({ fields, wanted }) => sameNames(fields.ipAddresses.toSorted(), wanted.subjectAltNames.ipAddresses.map(hex).toSorted())],
	["it has SANs of other kinds", ({ fields }) => fields.otherNames === 0],
	["it is not for servers", ({ fields }) => isFor(fields, oids.serverAuth)],
	["it is not for clients", ({ fields }) => isFor(fields, oids.clientAuth)],
];

/** Without the extension a certificate is for everything (RFC 5280 §4.2.1.12). */
const isFor = ({ extKeyUsages }: CertificateFields, usage: string): boolean => extKeyUsages.length === 0 || extKeyUsages.includes(usage);

/** Holds what another signer gave (leaf first) against what was asked of it and against its roots. Value: the leaf. */
export function verifyForeignOutput(
	chain: readonly X509Certificate[],
	roots: readonly X509Certificate[],
	wanted: WantedCertificate,
	nowMs: number,
): Checked<X509Certificate> {
	const [certificate] = chain;
	if (certificate === undefined) return refused("there is no certificate in what was signed");
	const fields = readCertificate(certificate);
	if (!fields.ok) return refused(`issued ${fields.reason}`);
	const broken = foreignChecks.find(([, holds]) => !holds({ certificate, fields: fields.value, wanted }));
	if (broken !== undefined) return refused(`issued certificate does not hold: ${broken[0]}`);
	const verified = verifyChain({ chain, roots, nowMs });
	return verified.ok ? accepted(certificate) : refused(`issued certificate does not hold: ${verified.reason}`);
}
