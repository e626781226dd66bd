import { bool, labels, list, obj, oneOf, opt, type StaticOf, text } from "./builders.ts";
import { portSchema, tlsProtocolSchema } from "./common.ts";

// https://istio.io/latest/docs/reference/config/networking/gateway/

const tlsCertificateSchema = obj({ serverCertificate: opt(text()), privateKey: opt(text()), caCertificates: opt(text()) });

export const serverTlsModes = ["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"] as const;
export const serverTlsSchema = obj({
	httpsRedirect: opt(bool()),
	mode: opt(oneOf(serverTlsModes)),
	serverCertificate: opt(text()),
	privateKey: opt(text()),
	caCertificates: opt(text()),
	caCrl: opt(text()),
	credentialName: opt(text()),
	credentialNames: opt(list(text())),
	caCertCredentialName: opt(text()),
	tlsCertificates: opt(list(tlsCertificateSchema)),
	subjectAltNames: opt(list(text())),
	verifyCertificateSpki: opt(list(text())),
	verifyCertificateHash: opt(list(text())),
	minProtocolVersion: opt(tlsProtocolSchema),
	maxProtocolVersion: opt(tlsProtocolSchema),
	cipherSuites: opt(list(text())),
});
export type ServerTLSSettings = StaticOf<typeof serverTlsSchema>;

const serverSchema = obj({
	port: portSchema,
	bind: opt(text()),
	hosts: list(text()),
	tls: opt(serverTlsSchema),
	defaultEndpoint: opt(text()),
	name: opt(text()),
});
export type Server = StaticOf<typeof serverSchema>;

export const gatewaySchema = obj({ servers: opt(list(serverSchema)), selector: opt(labels()) });
export type GatewaySpec = StaticOf<typeof gatewaySchema>;
