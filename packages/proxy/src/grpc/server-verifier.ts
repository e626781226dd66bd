import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { PeerValidation, SanMatch } from "../config/tls.ts";
import { createCompileContext } from "../data/match/compile-context.ts";
import { compilePeerVerifier } from "../data/tls/peer-identity.ts";
import type { GrpcTls } from "./target.ts";

/** As `validation` says; `name`: a host name or IP address that the server's certificate must have besides, "" : none. */
export function compileServerVerifier(validation: PeerValidation, name: string): GrpcTls["verify"] {
	const isAddress = isIP(name) !== 0;
	const sans: readonly SanMatch[] = isAddress ? [{ type: "ip", match: { kind: "exact", value: name, ignoreCase: true } }] : validation.sans;
	const verify = compilePeerVerifier({ ...validation, sans }, true, createCompileContext());
	return (certificate, chainError) => {
		const verdict = verify({ certificate, chainError }, isAddress ? "" : name);
		if (verdict.kind === "accepted") return undefined;
		switch (verdict.stat) {
			case "ssl.fail_verify_no_cert":
				return "the server has no certificate";
			case "ssl.fail_verify_error":
				return `the server's certificate is not trusted: ${chainError}`;
			case "ssl.fail_verify_cert_hash":
				return "the server's certificate has not the configured hash";
			case "ssl.fail_verify_san":
				return `the server's certificate is for ${namesOf(certificate)}, not for ${name === "" ? "the configured names" : name}`;
		}
	};
}

const namesLengthMax = 200;

function namesOf(certificate: X509Certificate | undefined): string {
	const names = certificate?.subjectAltName ?? "nobody";
	return names.length > namesLengthMax ? `${names.slice(0, namesLengthMax)}…` : names;
}

/** A server that these roots vouch for. */
export function trustOnly(caPem: string): PeerValidation {
	return { trust: { kind: "inline", caPem, crlPem: "" }, sans: [], certificateHashes: [], spkiHashes: [], acceptUntrusted: false };
}
