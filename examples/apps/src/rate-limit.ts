import type { AppContext, RunningApp } from "./environment.ts";
import { startGrpcServer } from "./grpc-server.ts";
import { decodeRateLimitRequest, type Descriptor, encodeRateLimitResponse, type DescriptorStatus } from "./rate-limit-messages.ts";

const units = { second: 1, minute: 60, hour: 3_600, day: 86_400 } as const;
type Unit = keyof typeof units;

/** A tree, as envoyproxy/ratelimit's configuration has it: `value` left out stands for every value, each counted by itself. */
interface Rule {
	readonly key: string;
	readonly value?: string;
	readonly rate_limit?: { readonly unit: Unit; readonly requests_per_unit: number };
	readonly descriptors?: readonly Rule[];
}

interface Domain {
	readonly domain: string;
	readonly descriptors: readonly Rule[];
}

/** Counts that are kept; beyond, the oldest windows are forgotten. */
const countsMax = 100_000;

/**
 * A rate limit service (`envoy.service.ratelimit.v3.RateLimitService`) that counts in fixed windows in its own memory, so run one.
 * RATE_LIMITS is JSON: a list of `{domain, descriptors: [{key, value, rate_limit: {unit, requests_per_unit}, descriptors}]}`.
 */
export function startRateLimit(context: AppContext, nowMs: () => number = Date.now): Promise<RunningApp> {
	const domains = readDomains(context.env["RATE_LIMITS"]);
	const counts = new Map<string, number>();
	const statusOf = (domain: string, descriptor: Descriptor, hits: number): DescriptorStatus => {
		const limit = findLimit(domains.find((one) => one.domain === domain)?.descriptors ?? [], descriptor);
		if (limit === undefined) return { isOver: false, limit: undefined, remaining: 0, resetSeconds: 0 };
		const seconds = units[limit.unit];
		const now = Math.floor(nowMs() / 1000);
		const window = Math.floor(now / seconds);
		const id = JSON.stringify([domain, descriptor, limit.unit, window]);
		const count = (counts.get(id) ?? 0) + hits;
		counts.delete(id);
		counts.set(id, count);
		if (counts.size > countsMax) counts.delete(counts.keys().next().value as string);
		const remaining = Math.max(0, limit.requests_per_unit - count);
		return {
			isOver: count > limit.requests_per_unit,
			limit: { perUnit: limit.requests_per_unit, unit: limit.unit },
			remaining,
			resetSeconds: (window + 1) * seconds - now,
		};
	};
	return startGrpcServer(context, 8_081, {
		"/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"(message) {
			const { domain, descriptors, hitsAddend } = decodeRateLimitRequest(message);
			return encodeRateLimitResponse(descriptors.map((descriptor) => statusOf(domain, descriptor, hitsAddend || 1)));
		},
	});
}

/** The whole descriptor has to be in the tree; an exact value comes before any. */
function findLimit(rules: readonly Rule[], [entry, ...rest]: Descriptor): Rule["rate_limit"] {
	if (entry === undefined) return undefined;
	const own = rules.filter(({ key }) => key === entry.key);
	const rule = own.find(({ value }) => value === entry.value) ?? own.find(({ value }) => value === undefined);
	return rest.length === 0 ? rule?.rate_limit : findLimit(rule?.descriptors ?? [], rest);
}

function readDomains(text: string | undefined): readonly Domain[] {
	if (text === undefined) throw new Error("RATE_LIMITS is not set: a JSON list of {domain, descriptors}");
	const value: unknown = JSON.parse(text);
	if (!Array.isArray(value)) throw new Error("RATE_LIMITS: expected a list of {domain, descriptors}");
	for (const { domain, descriptors } of value as readonly Partial<Domain>[]) {
		if (typeof domain !== "string" || !Array.isArray(descriptors)) throw new Error("RATE_LIMITS: expected a list of {domain, descriptors}");
		checkRules(descriptors);
	}
	return value as readonly Domain[];
}

function checkRules(rules: readonly Rule[]): void {
	for (const { key, rate_limit: limit, descriptors = [] } of rules) {
		if (typeof key !== "string") throw new Error("RATE_LIMITS: a descriptor has no key");
		if (limit !== undefined && (!Object.hasOwn(units, limit.unit) || !Number.isInteger(limit.requests_per_unit)))
			throw new Error(`RATE_LIMITS: ${key}: expected {unit: second|minute|hour|day, requests_per_unit: N}`);
		checkRules(descriptors);
	}
}
