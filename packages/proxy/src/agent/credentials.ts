import type { Logger } from "@weft/runtime";
import { createGivenIdentity } from "./given-identity.ts";
import { type CertificateFiles, mountedCertificates } from "./mounted-certificates.ts";
import { outputCertificates } from "./output-certificates.ts";
import { certificatesOverSds, type SecretClientOptions } from "./secret-client.ts";
import { createWorkloadIdentity, type WorkloadIdentity, type WorkloadIdentityOptions } from "./workload-identity.ts";
import { isAnswered, serveWorkloadSocket, type WorkloadSocket } from "./workload-socket.ts";

/** Where a workload's certificate comes from, and who gets it beside the proxy. */
export interface CredentialOptions {
	/** Certificates that somebody else renews; undefined: the authority is asked. */
	readonly mounted?: CertificateFiles;
	/** PROV_CERT: a directory with a certificate that is shown to the authority for the first one of ours. */
	readonly provisionedDirectory?: string;
	/** OUTPUT_CERTS. */
	readonly outputDirectory?: string;
	/** Where the Workload API and SDS are served, unless somebody else does already: then the certificate comes from there. */
	readonly workloadSocket?: string;
	/** Somebody has to answer at `workloadSocket`. */
	readonly needsForeignSocket?: boolean;
}

export interface CredentialContext extends Omit<SecretClientOptions, "path"> {
	/** How the authority is asked. */
	readonly authority: Omit<WorkloadIdentityOptions, "clock" | "random" | "logger">;
	readonly crlPem: () => string;
}

export interface Credentials {
	readonly identity: WorkloadIdentity;
	/** The revocation lists have changed. */
	refresh(): void;
	close(): Promise<void>;
}

/** Decides who gives the certificate, and opens what others get it by. The identity waits to be run. */
export async function openCredentials(options: CredentialOptions, context: CredentialContext): Promise<Credentials> {
	const { workloadSocket: path, outputDirectory } = options;
	const { logger, crlPem } = context;
	const isForeign = path !== undefined && (await isAnswered(path));
	if (options.needsForeignSocket && !isForeign)
		throw new Error(`nobody serves SDS at ${path ?? "the workload socket"}, which WORKLOAD_IDENTITY_SOCKET_FILE asks for`);
	const identity = isForeign ? foreignIdentity(path, context) : ownIdentity(options, context);
	const socket = path === undefined || isForeign ? undefined : await tryServing(path, identity, crlPem, logger);
	const stopOutput = outputDirectory === undefined ? undefined : outputCertificates(outputDirectory, identity, logger);
	return {
		identity,
		refresh: () => socket?.refresh(),
		async close() {
			stopOutput?.();
			await socket?.close();
		},
	};
}

function foreignIdentity(path: string, context: CredentialContext): WorkloadIdentity {
	const { clock, logger } = context;
	logger.info("the workload certificate comes from an SDS socket that is there already", { socket: path });
	return createGivenIdentity({ source: certificatesOverSds({ ...context, path }), clock, logger });
}

function ownIdentity({ mounted, provisionedDirectory }: CredentialOptions, { authority, clock, random, logger }: CredentialContext): WorkloadIdentity {
	if (mounted !== undefined) return createGivenIdentity({ source: mountedCertificates(mounted, clock, logger), clock, logger });
	return createWorkloadIdentity({ ...authority, clock, random, logger, ...(provisionedDirectory !== undefined && { provisionedDirectory }) });
}

/** What the application may ask for must not keep the proxy from serving. */
async function tryServing(path: string, identity: WorkloadIdentity, crlPem: () => string, logger: Logger): Promise<WorkloadSocket | undefined> {
	try {
		return await serveWorkloadSocket({ path, identity, crlPem, logger });
	} catch (error) {
		logger.error("Workload API and SDS are not served", { socket: path, error });
		return undefined;
	}
}
