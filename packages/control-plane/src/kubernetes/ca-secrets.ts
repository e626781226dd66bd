import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { AuthorityPem, KeyStore } from "@weft/citadel";
import { hasStatus, type KubeClient, type KubeObject, resources } from "@weft/kube";

/** Istio's names. https://istio.io/latest/docs/tasks/security/cert-management/plugin-ca-cert/ */
export const selfSignedSecret = "istio-ca-secret";
export const pluggedInSecret = "cacerts";

type Files = Readonly<Record<string, string>>;

/** The self-signed root in a Secret. Creating is the API server's to arbitrate: of two replicas the second gets the first one's root. */
export function createSecretKeyStore(client: KubeClient, namespace: string): KeyStore {
	const load = async (): Promise<AuthorityPem | undefined> => {
		const secret = await client.get(resources.secrets, namespace, selfSignedSecret);
		return secret && decodeAuthorityFiles(filesOf(secret), `Secret ${namespace}/${selfSignedSecret}`);
	};
	return {
		load,
		async create(authority) {
			const data = encode({ "ca-cert.pem": authority.caCertPem, "ca-key.pem": authority.caKeyPem, "cert-chain.pem": "", "key.pem": "", "root-cert.pem": "" });
			const metadata = { name: selfSignedSecret, namespace };
			try {
				await client.create(resources.secrets, namespace, { metadata, type: "istio.io/ca-root", data });
				return authority;
			} catch (error) {
				if (!hasStatus(error, 409)) throw error;
				const winner = await load();
				if (winner === undefined) throw new Error(`Secret ${namespace}/${selfSignedSecret} was there and is gone again`, { cause: error });
				return winner;
			}
		},
	};
}

/** A CA of the user's own: mounted, else in the Secret `cacerts`; undefined where there is none. Rejects where it is not whole. */
export async function loadPluggedInAuthority(client: KubeClient, namespace: string, directory: string): Promise<AuthorityPem | undefined> {
	const mounted = await readFiles(directory);
	if (mounted) return decodeAuthorityFiles(mounted, directory);
	const secret = await client.get(resources.secrets, namespace, pluggedInSecret);
	return secret && decodeAuthorityFiles(filesOf(secret), `Secret ${namespace}/${pluggedInSecret}`);
}

const fileNames = ["ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem", "tls.crt", "tls.key", "ca.crt"] as const;

async function readFiles(directory: string): Promise<Files | undefined> {
	const files: Record<string, string> = {};
	for (const name of fileNames) {
		try {
			files[name] = await readFile(join(directory, name), "utf8");
		} catch (error) {
			if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
		}
	}
	// The Secret is an optional mount: an empty directory is none.
	return Object.keys(files).length === 0 ? undefined : files;
}

function filesOf({ data }: KubeObject): Files {
	const entries = Object.entries((data ?? {}) as Readonly<Record<string, string>>);
	return Object.fromEntries(entries.map(([name, value]) => [name, Buffer.from(value, "base64").toString("utf8")]));
}

const encode = (files: Files): Files => Object.fromEntries(Object.entries(files).map(([name, value]) => [name, Buffer.from(value).toString("base64")]));

/** Istio's file names, or those of a `kubernetes.io/tls` Secret as cert-manager writes them. Throws with the name of what is missing. */
function decodeAuthorityFiles(files: Files, place: string): AuthorityPem {
	const isTls = (files["ca-key.pem"] ?? "") === "" && (files["tls.key"] ?? "") !== "";
	const [certName, keyName, rootName] = isTls ? (["tls.crt", "tls.key", "ca.crt"] as const) : (["ca-cert.pem", "ca-key.pem", "root-cert.pem"] as const);
	const needed = (name: string) => {
		const text = files[name] ?? "";
		if (text.trim() === "") throw new Error(`${place} has no ${name}`);
		return text;
	};
	const caCertPem = needed(certName);
	const caKeyPem = needed(keyName);
	// A self-signed root is its own bundle.
	const rootCertPem = (files[rootName] ?? "").trim() === "" ? caCertPem : needed(rootName);
	return { caCertPem, caKeyPem, certChainPem: isTls ? "" : (files["cert-chain.pem"] ?? ""), rootCertPem };
}
