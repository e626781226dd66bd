import type { RateLimitResponse, RateLimitResponse_DescriptorStatus } from "@weft/xds/generated/envoy/service/ratelimit/v3/rls.ts";
import type { HeaderValue } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { RateLimit, RateLimitSettings } from "../../config/rate-limits.ts";
import { ClusterCall, type UnaryResult } from "../../grpc/cluster-call.ts";
import { compileHeaderMutations } from "../headers/header-mutations.ts";
import { sendLocalReply } from "../http/local-reply.ts";
import type { HttpStream } from "../http/stream.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import { mergeMetadata } from "../log/stream-info.ts";
import { responseFlags } from "../log/response-flags.ts";
import { createCompileContext } from "../match/compile-context.ts";
import type { Counter, FilterInputs } from "./filter-inputs.ts";
import { compileDescriptors, type Descriptor } from "./rate-limit-descriptors.ts";

const path = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
const namespace = "envoy.filters.http.ratelimit";
const countersMax = 4000;
const overLimit = 2;
const resourceExhausted = 8;

/** Loaded by those whose configuration asks for it: most sidecars never do. */
const loadMessages = () => import("@weft/xds/generated/envoy/service/ratelimit/v3/rls.ts");
type Messages = Awaited<ReturnType<typeof loadMessages>>;

/** Asks a `RateLimitService` about requests that the filter's own `rate_limits` describe, or their route's. */
export function compileRateLimit(
	config: RateLimit,
	settings: RateLimitSettings | undefined,
	{ context, index, errors, rootCounter }: FilterInputs,
): StreamFilter {
	const compile = createCompileContext();
	const { stage, service } = config;
	const domain = settings?.domain || config.domain;
	const own = settings?.rateLimits ?? [];
	const rateLimits = own.length > 0 ? own : config.rateLimits;
	const { runtime } = context;
	const isOn = (key: string) => runtime.isEmpty || context.random() * 100 < runtime.percent(key, 100);
	const describe = compileDescriptors(
		{
			stage,
			rateLimits,
			virtualHostLimits: settings?.virtualHostLimits ?? "override",
			isOn: (disableKey) => isOn(`ratelimit.${disableKey}.http_filter_enabled`),
		},
		compile,
	);
	const mutateLimited = compileHeaderMutations([{ add: config.responseHeaders, remove: [] }], context.environment, errors);
	errors.push(...compile.errors);
	const prefix = config.statPrefix === "" ? "ratelimit." : `ratelimit.${config.statPrefix}.`;
	const counters = new Map<string, Counter>();
	/** Of the cluster that the request is for. */
	const count = ({ choice }: HttpStream, name: string) => {
		const key = `${choice?.cluster ?? ""} ${name}`;
		let own = counters.get(key);
		if (own === undefined && counters.size < countersMax) counters.set(key, (own = rootCounter(`cluster.${choice?.cluster ?? ""}.`, `${prefix}${name}`)));
		own?.();
	};
	let messages: Messages | undefined;
	const loading = loadMessages().then((loaded) => (messages = loaded));

	return {
		onRequestHead(stream) {
			const isInternal = stream.request.get("x-envoy-internal") === "true";
			if ((config.requestType === "internal" && !isInternal) || (config.requestType === "external" && isInternal)) return "continue";
			if (!isOn("ratelimit.http_filter_enabled")) return "continue";
			const descriptors = describe(stream);
			if (descriptors.length === 0) return "continue";
			ask(stream, descriptors);
			return "stop";
		},
		onResponseHead({ response, filters }) {
			const added = filters.states[index] as readonly string[] | undefined;
			for (let i = 0; i < (added?.length ?? 0); i += 2) response.append(added?.[i] as string, added?.[i + 1] as string);
		},
	};

	function ask(stream: HttpStream, descriptors: readonly Descriptor[]): void {
		const { filters } = stream;
		let call: ClusterCall | undefined;
		let isCancelled = false;
		const resume = filters.suspend(() => {
			isCancelled = true;
			call?.cancel();
		});
		const onAnswer = filters.guard((answer: RateLimitResponse | undefined) => {
			if (answer === undefined) fail(stream, resume);
			else accept(stream, answer, resume);
		});
		const start = ({ RateLimitRequest, RateLimitResponse }: Messages) => {
			if (isCancelled) return;
			const cluster = stream.snapshot.clusters.get(service.cluster);
			if (cluster === undefined) return stream.router.delay(1, () => onAnswer(undefined));
			const request = RateLimitRequest.encode(RateLimitRequest.fromPartial({ domain, descriptors: descriptors.map((entries) => ({ entries: [...entries] })) }));
			call = new ClusterCall(cluster, service, path, request.finish(), (result) => onAnswer(read(result, RateLimitResponse)));
		};
		if (messages !== undefined) return start(messages);
		void loading.then((loaded) => {
			start(loaded);
			stream.context.afterEvent();
		});
	}

	function accept(stream: HttpStream, answer: RateLimitResponse, resume: () => void): void {
		const { info, filters } = stream;
		if (answer.dynamicMetadata !== undefined) mergeMetadata(info, namespace, answer.dynamicMetadata);
		const headers = config.draft03Headers ? quotaHeaders(answer.statuses) : [];
		for (const { key, value } of answer.responseHeadersToAdd) headers.push(key.toLowerCase(), toLatin1(value));
		if (answer.overallCode === overLimit) {
			count(stream, "over_limit");
			if (!config.hidesRateLimitedHeader) headers.push("x-envoy-ratelimited", "true");
			// Counted as if the cluster had said so.
			if (stream.choice !== undefined) stream.snapshot.clusters.get(stream.choice.cluster)?.responseCodes.increment(config.status);
			if (isOn("ratelimit.http_filter_enforcing")) {
				filters.states[index] = headers;
				return refuse(stream, answer);
			}
		} else count(stream, "ok");
		filters.states[index] = headers;
		for (const header of answer.requestHeadersToAdd) addToRequest(stream, header);
		resume();
	}

	function refuse(stream: HttpStream, answer: RateLimitResponse): void {
		const grpc = config.asResourceExhausted ? { grpcStatus: resourceExhausted } : {};
		const mutateHead = mutateLimited && (() => mutateLimited(stream.response, stream.info));
		const body = Buffer.from(answer.rawBody);
		sendLocalReply(stream, { status: config.status, body, flags: responseFlags.RL, details: "request_rate_limited", mutateHead, ...grpc });
	}

	function fail(stream: HttpStream, resume: () => void): void {
		count(stream, "error");
		if (!config.failureModeDeny) {
			count(stream, "failure_mode_allowed");
			return resume();
		}
		sendLocalReply(stream, { status: config.statusOnError, body: "", flags: responseFlags.RLSE, details: "rate_limiter_error" });
	}
}

