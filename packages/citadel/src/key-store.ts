import { createHash, randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createKeyQueue } from "@weft/runtime";
import type { AuthorityPem } from "./authority-material.ts";
import { emptySlots, type KeySlots } from "./key-slots.ts";
import { type AuthorityFiles, authorityFileNames, decodeSlots, encodeSlots, rotationFileNames } from "./slot-files.ts";

export interface StoredSlots {
	readonly slots: KeySlots;
	/** Names this very state of the store. */
	readonly revision: string;
	/** Somebody who may write to the store asks for another root; `replace` takes that away. */
	readonly rotationRequested?: boolean;
}

/** Where an authority's keys and certificates outlive the process, and where replicas agree. */
export interface KeyStore {
	/** What is stored, or undefined when nothing is. Rejects when something is stored but cannot be read whole. */
	load(): Promise<StoredSlots | undefined>;
	/** Stores unless another was faster; resolves to what is stored afterwards, so that racing starts end with one root. */
	create(authority: AuthorityPem): Promise<StoredSlots>;
	/** Stores if `revision` is still what is stored; undefined when another was faster. */
	replace(slots: KeySlots, revision: string): Promise<StoredSlots | undefined>;
}

/** Of one process: for a CA that others keep, such as a mounted `cacerts`. */
export function createMemoryKeyStore(authority?: AuthorityPem): KeyStore {
	let count = 0;
	let stored: StoredSlots | undefined = authority && { slots: emptySlots(authority), revision: "0" };
	const put = (slots: KeySlots): StoredSlots => (stored = { slots, revision: String(++count) });
	return {
		load: async () => stored,
		create: async (fresh) => stored ?? put(emptySlots(fresh)),
		replace: async (slots, revision) => (stored?.revision === revision ? put(slots) : undefined),
	};
}

/** All files of a change at once; it is there only while they are being written, or after a crash in the midst of it. */
const journal = "pending.json";
const fileNames = [...authorityFileNames, ...rotationFileNames];

/**
 * A directory with Istio's four `cacerts` files, mode 0600 in 0700. It is written beside its final place and renamed there whole:
 * rename onto a directory with files in it fails, so exactly one of two racing writers wins and nobody ever sees half of it.
 * Later changes go through a journal, so that a crash leaves the old state or the new one. They are one process's to make, which
 * takes one step after the other: who reads in the midst of a change would find a journal that is gone a moment later.
 */
export function createFileKeyStore(directory: string): KeyStore {
	const turns = createKeyQueue();
	const store = filesOf(directory);
	return {
		load: () => turns.run(directory, () => store.load()),
		create: (authority) => turns.run(directory, () => store.create(authority)),
		replace: (slots, revision) => turns.run(directory, () => store.replace(slots, revision)),
	};
}

function filesOf(directory: string): KeyStore {
	return {
		load: () => loadDirectory(directory),
		async create(authority) {
			const staging = join(dirname(directory), `.${randomBytes(8).toString("hex")}.tmp`);
			await mkdir(dirname(directory), { recursive: true, mode: 0o700 });
			try {
				await mkdir(staging, { mode: 0o700 });
				const files = encodeSlots(emptySlots(authority));
				for (const [name, text] of Object.entries(files)) await writeDurably(join(staging, name), text);
				await rename(staging, directory);
				return { slots: emptySlots(authority), revision: revisionOf(files) };
			} catch (error) {
				await rm(staging, { recursive: true, force: true });
				if (!isErrno(error, "ENOTEMPTY") && !isErrno(error, "EEXIST")) throw error;
				const winner = await loadDirectory(directory);
				if (winner !== undefined) return winner;
				throw new Error(`${directory} holds other files but no ca-key.pem: give the authority a directory of its own`, { cause: error });
			}
		},
		async replace(slots, revision) {
			const stored = await loadDirectory(directory);
			if (stored?.revision !== revision) return undefined;
			await writeWhole(join(directory, journal), JSON.stringify(encodeSlots(slots)));
			await finishPending(directory);
			return loadDirectory(directory);
		},
	};
}

const revisionOf = (files: AuthorityFiles): string => {
	const hash = createHash("sha256");
	for (const name of fileNames) hash.update(`${name}\0${files[name] ?? ""}\0`);
	return hash.digest("hex");
};

/** Brings every file to what the journal says, if there is one. */
async function finishPending(directory: string): Promise<void> {
	let pending: AuthorityFiles;
	try {
		pending = JSON.parse(await readFile(join(directory, journal), "utf8")) as AuthorityFiles;
	} catch (error) {
		if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return;
		throw error;
	}
	for (const name of fileNames) {
		const text = pending[name];
		if (text === undefined) await rm(join(directory, name), { force: true });
		else await writeWhole(join(directory, name), text);
	}
	await rm(join(directory, journal));
}

async function writeWhole(path: string, text: string): Promise<void> {
	const staging = `${path}.tmp`;
	await rm(staging, { force: true });
	await writeDurably(staging, text);
	await rename(staging, path);
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

async function loadDirectory(directory: string): Promise<StoredSlots | undefined> {
	const read = async (name: string) => readFile(join(directory, name), "utf8");
	await finishPending(directory);
	try {
		const caKeyPem = await read("ca-key.pem");
		// cert-chain.pem may be missing beside a self-signed root, as in Istio's own Secret.
		const certChainPem = await optional(read, "cert-chain.pem");
		const current = { caKeyPem, certChainPem, caCertPem: await required(read, "ca-cert.pem"), rootCertPem: await required(read, "root-cert.pem") };
		const rotation: Record<string, string> = {};
		for (const name of rotationFileNames) rotation[name] = await optional(read, name);
		const files = {
			"ca-key.pem": caKeyPem,
			"ca-cert.pem": current.caCertPem,
			"cert-chain.pem": certChainPem,
			"root-cert.pem": current.rootCertPem,
			...rotation,
		};
		return { slots: decodeSlots(current, files), revision: revisionOf(files) };
	} catch (error) {
		if (isErrno(error, "ENOENT")) return undefined;
		throw error;
	}
}

async function optional(read: (name: string) => Promise<string>, name: string): Promise<string> {
	try {
		return await read(name);
	} catch (error) {
		if (isErrno(error, "ENOENT")) return "";
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
