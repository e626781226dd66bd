import { dirname, join } from "node:path";
import type { CredentialOptions } from "../agent/credentials.ts";
import type { CertificateFiles } from "../agent/mounted-certificates.ts";
import { certificateFileNames } from "../agent/output-certificates.ts";
import { podFiles } from "./pod-files.ts";
import type { PodSources } from "./pod-environment.ts";

const clientNames: Readonly<Record<keyof CertificateFiles, string>> = {
	certChain: "TLS_CLIENT_CERT_CHAIN",
	privateKey: "TLS_CLIENT_KEY",
	rootCert: "TLS_CLIENT_ROOT_CERT",
};
const parts = ["certChain", "privateKey", "rootCert"] as const;

/**
 * Where the certificate comes from, as Istio's agent decides it: an SDS socket that is served already (looked at when the proxy
 * starts), files of the platform, FILE_MOUNTED_CERTS, /etc/certs, else the authority. `metadata` is the node's.
 */
export function readPodCredentials(sources: PodSources, metadata: Readonly<Record<string, unknown>>, errors: string[], warnings: string[]): CredentialOptions {
	const { env, pathOf } = sources;
	const provisionedDirectory = env["PROV_CERT"] || undefined;
	const outputDirectory = env["OUTPUT_CERTS"] || undefined;
	const isMounted = env["FILE_MOUNTED_CERTS"] === "true";
	if (isMounted && provisionedDirectory !== undefined) errors.push("PROV_CERT and FILE_MOUNTED_CERTS exclude each other");
	const socketName = env["WORKLOAD_IDENTITY_SOCKET_FILE"] || undefined;
	if (socketName?.includes("/")) errors.push(`WORKLOAD_IDENTITY_SOCKET_FILE: a file name in /${dirname(podFiles.secretSocket)} is wanted, got ${socketName}`);
	const mounted = isMounted ? namedFiles(metadata) : filesThatAreThere(sources, outputDirectory, warnings);
	const path = pathOf(podFiles.secretSocket);
	return {
		...(mounted && { mounted }),
		...(provisionedDirectory !== undefined && { provisionedDirectory }),
		...(outputDirectory !== undefined && { outputDirectory }),
		// Where the volume is not mounted there is nobody to serve.
		...(sources.isDirectory(dirname(path)) && { workloadSocket: socketName === undefined ? path : join(dirname(path), socketName) }),
		...(socketName !== undefined && { needsForeignSocket: true }),
	};
}

/** FILE_MOUNTED_CERTS: named by ISTIO_META_TLS_CLIENT_…, by default in /etc/certs. What servers show (TLS_SERVER_…) the control plane says. */
function namedFiles(metadata: Readonly<Record<string, unknown>>): CertificateFiles {
	const named = (part: (typeof parts)[number]) => {
		const value = metadata[clientNames[part]];
		return typeof value === "string" && value !== "" ? value : `/${podFiles.mountedCertificates}/${certificateFileNames[part]}`;
	};
	return { certChain: named("certChain"), privateKey: named("privateKey"), rootCert: named("rootCert") };
}

/** Of the platform (GKE's workload certificates), or in /etc/certs; the latter not where our own are written. */
function filesThatAreThere({ readFile, pathOf }: PodSources, outputDirectory: string | undefined, warnings: string[]): CertificateFiles | undefined {
	const directories = [podFiles.workloadCredentials, ...(outputDirectory === undefined ? [podFiles.mountedCertificates] : [])];
	for (const directory of directories) {
		const files = { certChain: "", privateKey: "", rootCert: "" };
		const missing: string[] = [];
		for (const part of parts) {
			const path = `${directory}/${certificateFileNames[part]}`;
			files[part] = pathOf(path);
			if (readFile(path) === undefined) missing.push(certificateFileNames[part]);
		}
		if (missing.length === 0) return files;
		if (missing.length < parts.length) warnings.push(`/${directory} has no ${missing.join(", ")}: the certificates there are not used`);
	}
	return undefined;
}