function read({ message }: UnaryResult, messages: Messages["RateLimitResponse"]): RateLimitResponse | undefined {
	if (message === undefined) return undefined;
	try {
		return messages.decode(message);
	} catch {
		return undefined;
	}
}

function addToRequest({ request }: HttpStream, { key, value }: HeaderValue): void {
	const name = key.toLowerCase();
	if (!name.startsWith(":") && name !== "host") request.append(name, toLatin1(value));
}

const toLatin1 = (text: string): string => Buffer.from(text).toString("latin1");

/** Seconds of a `RateLimit.Unit`. */
const unitSeconds: readonly number[] = [0, 1, 60, 3600, 86_400, 2_592_000, 31_536_000];

/** draft-polli-ratelimit-headers-03: the limit that is nearest, and the policy of them all. */
function quotaHeaders(statuses: readonly RateLimitResponse_DescriptorStatus[]): string[] {
	let nearest: RateLimitResponse_DescriptorStatus | undefined;
	let policy = "";
	for (const status of statuses) {
		const limit = status.currentLimit;
		if (limit === undefined) continue;
		if (nearest === undefined || status.limitRemaining < nearest.limitRemaining) nearest = status;
		const window = unitSeconds[limit.unit] ?? 0;
		if (window > 0) policy += `, ${limit.requestsPerUnit};w=${window}${limit.name === "" ? "" : `;name="${limit.name}"`}`;
	}
	if (nearest === undefined) return [];
	return [
		"x-ratelimit-limit",
		`${nearest.currentLimit?.requestsPerUnit ?? 0}${policy}`,
		"x-ratelimit-remaining",
		String(nearest.limitRemaining),
		"x-ratelimit-reset",
		String(nearest.durationUntilReset?.seconds ?? 0n),
	];
}
