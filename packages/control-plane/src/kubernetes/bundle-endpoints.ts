import { decodeSpiffeBundle } from "@weft/pki";
import type { JwksTransport } from "@weft/pilot";
import { type Clock, createBackoff, type Logger } from "@weft/runtime";

export interface BundleEndpointsOptions {
	readonly fetchText: JwksTransport;
	/** Another bundle was taken. */
	readonly onChanged: () => void;
	readonly clock: Clock;
	readonly random: () => number;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

/** SPIFFE bundles at HTTPS addresses, each asked for again and again, with its last good answer. */
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
			const fresh = urls.filter((url) => !endpoints.has(url)).slice(0, endpointsMax - endpoints.size);
			await Promise.all(fresh.map((url) => start(url, endpoints, options)));
		},
	};
}

function start(url: string, endpoints: Map<string, Endpoint>, options: BundleEndpointsOptions): Promise<void> {
	const endpoint: Endpoint = { pem: "", stop: new AbortController() };
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
async function ask(url: string, endpoint: Endpoint, { fetchText, onChanged, logger }: BundleEndpointsOptions): Promise<number> {
	const { signal } = endpoint.stop;
	const bundle = decodeSpiffeBundle(await fetchText(url, timeoutMs, signal));
	if (!bundle.ok) throw new Error(bundle.reason);
	const { trust, refreshHintMs = refreshMs.max } = bundle.value;
	if (trust.pem !== endpoint.pem && !signal.aborted) {
		endpoint.pem = trust.pem;
		logger.info("SPIFFE bundle fetched", { url, roots: trust.roots.length });
		onChanged();
	}
	return Math.min(refreshMs.max, Math.max(refreshMs.min, refreshHintMs));
}
