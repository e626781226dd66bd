import type { ProxyNode } from "./proxy-node.ts";

// Certificates in files of a proxy's own container, which its metadata names: https://istio.io/latest/docs/ops/configuration/security/ has
// FILE_MOUNTED_CERTS, the agent sends TLS_CLIENT_… and TLS_SERVER_… along.

export interface ClientFiles {
	readonly certChain: string;
	readonly key: string;
	/** "": the roots that the system trusts. */
	readonly roots: string;
}

/** What a proxy shows to servers instead of the mesh's certificate; istiod, where the key is not named, leaves out TLS altogether. */
export function clientFilesOf({ metadata }: ProxyNode): ClientFiles | undefined {
	const [certChain, key] = [path(metadata["TLS_CLIENT_CERT_CHAIN"]), path(metadata["TLS_CLIENT_KEY"])];
	return certChain === "" || key === "" ? undefined : { certChain, key, roots: path(metadata["TLS_CLIENT_ROOT_CERT"]) };
}

export interface ServerSecrets {
	/** `file-cert:CHAIN~KEY`; undefined: the mesh's certificate. */
	readonly certificate: string | undefined;
	/** `file-root:ROOTS`; undefined: the mesh's roots. */
	readonly roots: string | undefined;
}

/** By what names a proxy finds what it shows to clients, and what it holds them against. */
export function serverSecretsOf({ metadata }: ProxyNode): ServerSecrets {
	const [certChain, key, roots] = ["TLS_SERVER_CERT_CHAIN", "TLS_SERVER_KEY", "TLS_SERVER_ROOT_CERT"].map((name) => path(metadata[name]));
	return { certificate: certChain && key ? `file-cert:${certChain}~${key}` : undefined, roots: roots ? `file-root:${roots}` : undefined };
}

const path = (value: unknown): string => (typeof value === "string" ? value : "");
