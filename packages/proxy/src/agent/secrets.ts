import { createHash } from "node:crypto";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import type { WorkloadCertificate } from "./workload-certificate.ts";

export const secretTypeUrl = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/** One secret as it goes on the wire; the version is a hash of its bytes, so that an unchanged one is not sent again. */
export interface SecretResource {
	readonly name: string;
	readonly version: string;
	readonly value: Uint8Array;
}

/** By name: `default` is the workload's certificate and key, `ROOTCA` what peers must lead to, as Istio's agent names them. */
export type SecretSet = ReadonlyMap<string, SecretResource>;

/** @param crlPem revocation lists that peers are held against; "" : none */
export function buildSecrets({ certChainPem, privateKeyPem, rootsPem }: WorkloadCertificate, crlPem = ""): SecretSet {
	const inline = (pem: string) => ({ inlineBytes: Buffer.from(pem) });
	return new Map(
		[
			Secret.create({
				name: "default",
				tlsCertificate: { certificateChain: inline(certChainPem), privateKey: inline(privateKeyPem) },
			}),
			Secret.create({ name: "ROOTCA", validationContext: { trustedCa: inline(rootsPem), ...(crlPem !== "" && { crl: inline(crlPem) }) } }),
		].map((secret) => [secret.name, resourceOf(secret)]),
	);
}

export const secretNames: ReadonlySet<string> = new Set(["default", "ROOTCA"]);

export function resourceOf(secret: Secret): SecretResource {
	const value = Secret.encode(secret).finish();
	return { name: secret.name, value, version: createHash("sha256").update(value).digest("hex").slice(0, 16) };
}
