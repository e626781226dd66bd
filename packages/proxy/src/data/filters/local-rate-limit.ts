import type { LocalRateLimit, TokenBucket } from "../../config/rate-limits.ts";
import { type Bucket, createOwnBucket, openBucket } from "../../config/shared-buckets.ts";
import { isInFraction } from "../../config/runtime-values.ts";
import { compileHeaderMutations } from "../headers/header-mutations.ts";
import { sendLocalReply } from "../http/local-reply.ts";
import type { HttpStream } from "../http/stream.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import type { ConnectionInfo } from "../log/stream-info.ts";
import { responseFlags } from "../log/response-flags.ts";
import { createCompileContext } from "../match/compile-context.ts";
import type { WorkerContext } from "../worker/context.ts";
import type { FilterInputs } from "./filter-inputs.ts";
import { compileDescriptors, type Descriptor } from "./rate-limit-descriptors.ts";

/** One configured descriptor: its buckets, one for each value where it leaves values open. */
interface DescriptorLimit {
	readonly rate: TokenBucket;
	match(descriptor: Descriptor): Standing | undefined;
}

interface Limits {
	/** undefined: without a descriptor that fits there is no limit. */
	readonly general: Standing | undefined;
	readonly descriptors: readonly DescriptorLimit[];
}

/** Without a standing no bucket was asked. */
interface Verdict {
	readonly isAllowed: boolean;
	readonly standing: Standing | undefined;
}

/** A bucket, what headers say of it, and the verdicts that it gives. */
class Standing {
	readonly bucket: Bucket;
	readonly limit: string;
	readonly #allowed: Verdict = { isAllowed: true, standing: this };
	readonly #refused: Verdict = { isAllowed: false, standing: this };

	constructor(bucket: Bucket, { tokensMax }: TokenBucket) {
		this.bucket = bucket;
		this.limit = String(tokensMax);
	}

	take(wallMs: () => number): Verdict {
		return this.bucket.isInexhaustible || this.bucket.take(wallMs()) ? this.#allowed : this.#refused;
	}
}

const none: readonly Descriptor[] = [];
const unlimited: Verdict = { isAllowed: true, standing: undefined };

/** Token buckets, for all requests or for those that a route's `rate_limits` describe. All workers draw from the same. */
export function compileLocalRateLimit(config: LocalRateLimit, { context, index, errors, rootCounter }: FilterInputs): StreamFilter {
	const counter = (name: string) => rootCounter(`${config.statPrefix}.http_local_rate_limit.`, name);
	const [enabled, enforced, ok, limited] = [counter("enabled"), counter("enforced"), counter("ok"), counter("rate_limited")] as const;
	const compile = createCompileContext();
	const describe = config.descriptors.length === 0 ? () => none : compileDescriptors(config, compile);
	const mutate = (add: LocalRateLimit["responseHeaders"]) => compileHeaderMutations([{ add, remove: [] }], context.environment, errors);
	const mutateResponse = mutate(config.responseHeaders);
	const mutateRequest = mutate(config.requestHeadersWhenNotEnforced);
	errors.push(...compile.errors);
	const shared = config.perConnection ? undefined : openLimits(config, context, false);
	const byConnection = new WeakMap<ConnectionInfo, Limits>();
	const limitsOf = (connection: ConnectionInfo): Limits => {
		if (shared !== undefined) return shared;
		let own = byConnection.get(connection);
		if (own === undefined) byConnection.set(connection, (own = openLimits(config, context, true)));
		return own;
	};
	return {
		onRequestHead(stream) {
			if (!isInFraction(context.runtime.share(config.enabled), context.random)) return "continue";
			enabled();
			const { info, filters, request } = stream;
			const verdict = take(limitsOf(info.connection), config, describe(stream), context.wallMs);
			if (config.draft03Headers) filters.states[index] = verdict.standing;
			if (verdict.isAllowed) {
				ok();
				return "continue";
			}
			limited();
			if (!isInFraction(context.runtime.share(config.enforced), context.random)) {
				mutateRequest?.(request, info);
				return "continue";
			}
			enforced();
			refuse(stream);
			return "stop";
		},
		onResponseHead({ response, filters }) {
			const standing = filters.states[index] as Standing | undefined;
			if (standing === undefined) return;
			const { bucket, limit } = standing;
			const nowMs = bucket.isInexhaustible ? 0 : context.wallMs();
			response.set("x-ratelimit-limit", limit);
			response.set("x-ratelimit-remaining", bucket.isInexhaustible ? limit : String(bucket.remaining(nowMs)));
			response.set("x-ratelimit-reset", bucket.isInexhaustible ? "0" : String(Math.ceil(bucket.waitMs(nowMs) / 1000)));
		},
	};

	function refuse(stream: HttpStream): void {
		const grpc = config.asResourceExhausted ? { grpcStatus: 8 } : {};
		const mutateHead = mutateResponse && (() => mutateResponse(stream.response, stream.info));
		sendLocalReply(stream, {
			status: config.status,
			body: "local_rate_limited",
			flags: responseFlags.RL,
			isFlaggedLate: true,
			details: "local_rate_limited",
			mutateHead,
			...grpc,
		});
	}
}

