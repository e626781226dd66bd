import { X509Certificate } from "node:crypto";
import type { AdminContext, AdminReply, AdminRequest } from "./routes.ts";

// Not from the pki package: its DER library would weigh in every proxy, for one admin page.
const splitCertificates = (pem: string) => pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];

const dayMs = 24 * 60 * 60 * 1000;

/** `/certs`: envoy.admin.v3.Certificates of the secrets in force. */
export function showCertificates(_: AdminRequest, { clock, store }: AdminContext): AdminReply {
	const details = (pem: string, path: string) => splitCertificates(pem).flatMap((one) => detailsOf(one, path, clock.nowMs()));
	const certificates = [...store.inForce.secrets.values()].map(({ name, certificate, validation }) => ({
		ca_cert: validation ? details(validation.caPem, `<secret ${name}>`) : [],
		cert_chain: certificate ? details(certificate.certChainPem, `<secret ${name}>`) : [],
	}));
	return { type: "application/json", body: `${JSON.stringify({ certificates }, undefined, 1)}\n` };
}

function detailsOf(pem: string, path: string, nowMs: number): readonly object[] {
	try {
		const certificate = new X509Certificate(pem);
		const expiresMs = Date.parse(certificate.validTo);
		const names = (certificate.subjectAltName ?? "").split(", ").filter(Boolean);
		return [
			{
				path,
				serial_number: certificate.serialNumber.toLowerCase(),
				subject_alt_names: names.map((name) =>
					name.startsWith("URI:") ? { uri: name.slice(4) } : name.startsWith("DNS:") ? { dns: name.slice(4) } : { ip_address: name.replace(/^[^:]*:/, "") },
				),
				days_until_expiration: String(Math.max(0, Math.floor((expiresMs - nowMs) / dayMs))),
				valid_from: new Date(certificate.validFrom).toISOString(),
				expiration_time: new Date(expiresMs).toISOString(),
			},
		];
	} catch {
		// Shown as absent: a certificate that cannot be read serves nobody either.
		return [];
	}
}
