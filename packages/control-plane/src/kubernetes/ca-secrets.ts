import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { authorityFileNames, type AuthorityPem, decodeSlots, emptySlots, encodeSlots, type KeyStore, rotationFileNames, type StoredSlots } from "@weft/citadel";
import { hasStatus, type KubeClient, type KubeObject, resources } from "@weft/kube";

/** Istio's names. https://istio.io/latest/docs/tasks/security/cert-management/plugin-ca-cert/ */
export const selfSignedSecret = "istio-ca-secret";
export const pluggedInSecret = "cacerts";

/** Set on the Secret, it asks for another root: whoever may change the Secret may. The value is for the reader. */
export const rotateAnnotation = "weft.dev/rotate-root";
const secretType = "istio.io/ca-root";
const ownFiles: ReadonlySet<string> = new Set([...authorityFileNames, ...rotationFileNames]);

type Files = Readonly<Record<string, string>>;

/** The self-signed root in a Secret. Creating is the API server's to arbitrate: of two replicas the second gets the first one's root. */
export function createSecretKeyStore(client: KubeClient, namespace: string): KeyStore {
	const place = `Secret ${namespace}/${selfSignedSecret}`;
	const storedIn = (secret: KubeObject): StoredSlots => {
		const files = filesOf(secret);
		return {
			slots: decodeSlots(decodeAuthorityFiles(files, place), files),
			revision: secret.metadata.resourceVersion ?? "",
			rotationRequested: secret.metadata.annotations?.[rotateAnnotation] !== undefined,
		};
	};
	const load = async (): Promise<StoredSlots | undefined> => {
		const secret = await client.get(resources.secrets, namespace, selfSignedSecret);
		return secret && storedIn(secret);
	};
	return {
		load,
		async create(authority) {
			const data = encode({ ...encodeSlots(emptySlots(authority)), "key.pem": "" });
			const metadata = { name: selfSignedSecret, namespace };
			try {
				return storedIn(await client.create(resources.secrets, namespace, { metadata, type: secretType, data }));
			} catch (error) {
				if (!hasStatus(error, 409)) throw error;
				const winner = await load();
				if (winner === undefined) throw new Error(`Secret ${namespace}/${selfSignedSecret} was there and is gone again`, { cause: error });
				return winner;
			}
		},
		async replace(slots, revision) {
			const secret = await client.get(resources.secrets, namespace, selfSignedSecret);
			if (secret === undefined || secret.metadata.resourceVersion !== revision) return undefined;
			// What others keep there stays; ours goes when it is over, and so does the request that was served.
			const kept = Object.fromEntries(Object.entries((secret["data"] ?? {}) as Files).filter(([name]) => !ownFiles.has(name)));
			const annotations = Object.fromEntries(Object.entries(secret.metadata.annotations ?? {}).filter(([name]) => name !== rotateAnnotation));
			const data = { ...kept, ...encode(encodeSlots(slots)) };
			try {
				return storedIn(await client.replace(resources.secrets, namespace, { ...secret, metadata: { ...secret.metadata, annotations }, data }));
			} catch (error) {
				if (hasStatus(error, 409)) return undefined;
				throw error;
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

const fileNames = ["ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem", "ca-crl.pem", "tls.crt", "tls.key", "ca.crt"] as const;

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
	const crlPem = files["ca-crl.pem"] ?? "";
	return { caCertPem, caKeyPem, certChainPem: isTls ? "" : (files["cert-chain.pem"] ?? ""), rootCertPem, ...(crlPem !== "" && { crlPem }) };
}
