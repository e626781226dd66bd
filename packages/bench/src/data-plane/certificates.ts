import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CertificateFiles, hopDnsName, hopSpiffeId } from "./topology.ts";

const days = "2";

/**
 * Makes a root and one ECDSA P-256 leaf with a DNS and a SPIFFE name in a folder, with the openssl command line.
 * @throws Error when openssl is not there or refuses
 */
export function makeCertificates(folder: string): CertificateFiles {
	const path = (name: string) => join(folder, name);
	const ca = path("ca.pem");
	const certificate = path("leaf.pem");
	const key = path("leaf.key");
	const bundle = path("leaf.bundle.pem");
	const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
	const rootUses = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"];
	openssl(["req", "-x509", ...newKey, "-keyout", path("ca.key"), "-out", ca, "-days", days, "-subj", "/O=cluster.local", ...rootUses]);
	openssl(["req", ...newKey, "-keyout", key, "-out", path("leaf.csr"), "-subj", "/"]);
	const uses = [
		`subjectAltName=critical,DNS:${hopDnsName},URI:${hopSpiffeId}`,
		"extendedKeyUsage=serverAuth,clientAuth",
		"keyUsage=critical,digitalSignature",
		"basicConstraints=critical,CA:FALSE",
	];
	writeFileSync(path("leaf.ext"), `${uses.join("\n")}\n`);
	const signer = ["-CA", ca, "-CAkey", path("ca.key"), "-CAcreateserial"];
	openssl(["x509", "-req", "-in", path("leaf.csr"), ...signer, "-out", certificate, "-days", days, "-extfile", path("leaf.ext")]);
	writeFileSync(bundle, readFileSync(certificate, "utf8") + readFileSync(key, "utf8"), { mode: 0o600 });
	return { ca, certificate, key, bundle };
}

function openssl(args: readonly string[]): void {
	execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"], timeout: 30_000 });
}
