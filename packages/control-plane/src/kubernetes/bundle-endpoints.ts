import { decodeSpiffeBundle } from "@weft/pki";
import type { JwksTransport } from "@weft/pilot";
import { type Clock, createBackoff, type Logger } from "@weft/runtime";
import type { KeptBundles } from "./kept-bundles.ts";

export interface BundleEndpointsOptions {
	readonly fetchText: JwksTransport;
	/** What counts until there is a first answer. */
	readonly kept: KeptBundles;
	/** Another bundle was taken. */
	readonly onChanged: () => void;
	readonly clock: Clock;
	readonly random: () => number;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

/** SPIFFE bundles at HTTPS addresses, each asked for again and again, with its last good answer, be it one of an earlier run. */
export interface BundleEndpoints {
	/** These and no others from now on. Resolves when each new one has been asked once, whatever came of it. */
	follow(urls: readonly string[]): Promise<void>;
	/** PEM; "" : there was no good answer yet. */
	rootsOf(url: string): string;
}

export const endpointsMax = 16;
const timeoutMs = 10_000;
/** As istiod asks; who serves the bundle may want it sooner, but not more often than this. */
const refreshMs = { max: 30 * 60_000, min: 60_000 };
const retryMs = { minMs: 1_000, maxMs: 5 * 60_000 };

interface Endpoint {
	pem: string;
	/** As `pem`, once it is known to be kept. */
	keptPem: string;
	readonly stop: AbortController;
}

export function createBundleEndpoints(options: BundleEndpointsOptions): BundleEndpoints {
	const endpoints = new Map<string, Endpoint>();
	options.signal.addEventListener("abort", () => endpoints.forEach(({ stop }) => stop.abort()), { once: true });
	return {
		rootsOf: (url) => endpoints.get(url)?.pem ?? "",
		async follow(urls) {
			if (options.signal.aborted) return;
			for (const [url, { stop }] of endpoints) {
				if (urls.includes(url)) continue;
				stop.abort();
				endpoints.delete(url);
			}
			void options.kept
				.keepOnly(urls)
				.catch((error: unknown) => options.logger.warn("SPIFFE bundles of addresses that are named no more are still kept", { error }));
			const fresh = urls.filter((url) => !endpoints.has(url)).slice(0, endpointsMax - endpoints.size);
			await Promise.all(fresh.map((url) => start(url, endpoints, options)));
		},
	};
}

function start(url: string, endpoints: Map<string, Endpoint>, options: BundleEndpointsOptions): Promise<void> {
	const endpoint: Endpoint = { pem: "", keptPem: "", stop: new AbortController() };
	endpoints.set(url, endpoint);
	const asked = Promise.withResolvers<void>();
	void run(url, endpoint, options, asked.resolve).finally(asked.resolve);
	return asked.promise;
}

async function run(url: string, endpoint: Endpoint, options: BundleEndpointsOptions, onAsked: () => void): Promise<void> {
	const { clock, random, logger } = options;
	const { signal } = endpoint.stop;
	const backoff = createBackoff({ ...retryMs, random });
	let told = "";
	while (!signal.aborted) {
		let waitMs: number;
		try {
			waitMs = await ask(url, endpoint, options);
			backoff.reset();
			told = "";
		} catch (error) {
			if (signal.aborted) return;
			const reason = error instanceof Error ? error.message : String(error);
			if (endpoint.pem === "") await recall(url, endpoint, options);
			const instead = endpoint.pem === "" ? "there are no roots of it yet" : "its last roots stay";
			if (reason !== told) logger.error(`SPIFFE bundle not fetched; ${instead}`, { url, reason });
			told = reason;
			waitMs = backoff.nextMs();
		}
		onAsked();
		await clock.sleep(waitMs, signal);
	}
}

/** How long the answer may be kept. */
async function ask(url: string, endpoint: Endpoint, options: BundleEndpointsOptions): Promise<number> {
	const { fetchText, onChanged, logger } = options;
	const { signal } = endpoint.stop;
	const bundle = decodeSpiffeBundle(await fetchText(url, timeoutMs, signal));
	if (!bundle.ok) throw new Error(bundle.reason);
	const { trust, refreshHintMs = refreshMs.max } = bundle.value;
	if (trust.pem !== endpoint.pem && !signal.aborted) {
		endpoint.pem = trust.pem;
		logger.info("SPIFFE bundle fetched", { url, roots: trust.roots.length });
		onChanged();
	}
	await keep(url, endpoint, options);
	return Math.min(refreshMs.max, Math.max(refreshMs.min, refreshHintMs));
}

/** What cannot be kept now is tried again with the next answer. */
async function keep(url: string, endpoint: Endpoint, { kept, logger }: BundleEndpointsOptions): Promise<void> {
	const { pem, stop } = endpoint;
	if (pem === endpoint.keptPem || stop.signal.aborted) return;
	try {
		await kept.write(url, pem);
		endpoint.keptPem = pem;
	} catch (error) {
		if (!stop.signal.aborted) logger.warn("SPIFFE bundle is not kept: a restart while its address is away would be without its roots", { url, error });
	}
}

async function recall(url: string, endpoint: Endpoint, { kept, onChanged, logger }: BundleEndpointsOptions): Promise<void> {
	try {
		const pem = await kept.read(url);
		if (pem === "" || endpoint.stop.signal.aborted) return;
		endpoint.pem = pem;
		endpoint.keptPem = pem;
		logger.warn("SPIFFE bundle: the one that was fetched last counts until its address answers", { url });
		onChanged();
	} catch (error) {
		if (!endpoint.stop.signal.aborted) logger.warn("no kept SPIFFE bundle can be read", { url, error });
	}
}
