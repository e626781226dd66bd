import type { LocalRateLimit, TokenBucket } from "../../config/rate-limits.ts";
import { type Bucket, createOwnBucket, openBucket } from "../../config/shared-buckets.ts";
import { compileHeaderMutations } from "../headers/header-mutations.ts";
import { sendLocalReply } from "../http/local-reply.ts";
import type { HttpStream } from "../http/stream.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import type { ConnectionInfo } from "../log/stream-info.ts";
import { responseFlags } from "../log/response-flags.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { isInFraction } from "../match/route-table.ts";
import type { WorkerContext } from "../worker/context.ts";
import type { FilterInputs } from "./filter-inputs.ts";
import { compileDescriptors, type Descriptor } from "./rate-limit-descriptors.ts";

/** One configured descriptor: its buckets, one for each value where it leaves values open. */
interface DescriptorLimit {
	readonly rate: TokenBucket;
	match(descriptor: Descriptor): Bucket | undefined;
}

interface Limits {
	/** undefined: without a descriptor that fits there is no limit. */
	readonly general: Bucket | undefined;
	readonly descriptors: readonly DescriptorLimit[];
}

interface Standing {
	readonly bucket: Bucket;
	readonly rate: TokenBucket;
}

/** Token buckets, for all requests or for those that a route's `rate_limits` describe. All workers draw from the same. */
export function compileLocalRateLimit(config: LocalRateLimit, { context, index, errors, rootCounter }: FilterInputs): StreamFilter {
	const counter = (name: string) => rootCounter(`${config.statPrefix}.http_local_rate_limit.`, name);
	const [enabled, enforced, ok, limited] = [counter("enabled"), counter("enforced"), counter("ok"), counter("rate_limited")] as const;
	const compile = createCompileContext();
	const describe = config.descriptors.length === 0 ? () => [] : compileDescriptors(config, compile);
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
			if (!isInFraction(config.enabled, context.random)) return "continue";
			enabled();
			const { info, filters, request } = stream;
			const verdict = take(limitsOf(info.connection), config, describe(stream), context.wallMs());
			if (config.draft03Headers) filters.states[index] = verdict.standing;
			if (verdict.isAllowed) {
				ok();
				return "continue";
			}
			limited();
			if (!isInFraction(config.enforced, context.random)) {
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
			response.set("x-ratelimit-limit", String(standing.rate.tokensMax));
			response.set("x-ratelimit-remaining", String(standing.bucket.remaining(context.wallMs())));
			response.set("x-ratelimit-reset", String(Math.ceil(standing.bucket.waitMs(context.wallMs()) / 1000)));
		},
	};

	function refuse(stream: HttpStream): void {
		const grpc = config.asResourceExhausted ? { grpcStatus: 8 } : {};
		const mutateHead = mutateResponse && (() => mutateResponse(stream.response, stream.info));
		sendLocalReply(stream, { status: config.status, body: "local_rate_limited", flags: responseFlags.RL, details: "local_rate_limited", mutateHead, ...grpc });
	}
}

function openLimits(config: LocalRateLimit, context: WorkerContext, isOwn: boolean): Limits {
	const open = (rate: TokenBucket, values: string): Bucket => {
		if (isOwn) return createOwnBucket(rate);
		const key = [config.statPrefix, rate.key, rate.tokensMax, rate.tokensPerFill, rate.fillIntervalMs, values].join("\0");
		return openBucket(context.buckets, context.hash64(key), rate);
	};
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
	open: (rate: TokenBucket, values: string) => Bucket,
): DescriptorLimit {
	const matches = (descriptor: Descriptor) =>
		descriptor.length === entries.length &&
		entries.every(({ key, value }, i) => descriptor[i]?.key === key && (value === "" || descriptor[i]?.value === value));
	if (entries.every(({ value }) => value !== "")) {
		const bucket = open(rate, "");
		return { rate, match: (descriptor) => (matches(descriptor) ? bucket : undefined) };
	}
	// Least recently used values are forgotten first.
	const byValues = new Map<string, Bucket>();
	return {
		rate,
		match(descriptor) {
			if (!matches(descriptor)) return undefined;
			const values = descriptor.map(({ value }) => value).join("\0");
			const bucket = byValues.get(values) ?? open(rate, values);
			byValues.delete(values);
			byValues.set(values, bucket);
			const [oldest] = byValues.size > valuesMax ? byValues.keys() : [];
			if (oldest !== undefined) byValues.delete(oldest);
			return bucket;
		},
	};
}

function take(
	limits: Limits,
	config: LocalRateLimit,
	described: readonly Descriptor[],
	nowMs: number,
): { readonly isAllowed: boolean; readonly standing: Standing | undefined } {
	let standing: Standing | undefined;
	let isMatched = false;
	for (const { rate, match } of described.length === 0 ? [] : limits.descriptors) {
		for (const descriptor of described) {
			const bucket = match(descriptor);
			if (bucket === undefined) continue;
			isMatched = true;
			standing = { bucket, rate };
			if (!bucket.take(nowMs)) return { isAllowed: false, standing };
			break;
		}
	}
	if (limits.general === undefined || config.bucket === undefined || (isMatched && !config.alwaysConsumeDefault)) return { isAllowed: true, standing };
	const isAllowed = limits.general.take(nowMs);
	return { isAllowed, standing: isMatched && isAllowed ? standing : { bucket: limits.general, rate: config.bucket } };
}
