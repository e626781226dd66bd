import { decodeTrustBundle, joinTrustBundles } from "@weft/pki";
import type { JwksTransport } from "@weft/pilot";
import type { Clock, Logger } from "@weft/runtime";
import { type BundleEndpoints, createBundleEndpoints, endpointsMax } from "./bundle-endpoints.ts";
import type { KeptBundles } from "./kept-bundles.ts";
import type { MeshConfigWatch } from "./mesh-config.ts";

export interface MeshRoots {
	/** What certificates of this signer must lead to, PEM; "" : nothing is known. */
	rootsOf(signerName: string): string;
	/** All of them, without repeats. */
	pem(): string;
	/** Returns the way to stop. */
	onChanged(listener: () => void): () => void;
}

export interface MeshRootsOptions {
	readonly mesh: Pick<MeshConfigWatch, "current" | "onChanged">;
	readonly trustDomain: string;
	/** Whether there are signers that `certSigners` could mean. */
	readonly hasSigners: boolean;
	readonly fetchText: JwksTransport;
	readonly kept: KeptBundles;
	readonly clock: Clock;
	readonly random: () => number;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

interface Entry {
	/** PEM, or the address of a SPIFFE bundle. */
	readonly from: { readonly pem: string } | { readonly url: string };
	/** Empty: every signer. */
	readonly signers: readonly string[];
}

/**
 * `meshConfig.caCertificates`: roots whose keys are not ours. What cannot be read, and what is for other trust domains alone, is
 * left out and told: workloads have one bundle for all names. Resolves when every bundle that is to be fetched was asked for once.
 */
export async function createMeshRoots(options: MeshRootsOptions): Promise<MeshRoots> {
	const { mesh, logger } = options;
	const listeners = new Set<() => void>();
	let entries = readEntries(options);
	const endpoints = createBundleEndpoints({ ...options, onChanged: () => refresh() });
	let all = joined(entries, endpoints, logger);
	const refresh = () => {
		all = joined(entries, endpoints, logger);
		logger.info("roots of meshConfig.caCertificates changed", { entries: entries.length });
		for (const listener of listeners) listener();
	};
	mesh.onChanged(() => {
		const fresh = readEntries(options);
		if (JSON.stringify(fresh) === JSON.stringify(entries)) return;
		entries = fresh;
		void endpoints.follow(urlsOf(entries));
		refresh();
	});
	await endpoints.follow(urlsOf(entries));
	return {
		pem: () => all,
		rootsOf: (signerName) =>
			joined(
				entries.filter(({ signers }) => signers.length === 0 || signers.includes(signerName)),
				endpoints,
				logger,
			),
		onChanged(listener) {
			listeners.add(listener);
			return () => void listeners.delete(listener);
		},
	};
}

function readEntries({ mesh, trustDomain, hasSigners, logger }: MeshRootsOptions): readonly Entry[] {
	const { caCertificates = [], trustDomainAliases = [] } = mesh.current();
	const own = [trustDomain, ...trustDomainAliases];
	const urls = new Set<string>();
	return caCertificates.flatMap(({ pem, spiffeBundleUrl, certSigners = [], trustDomains = [] }, i) => {
		const place = `meshConfig.caCertificates[${i}]`;
		const leftOut = (reason: string) => {
			logger.error(`${place} is left out`, { reason });
			return [];
		};
		if (trustDomains.length > 0 && !trustDomains.some((name) => own.includes(name)))
			return leftOut(`it is for trust domain ${trustDomains.join(", ")} and not for ${trustDomain}: roots of trust domains are not kept apart`);
		if (certSigners.length > 0 && !hasSigners) logger.warn(`${place}: certSigners means nothing without EXTERNAL_CA; the roots count for all certificates`);
		const from = pem === undefined ? urlOf(spiffeBundleUrl, urls) : pemOf(pem);
		return "reason" in from ? leftOut(from.reason) : [{ from, signers: certSigners }];
	});
}

type Source = Entry["from"] | { readonly reason: string };

function pemOf(pem: string): Source {
	const bundle = decodeTrustBundle(pem);
	return bundle.ok ? { pem: bundle.value.pem } : bundle;
}

/** Without a scheme it is HTTPS, as istiod has it. */
function urlOf(text: string | undefined, urls: Set<string>): Source {
	if (text === undefined || text === "") return { reason: "it has neither pem nor spiffeBundleUrl" };
	const url = URL.parse(text.includes("://") ? text : `https://${text}`);
	if (url?.protocol !== "https:") return { reason: `spiffeBundleUrl ${text.slice(0, 200)} is no HTTPS address` };
	urls.add(url.href);
	if (urls.size > endpointsMax) return { reason: `more than ${endpointsMax} bundles are not fetched` };
	return { url: url.href };
}

const urlsOf = (entries: readonly Entry[]): readonly string[] => [...new Set(entries.flatMap(({ from }) => ("url" in from ? [from.url] : [])))];

function joined(entries: readonly Entry[], endpoints: BundleEndpoints, logger: Logger): string {
	const { pem, leftOut } = joinTrustBundles(entries.map(({ from }) => ("url" in from ? endpoints.rootsOf(from.url) : from.pem)));
	if (leftOut > 0) logger.error("meshConfig.caCertificates has more roots than a bundle may hold; the last are left out", { leftOut });
	return pem;
}