function openLimits(config: LocalRateLimit, context: WorkerContext, isOwn: boolean): Limits {
	const openShared = (rate: TokenBucket, values: string): Bucket => {
		const key = [config.statPrefix, rate.key, rate.tokensMax, rate.tokensPerFill, rate.fillIntervalMs, values].join("\0");
		return openBucket(context.buckets, context.hash64(key), rate);
	};
	const open = (rate: TokenBucket, values: string) => new Standing(isOwn ? createOwnBucket(rate) : openShared(rate, values), rate);
	return {
		general: config.bucket && open(config.bucket, ""),
		// The slowest first, as in Envoy: what is refused there costs the others nothing.
		descriptors: config.descriptors
			.map((descriptor) => openDescriptor(descriptor, config.dynamicDescriptorsMax, open))
			.toSorted((a, b) => a.rate.tokensPerFill / a.rate.fillIntervalMs - b.rate.tokensPerFill / b.rate.fillIntervalMs),
	};
}

function openDescriptor(
	{ entries, bucket: rate }: LocalRateLimit["descriptors"][number],
	valuesMax: number,
	open: (rate: TokenBucket, values: string) => Standing,
): DescriptorLimit {
	const matches = (descriptor: Descriptor) =>
		descriptor.length === entries.length &&
		entries.every(({ key, value }, i) => descriptor[i]?.key === key && (value === "" || descriptor[i]?.value === value));
	if (entries.every(({ value }) => value !== "")) {
		const standing = open(rate, "");
		return { rate, match: (descriptor) => (matches(descriptor) ? standing : undefined) };
	}
	// Least recently used values are forgotten first.
	const byValues = new Map<string, Standing>();
	return {
		rate,
		match(descriptor) {
			if (!matches(descriptor)) return undefined;
			const values = descriptor.map(({ value }) => value).join("\0");
			const standing = byValues.get(values) ?? open(rate, values);
			byValues.delete(values);
			byValues.set(values, standing);
			const [oldest] = byValues.size > valuesMax ? byValues.keys() : [];
			if (oldest !== undefined) byValues.delete(oldest);
			return standing;
		},
	};
}

function take(limits: Limits, config: LocalRateLimit, described: readonly Descriptor[], wallMs: () => number): Verdict {
	const matched = described.length === 0 ? undefined : takeDescribed(limits, described, wallMs);
	if (matched?.isAllowed === false) return matched;
	const { general } = limits;
	if (general === undefined || (matched !== undefined && !config.alwaysConsumeDefault)) return matched ?? unlimited;
	const verdict = general.take(wallMs);
	return verdict.isAllowed ? (matched ?? verdict) : verdict;
}

/** undefined: no descriptor is for this request. */
function takeDescribed({ descriptors }: Limits, described: readonly Descriptor[], wallMs: () => number): Verdict | undefined {
	let verdict: Verdict | undefined;
	for (const { match } of descriptors) {
		for (const descriptor of described) {
			const standing = match(descriptor);
			if (standing === undefined) continue;
			verdict = standing.take(wallMs);
			if (!verdict.isAllowed) return verdict;
			break;
		}
	}
	return verdict;
}
