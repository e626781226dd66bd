import { createPrivateKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { accepted, type Checked, checkedCall, decodeChain, decodeTrustBundle, refused, type TrustBundle } from "@weft/pki";
import type { Clock, Logger } from "@weft/runtime";
import type { KeyedLeaf } from "./certificate-authority.ts";
import { createCertificateProvider, createServerCredentials } from "./certificate-provider.ts";
import type { ServerIdentity } from "./server-identity.ts";

export interface FileServerIdentityOptions {
	readonly certFile: string;
	readonly keyFile: string;
	/** Roots that clients' certificates must lead to. */
	readonly caFile: string;
	readonly clock: Clock;
	readonly logger: Logger;
}

export interface FileServerIdentity extends ServerIdentity {
	readonly trustBundlePem: string;
	/** Called after the roots changed. Returns the way to stop. */
	onRootsChanged(listener: () => void): () => void;
}

/** kubelet itself takes up to a minute to mount a change. */
const reloadMs = 10_000;

interface Loaded {
	readonly leaf: KeyedLeaf;
	readonly bundle: TrustBundle;
}

/** The control plane's certificate where another authority gives it: files that are read again, such as the mounted Secret `istiod-tls`. */
export async function createFileServerIdentity(options: FileServerIdentityOptions): Promise<FileServerIdentity> {
	const { certFile, keyFile, clock, logger } = options;
	const first = await load(options);
	if (!first.ok) throw new Error(`server certificate: ${first.reason}`);
	let current = first.value;
	const provider = createCertificateProvider(() => current.bundle.pem);
	provider.update(current.leaf);
	const listeners = new Set<(leaf: KeyedLeaf) => void>();
	const rootListeners = new Set<() => void>();
	const rotate = async () => {
		const fresh = await load(options);
		if (!fresh.ok) throw new Error(fresh.reason);
		const before = current;
		current = fresh.value;
		if (before.bundle.pem !== current.bundle.pem) {
			provider.updateRoots();
			for (const listener of rootListeners) listener();
		}
		if (before.leaf.serialNumber === current.leaf.serialNumber) return;
		provider.update(current.leaf);
		for (const listener of listeners) listener(current.leaf);
		logger.info("server certificate rotated", { serial: current.leaf.serialNumber, notAfter: new Date(current.leaf.notAfterMs).toISOString() });
	};
	return {
		credentials: createServerCredentials(provider),
		rotate,
		get serialNumber() {
			return current.leaf.serialNumber;
		},
		get leaf() {
			return current.leaf;
		},
		get trustBundlePem() {
			return current.bundle.pem;
		},
		onRotated(listener) {
			listeners.add(listener);
			return () => void listeners.delete(listener);
		},
		onRootsChanged(listener) {
			rootListeners.add(listener);
			return () => void rootListeners.delete(listener);
		},
		async run(signal) {
			let failure = "";
			while (!signal.aborted) {
				await clock.sleep(reloadMs, signal);
				if (signal.aborted) return;
				try {
					await rotate();
					failure = "";
				} catch (error) {
					const reason = error instanceof Error ? error.message : String(error);
					if (reason !== failure) logger.error("server certificate is not read again; the present one stays", { certFile, keyFile, reason });
					failure = reason;
				}
			}
		},
	};
}

/** The files of one moment, held against each other: a mount that is just being changed is refused, and read again later. */
async function load({ certFile, keyFile, caFile, clock }: FileServerIdentityOptions): Promise<Checked<Loaded>> {
	const [certPem, privateKeyPem, caPem] = await Promise.all([certFile, keyFile, caFile].map((file) => readFile(file, "utf8")));
	const bundle = decodeTrustBundle(caPem ?? "");
	if (!bundle.ok) return refused(`${caFile}: ${bundle.reason}`);
	const chain = decodeChain(certPem ?? "");
	if (!chain.ok) return refused(`${certFile}: ${chain.reason}`);
	const key = checkedCall(`${keyFile}: unreadable private key`, () => createPrivateKey(privateKeyPem ?? ""));
	if (!key.ok) return key;
	const [leaf] = chain.value;
	if (leaf === undefined || !leaf.checkPrivateKey(key.value)) return refused(`${keyFile} is not the key of ${certFile}`);
	const notAfterMs = leaf.validToDate.getTime();
	if (notAfterMs <= clock.nowMs()) return refused(`${certFile} has expired at ${leaf.validTo}`);
	const chainPem = chain.value.map((certificate) => certificate.toString());
	return accepted({ bundle: bundle.value, leaf: { chainPem, privateKeyPem: privateKeyPem ?? "", serialNumber: leaf.serialNumber, notAfterMs } });
}
