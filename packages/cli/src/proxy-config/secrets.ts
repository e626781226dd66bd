import { X509Certificate } from "node:crypto";
import { at, isMap, type Json, type JsonMap, type ProxyDump, textAt } from "./dump.ts";
import type { ProxyTable } from "./table.ts";

/** Every certificate that the proxy holds. `now` decides which are valid. */
export function secretTable({ secrets }: ProxyDump, now: Date): ProxyTable {
	return {
		head: ["RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"],
		rows: secrets.flatMap(({ secret, state }) => {
			const { type, source } = typeOf(secret);
			return certificatesOf(source).map((certificate) => [textAt(secret, "name"), type, state, ...describeCertificate(certificate, now)]);
		}),
		resources: secrets.map(({ entry }) => entry),
	};
}

function typeOf(secret: JsonMap): { readonly type: string; readonly source: Json } {
	const certificate = at(secret, "tls_certificate");
	return isMap(certificate)
		? { type: "Cert Chain", source: at(certificate, "certificate_chain") }
		: { type: "CA", source: at(secret, "validation_context", "trusted_ca") };
}

/** PEM out of a DataSource; an empty list where it is in a file of the proxy. */
function certificatesOf(source: Json): readonly string[] {
	const bytes = textAt(source, "inline_bytes");
	const text = bytes === "" ? textAt(source, "inline_string") : Buffer.from(bytes, "base64").toString();
	return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

function describeCertificate(pem: string, now: Date): string[] {
	try {
		const { serialNumber, validFromDate, validToDate } = new X509Certificate(pem);
		const valid = validFromDate <= now && now < validToDate;
		return [String(valid), serialNumber.toLowerCase().replace(/^0+(?=.)/, ""), seconds(validToDate), seconds(validFromDate)];
	} catch {
		return ["false", "", "", ""];
	}
}

const seconds = (date: Date) => date.toISOString().replace(/\.\d+Z$/, "Z");
