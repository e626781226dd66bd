import { chmodSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "@weft/runtime";
import type { WorkloadCertificate } from "./workload-certificate.ts";
import type { WorkloadIdentity } from "./workload-identity.ts";

/** Istio's names, in OUTPUT_CERTS as in PROV_CERT and /etc/certs. */
export const certificateFileNames = { certChain: "cert-chain.pem", privateKey: "key.pem", rootCert: "root-cert.pem" } as const;

/**
 * Writes each certificate into a directory, for applications that read files (OUTPUT_CERTS). The key is for the own user alone.
 * Each file is replaced as a whole, the certificate last: who sees it finds its key. Returns the way to stop.
 */
export function outputCertificates(directory: string, identity: WorkloadIdentity, logger: Logger): () => void {
	return identity.subscribe((certificate) => {
		// What has expired says so itself.
		if (certificate === undefined) return;
		try {
			writeCertificate(directory, certificate);
		} catch (error) {
			logger.error("certificates could not be written (OUTPUT_CERTS)", { directory, error });
		}
	});
}

function writeCertificate(directory: string, { certChainPem, privateKeyPem, rootsPem }: WorkloadCertificate): void {
	mkdirSync(directory, { recursive: true });
	const put = (name: string, text: string, mode: number) => {
		const fresh = join(directory, `.${name}.new`);
		writeFileSync(fresh, text, { mode });
		// The mode above is for a file that was not there.
		chmodSync(fresh, mode);
		renameSync(fresh, join(directory, name));
	};
	put(certificateFileNames.privateKey, privateKeyPem, 0o600);
	put(certificateFileNames.rootCert, rootsPem, 0o644);
	put(certificateFileNames.certChain, certChainPem, 0o644);
}
