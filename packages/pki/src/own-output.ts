import { X509Certificate } from "node:crypto";
import type { Signer } from "./certificate.ts";
import { type CertificateFields, readCertificate } from "./certificate-fields.ts";
import { accepted, type Checked, checkedCall, refused } from "./checked.ts";
import { addressBytes } from "./extensions.ts";
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
