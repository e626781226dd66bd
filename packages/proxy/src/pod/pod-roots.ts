import { join } from "node:path";
import type { CredentialOptions } from "../agent/credentials.ts";
import { certificateFileNames } from "../agent/output-certificates.ts";
import { podFiles } from "./pod-files.ts";
import type { PodSources } from "./pod-environment.ts";

export interface PodRoots {
	/** Of the control plane. */
	readonly rootCertFile: string;
	/** Of the certificate authority. */
	readonly caRootCertFile: string;
}

const userRoot = `${podFiles.mountedCertificates}/${certificateFileNames.rootCert}`;

/** What each server's certificate must lead to, looked for where Istio's agent looks, in its order: XDS_ROOT_CA, CA_ROOT_CA, PILOT_CERT_PROVIDER. */
export function readPodRoots(sources: PodSources, credentials: CredentialOptions, errors: string[]): PodRoots {
	const { env, readFile, pathOf } = sources;
	const provisioned = env["PROV_CERT"] && join(env["PROV_CERT"], certificateFileNames.rootCert);
	const mounted = env["FILE_MOUNTED_CERTS"] === "true" ? credentials.mounted?.rootCert : undefined;
	const mountedByUser = readFile(userRoot) === undefined ? undefined : pathOf(userRoot);
	const usual = usualRoot(sources);
	const needed = (variable: string) => {
		errors.push(`PILOT_CERT_PROVIDER=none mounts no roots: name a file in ${variable}`);
		return "";
	};
	const rootCertFile = env["XDS_ROOT_CA"] || mountedByUser || provisioned || mounted || (usual ?? needed("XDS_ROOT_CA"));
	const ofUser = env["PILOT_CERT_PROVIDER"] === "custom" ? pathOf(userRoot) : undefined;
	const caRootCertFile = env["CA_ROOT_CA"] || ofUser || provisioned || usual;
	return { rootCertFile, caRootCertFile: caRootCertFile ?? (asksAuthority(credentials) ? needed("CA_ROOT_CA") : rootCertFile) };
}

/** Whether CA_ADDR is to give the certificate, as far as that is known before somebody serves SDS. */
export const asksAuthority = ({ mounted, needsForeignSocket }: CredentialOptions): boolean => mounted === undefined && needsForeignSocket !== true;

/** Where the injector mounts the roots of whoever signed the control plane's certificate; undefined: nowhere. */
function usualRoot({ env, pathOf }: PodSources): string | undefined {
	switch (env["PILOT_CERT_PROVIDER"]) {
		case "none":
			return undefined;
		case "kubernetes":
			return pathOf(podFiles.kubernetesRootCert);
		default:
			return pathOf(podFiles.rootCert);
	}
}
