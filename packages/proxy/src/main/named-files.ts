import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";

// Secrets that Istio names by the files they are in, and that its agent reads: `file-cert:CERT~KEY`, `file-root:CA`.

/** What such a name stands for. */
export type NamedFiles =
	| { readonly kind: "certificate"; readonly certificateFile: string; readonly keyFile: string }
	/** Undefined: the roots that the system trusts. */
	| { readonly kind: "trust"; readonly authorityFile: string | undefined };

/** Undefined: the name is no file's. */
export function parseNamedFiles(name: string): NamedFiles | undefined {
	const certificate = /^file-cert:([^~]+)~([^~]+)$/.exec(name);
	if (certificate?.[1] !== undefined && certificate[2] !== undefined) return { kind: "certificate", certificateFile: certificate[1], keyFile: certificate[2] };
	const authority = /^file-root:(.+)$/.exec(name)?.[1];
	if (authority === undefined) return undefined;
	return { kind: "trust", authorityFile: authority === "system" ? undefined : authority };
}

/** Throws where a file cannot be read. */
export function readNamedFiles(name: string, files: NamedFiles, readFile: (path: string) => Uint8Array): Secret {
	const inline = (path: string) => ({ inlineBytes: Buffer.from(readFile(path)) });
	if (files.kind === "certificate")
		return Secret.fromPartial({ name, tlsCertificate: { certificateChain: inline(files.certificateFile), privateKey: inline(files.keyFile) } });
	const authority = files.authorityFile ?? systemRootsFile();
	return Secret.fromPartial({ name, validationContext: { trustedCa: authority === undefined ? builtInRoots() : inline(authority) } });
}

/** What Node brings along; read only where it is wanted, since it weighs megabytes. */
const builtInRoots = () => ({ inlineString: process.getBuiltinModule("node:tls").rootCertificates.join("\n") });

/** Where distributions keep the roots they trust; the first that is there, as Istio's agent does. */
const systemRootFiles = [
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/pki/tls/cacert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem",
];

const systemRootsFile = (): string | undefined => systemRootFiles.find((file) => existsSync(file));

/** Folders in which a change may be one of these files'. */
export function foldersOf(files: NamedFiles): readonly string[] {
	const paths = files.kind === "certificate" ? [files.certificateFile, files.keyFile] : files.authorityFile === undefined ? [] : [files.authorityFile];
	return [...new Set(paths.map((path) => dirname(path)))];
}
