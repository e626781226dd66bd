import { validateConstraints } from "@weft/xds";
import type { Secret as SecretMessage } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import type { Secret } from "../tls.ts";
import type { DecodeEnvironment } from "./environment.ts";
import { collect, type Decoded, report, under } from "./issues.ts";
import { decodeCertificate, decodeTrust } from "./tls.ts";

export function decodeSecret(message: SecretMessage, environment: DecodeEnvironment): Decoded<Secret> {
	return collect("", (at) => {
		at.errors.push(...validateConstraints("envoy.extensions.transport_sockets.tls.v3.Secret", message));
		const certificate = message.tlsCertificate && decodeCertificate(under(at, "tlsCertificate"), message.tlsCertificate, environment);
		const trust = message.validationContext && decodeTrust(under(at, "validationContext"), message.validationContext, environment);
		if (message.sessionTicketKeys !== undefined || message.genericSecret !== undefined)
			report(at, "only tls_certificate and validation_context secrets are implemented");
		else if (certificate === undefined && trust?.kind !== "inline") report(at, `secret ${message.name} holds neither a certificate nor trusted_ca`);
		return {
			name: message.name,
			certificate: certificate && { certChainPem: certificate.certChainPem, privateKeyPem: certificate.privateKeyPem },
			validation: trust?.kind === "inline" ? { caPem: trust.caPem, crlPem: trust.crlPem } : undefined,
		};
	});
}
