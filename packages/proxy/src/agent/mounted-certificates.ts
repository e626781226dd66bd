import { readFile } from "node:fs/promises";
import type { Clock, Logger } from "@weft/runtime";
import type { CertificateSource } from "./given-identity.ts";
import type { GivenCertificate } from "./workload-certificate.ts";

/** Paths of PEM files. */
export interface CertificateFiles {
	readonly certChain: string;
	readonly privateKey: string;
	readonly rootCert: string;
}

/** kubelet itself takes up to a minute to mount a change; what is not there yet is waited for more eagerly. */
const reloadMs = 10_000;
const missingMs = 1_000;

/** Certificates that somebody mounts and renews: read again every ten seconds, and never taken while they do not belong together. */
export function mountedCertificates(files: CertificateFiles, clock: Clock, logger: Logger): CertificateSource {
	return {
		name: files.certChain,
		async run(take, signal) {
			let before = "";
			let told = "";
			let isTaken = false;
			const attempt = async () => {
				const given = await readFiles(files);
				const text = JSON.stringify(given);
				if (text === before) return;
				const taken = take(given);
				if (!taken.ok) throw new Error(taken.reason);
				before = text;
				isTaken = true;
			};
			while (!signal.aborted) {
				try {
					await attempt();
					told = "";
				} catch (error) {
					const reason = error instanceof Error ? error.message : String(error);
					if (reason !== told)
						logger.error(isTaken ? "mounted certificate is not taken; the present one stays" : "mounted certificate is not taken", { reason });
					told = reason;
				}
				await clock.sleep(isTaken ? reloadMs : missingMs, signal);
			}
		},
	};
}

async function readFiles({ certChain, privateKey, rootCert }: CertificateFiles): Promise<GivenCertificate> {
	const [certChainPem = "", privateKeyPem = "", rootsPem = ""] = await Promise.all([certChain, privateKey, rootCert].map((file) => readFile(file, "utf8")));
	return { certChainPem, privateKeyPem, rootsPem };
}
