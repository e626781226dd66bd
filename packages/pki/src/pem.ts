// Linear on any input: the body ends at the first dash, which it cannot contain.
const block = /-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]*)-----END \1-----/g;

export interface PemBlock {
	readonly label: string;
	readonly der: Buffer;
}

/** Every PEM block of `text` in order (RFC 7468). What stands between the blocks is explanatory text and is passed over. */
export function splitPem(text: string): readonly PemBlock[] {
	return Array.from(text.matchAll(block), ([, label = "", body = ""]) => ({ label, der: Buffer.from(body, "base64") }));
}

/** One PEM block with lines of 64 characters and a newline at its end. */
export function encodePem(label: string, der: Uint8Array): string {
	const lines =
		Buffer.from(der)
			.toString("base64")
			.match(/.{1,64}/g) ?? [];
	return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** The certificates of a PEM text, one PEM string each. */
export function splitCertificates(text: string): readonly string[] {
	return splitPem(text)
		.filter((b) => b.label === "CERTIFICATE")
		.map((b) => encodePem(b.label, b.der));
}
