import { type ConfigObject, parseDurationMs } from "@weft/api";
import type { Clock, Logger } from "@weft/runtime";
import { createBackoff } from "@weft/runtime";
import { isDiscovery, type JwksIndex, jwksKeyOf, noJwks } from "../model/jwks.ts";
import type { PushSnapshot } from "../model/push.ts";
import { createSlots, type Slots } from "./slots.ts";

/** Gets the text behind an address, with the limits on addresses, redirects and size that its maker has set; rejects with what went wrong. */
export type JwksTransport = (url: string, timeoutMs: number, signal: AbortSignal) => Promise<string>;

export interface JwksFetcherOptions {
	readonly transport: JwksTransport;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
	/** The index has other keys now. */
	readonly onChange: () => void;
	/** In [0, 1); for tests. */
	readonly random?: () => number;
}

export interface JwksFetcher {
	/** What has been fetched so far; the same map while it is the same. */
	readonly index: JwksIndex;
	/** Fetches what a snapshot's policies name, and forgets what they name no more. */
	update(push: PushSnapshot): void;
}

/** As istiod does: good keys are read anew so often. */
const refreshMs = 20 * 60_000;
const retryMs = { minMs: 1_000, maxMs: 60 * 60_000 };
const timeoutMsDefault = 5_000;
/** Addresses that are kept up; what policies name beyond them stays unknown, and tokens are refused. */
const issuersMax = 1_000;
const concurrentMax = 8;

/** Keeps the keys of token issuers. A fetch that fails leaves the last good keys in force, and is tried again. */
export function createJwksFetcher(options: JwksFetcherOptions): JwksFetcher {
	const { signal, logger, onChange } = options;
	let index: JwksIndex = noJwks;
	let known: object | undefined;
	const running = new Map<string, AbortController>();
	const slots = createSlots(concurrentMax);

	function store(key: string, text: string | undefined): void {
		if (index.get(key) === text) return;
		const next = new Map(index);
		if (text === undefined) next.delete(key);
		else next.set(key, text);
		index = next;
		if (text !== undefined) onChange();
	}

	return {
		get index() {
			return index;
		},
		update({ policies: { requestAuthentication } }) {
			if (known === requestAuthentication || signal.aborted) return;
			known = requestAuthentication;
			const wanted = wantedKeys([...requestAuthentication.byNamespace.values()].flat());
			for (const [key, controller] of running) {
				if (wanted.has(key)) continue;
				controller.abort();
				running.delete(key);
				store(key, undefined);
			}
			for (const [key, timeoutMs] of wanted) {
				if (running.has(key)) continue;
				if (running.size >= issuersMax) {
					logger.warn("too many token issuers: keys are not fetched", { key, max: issuersMax });
					continue;
				}
				const controller = new AbortController();
				running.set(key, controller);
				const ended = AbortSignal.any([signal, controller.signal]);
				void keepKeys({ ...options, signal: ended }, key, timeoutMs, slots, (text) => store(key, text));
			}
		},
	};
}

/** Address → time limit: the longest that a rule grants. */
function wantedKeys(policies: readonly ConfigObject<"RequestAuthentication">[]): ReadonlyMap<string, number> {
	const wanted = new Map<string, number>();
	for (const rule of policies.flatMap(({ spec }) => spec.jwtRules ?? [])) {
		if (rule.jwks) continue;
		const key = jwksKeyOf(rule);
		const timeoutMs = (rule.timeout === undefined ? undefined : parseDurationMs(rule.timeout)) ?? timeoutMsDefault;
		wanted.set(key, Math.max(wanted.get(key) ?? 0, timeoutMs));
	}
	return wanted;
}

/** Never rejects; ends with the signal. */
async function keepKeys(options: JwksFetcherOptions, key: string, timeoutMs: number, slots: Slots, found: (text: string) => void): Promise<void> {
	const { clock, logger, signal, random = Math.random } = options;
	const backoff = createBackoff({ ...retryMs, random });
	while (!signal.aborted) {
		let waitMs: number;
		try {
			const text = await slots.run(() => fetchKeys(options, key, timeoutMs));
			if (signal.aborted) return;
			found(text);
			backoff.reset();
			// Not all at once: many issuers were read in the same second.
			waitMs = refreshMs * (0.9 + 0.2 * random());
		} catch (error) {
			if (signal.aborted) return;
			waitMs = backoff.nextMs();
			logger.warn("keys of a token issuer could not be fetched", { address: key, error: messageOf(error), retryMs: Math.round(waitMs) });
		}
		await clock.sleep(waitMs, signal);
	}
}

async function fetchKeys({ transport, signal }: JwksFetcherOptions, key: string, timeoutMs: number): Promise<string> {
	const address = isDiscovery(key) ? jwksUriOf(await transport(key, timeoutMs, signal)) : key;
	return checkedKeys(await transport(address, timeoutMs, signal));
}

/** https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata */
function jwksUriOf(text: string): string {
	const { jwks_uri: uri } = parseObject(text, "the issuer's configuration");
	if (typeof uri !== "string" || !/^https?:\/\//.test(uri)) throw new Error("the issuer's configuration has no jwks_uri");
	return uri;
}

/** The keys as they may be handed to proxies: public ones only, whatever the issuer lets slip. */
function checkedKeys(text: string): string {
	const { keys } = parseObject(text, "the key set");
	if (!Array.isArray(keys) || keys.length === 0) throw new Error("the key set has no keys");
	const isSecret = (key: unknown) => typeof key !== "object" || key === null || "d" in key || ("kty" in key && key.kty === "oct");
	if (keys.some(isSecret)) throw new Error("the key set holds a key that is not public");
	return text;
}

function parseObject(text: string, what: string): Readonly<Record<string, unknown>> {
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch {
		throw new Error(`${what} is no JSON`);
	}
	if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`${what} is no JSON object`);
	return value as Readonly<Record<string, unknown>>;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
