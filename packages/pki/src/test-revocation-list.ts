import { readCertificate } from "./certificate-fields.ts";
import type { Signer } from "./certificate.ts";
import { der, embedDer, encodeDer } from "./der.ts";
import { encodePem } from "./pem.ts";
import { signatureAlgorithmOf, signDer } from "./signature.ts";

/**
 * A revocation list (RFC 5280 §5) as the owner of a plugged-in CA would make it, for tests; PEM.
 *
 * @param serialNumbers hexadecimal, as node:crypto gives them
 */
export function signTestRevocationList(signer: Signer, serialNumbers: readonly string[], nowMs: number): string {
	const fields = readCertificate(signer.certificate);
	if (!fields.ok) throw new TypeError(fields.reason);
	const algorithm = signatureAlgorithmOf(signer.privateKey);
	const revoked = serialNumbers.map((serial) =>
		der.sequence(der.integer(Buffer.from(serial.padStart(serial.length + (serial.length % 2), "0"), "hex")), der.time(nowMs)),
	);
	const list = der.sequence(
		der.integer(Uint8Array.of(1)), // version 2
		algorithm,
		embedDer(fields.value.subjectDer),
		der.time(nowMs - 60_000),
		der.time(nowMs + 86_400_000),
		...(revoked.length === 0 ? [] : [der.sequence(...revoked)]),
	);
	const signature = signDer(encodeDer(list), signer.privateKey);
	return encodePem("X509 CRL", encodeDer(der.sequence(list, algorithm, der.bitString(signature))));
}
