import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { AuthorityPem } from "./authority-material.ts";

/** Where an authority's key and certificates outlive the process. */
export interface KeyStore {
	/** What is stored, or undefined when nothing is. Rejects when something is stored but cannot be read whole. */
	load(): Promise<AuthorityPem | undefined>;
	/** Stores unless another was faster; resolves to what is stored afterwards, so that racing starts end with one root. */
	create(authority: AuthorityPem): Promise<AuthorityPem>;
}

const files = [
	["ca-key.pem", "caKeyPem"],
	["ca-cert.pem", "caCertPem"],
	["cert-chain.pem", "certChainPem"],
	["root-cert.pem", "rootCertPem"],
] as const;

/**
 * A directory with Istio's four `cacerts` files, mode 0600 in 0700. It is written beside its final place and renamed there whole:
 * rename onto a directory with files in it fails, so exactly one of two racing writers wins and nobody ever sees half of it.
 */
export function createFileKeyStore(directory: string): KeyStore {
	return {
		load: () => loadDirectory(directory),
		async create(authority) {
			const staging = join(dirname(directory), `.${randomBytes(8).toString("hex")}.tmp`);
			await mkdir(dirname(directory), { recursive: true, mode: 0o700 });
			try {
				await mkdir(staging, { mode: 0o700 });
				for (const [name, field] of files) await writeDurably(join(staging, name), authority[field]);
				await rename(staging, directory);
				return authority;
			} catch (error) {
				await rm(staging, { recursive: true, force: true });
				if (!isErrno(error, "ENOTEMPTY") && !isErrno(error, "EEXIST")) throw error;
				const winner = await loadDirectory(directory);
				if (winner !== undefined) return winner;
				throw new Error(`${directory} holds other files but no ca-key.pem: give the authority a directory of its own`, { cause: error });
			}
		},
	};
}

async function writeDurably(path: string, text: string): Promise<void> {
	const file = await open(path, "wx", 0o600);
	try {
		await file.writeFile(text);
		await file.sync();
	} finally {
		await file.close();
	}
}

async function loadDirectory(directory: string): Promise<AuthorityPem | undefined> {
	const read = async (name: string) => readFile(join(directory, name), "utf8");
	try {
		const caKeyPem = await read("ca-key.pem");
		// cert-chain.pem may be missing beside a self-signed root, as in Istio's own Secret.
		const certChainPem = await read("cert-chain.pem").catch((error: unknown) => {
			if (isErrno(error, "ENOENT")) return "";
			throw error;
		});
		return { caKeyPem, certChainPem, caCertPem: await required(read, "ca-cert.pem"), rootCertPem: await required(read, "root-cert.pem") };
	} catch (error) {
		if (isErrno(error, "ENOENT")) return undefined;
		throw error;
	}
}

async function required(read: (name: string) => Promise<string>, name: string): Promise<string> {
	try {
		return await read(name);
	} catch (cause) {
		// Never ENOENT to the caller: a key without its certificate is damage, not an empty store.
		throw new Error(`the authority's directory has ca-key.pem but no readable ${name}`, { cause });
	}
}

export function isErrno(error: unknown, code: string): boolean {
	return error instanceof Error && "code" in error && error.code === code;
}
