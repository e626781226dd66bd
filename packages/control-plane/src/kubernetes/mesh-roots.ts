import type { MeshConfig } from "@weft/api";
import { decodeTrustBundle } from "@weft/pki";
import type { Logger } from "@weft/runtime";
import type { MeshConfigWatch } from "./mesh-config.ts";

export interface SignerRoots {
	/** What certificates of this signer must lead to, PEM; "" : nothing is known. */
	rootsOf(signerName: string): string;
	/** All of them, without repeats. */
	pem(): string;
	/** Returns the way to stop. */
	onChanged(listener: () => void): () => void;
}

interface Entry {
	readonly pem: string;
	/** Empty: every signer. */
	readonly signers: readonly string[];
}

/**
 * `meshConfig.caCertificates`: the roots of signers whose keys are not ours. Those for other trust domains are no roots of this
 * mesh; what cannot be read is left out and told.
 */
export function createSignerRoots(options: {
	readonly mesh: Pick<MeshConfigWatch, "current" | "onChanged">;
	readonly trustDomain: string;
	readonly logger: Logger;
}): SignerRoots {
	const { mesh, trustDomain, logger } = options;
	let entries = readEntries(mesh.current(), trustDomain, logger);
	let all = unionOf(entries);
	const listeners = new Set<() => void>();
	mesh.onChanged(() => {
		const fresh = readEntries(mesh.current(), trustDomain, logger);
		if (JSON.stringify(fresh) === JSON.stringify(entries)) return;
		entries = fresh;
		all = unionOf(entries);
		logger.info("roots of external signers changed", { entries: entries.length });
		for (const listener of listeners) listener();
	});
	return {
		pem: () => all,
		rootsOf: (signerName) => unionOf(entries.filter(({ signers }) => signers.length === 0 || signers.includes(signerName))),
		onChanged(listener) {
			listeners.add(listener);
			return () => void listeners.delete(listener);
		},
	};
}

function readEntries({ caCertificates = [] }: MeshConfig, trustDomain: string, logger: Logger): readonly Entry[] {
	return caCertificates.flatMap(({ pem, certSigners = [], trustDomains = [] }, i) => {
		const leftOut = (reason: string) => {
			logger.error(`meshConfig.caCertificates[${i}] is left out`, { reason });
			return [];
		};
		if (pem === undefined) return leftOut("spiffeBundleUrl is not fetched: give the roots as pem");
		if (trustDomains.length > 0 && !trustDomains.includes(trustDomain)) return [];
		const bundle = decodeTrustBundle(pem);
		return bundle.ok ? [{ pem: bundle.value.pem, signers: certSigners }] : leftOut(bundle.reason);
	});
}

function unionOf(entries: readonly Entry[]): string {
	const bundle = decodeTrustBundle(entries.map(({ pem }) => pem).join("\n"));
	return bundle.ok ? bundle.value.pem : "";
}
