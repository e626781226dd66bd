import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** Where the injected volumes are mounted. Istio's agent looks below its working directory, which is `/` in a pod. */
export const podFiles = {
	labels: "etc/istio/pod/labels",
	annotations: "etc/istio/pod/annotations",
	/** On a machine outside of Kubernetes: what Istio's tools write for it. */
	meshConfig: "etc/istio/config/mesh",
	rootCert: "var/run/secrets/istio/root-cert.pem",
	kubernetesRootCert: "var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
	token: "var/run/secrets/tokens/istio-token",
	serviceAccountToken: "var/run/secrets/kubernetes.io/serviceaccount/token",
	/** Empty, and writable. */
	proxyDirectory: "etc/istio/proxy",
	/** SDS and the Workload API: of another where one answers, else ours. */
	secretSocket: "var/run/secrets/workload-spiffe-uds/socket",
	/** Certificates that the platform mounts. */
	workloadCredentials: "var/run/secrets/workload-spiffe-credentials",
	/** Certificates that the user mounts. */
	mountedCertificates: "etc/certs",
} as const;

/** Below the working directory where the file is there, else from the root. */
export function podFile(path: string, directory = process.cwd()): string {
	const below = join(directory, path);
	return existsSync(below) ? below : join("/", path);
}

export function isDirectory(path: string): boolean {
	return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

export function readPodFile(path: string, directory?: string): string | undefined {
	try {
		return readFileSync(podFile(path, directory), "utf8");
	} catch {
		// Not mounted: outside Kubernetes, or by an injector that leaves it out.
		return undefined;
	}
}

/**
 * The downward API writes `key="value"`, one a line, the value quoted as Go quotes strings.
 * https://kubernetes.io/docs/concepts/workloads/pods/downward-api/
 */
export function parseDownwardApi(text: string): Readonly<Record<string, string>> {
	const out: Record<string, string> = Object.create(null);
	for (const line of text.split("\n")) {
		const at = line.indexOf("=");
		if (at <= 0) continue;
		const value = unquote(line.slice(at + 1).trim());
		if (value !== undefined) out[line.slice(0, at)] = value;
	}
	return out;
}

const escapes: Readonly<Record<string, string>> = { a: "\u0007", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v", "\\": "\\", '"': '"' };

/** undefined: not a string of Go's. */
function unquote(text: string): string | undefined {
	if (text.length < 2 || !text.startsWith('"') || !text.endsWith('"')) return undefined;
	const bytes: Buffer[] = [];
	const pattern = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))|([^\\]+)/gsu;
	for (const [, hex, short, long, octal, single, plain] of text.slice(1, -1).matchAll(pattern)) {
		if (plain !== undefined) bytes.push(Buffer.from(plain));
		else if (hex !== undefined) bytes.push(Buffer.from([Number.parseInt(hex, 16)]));
		else if (octal !== undefined) bytes.push(Buffer.from([Number.parseInt(octal, 8) & 255]));
		else if (short !== undefined || long !== undefined) bytes.push(Buffer.from(String.fromCodePoint(Number.parseInt(short ?? long ?? "", 16))));
		else if (single !== undefined && Object.hasOwn(escapes, single)) bytes.push(Buffer.from(escapes[single] as string));
		else return undefined;
	}
	return Buffer.concat(bytes).toString("utf8");
}
