import assert from "node:assert/strict";
import { test } from "node:test";
import { type CorsPolicy, defaultFaultKeys, type FaultPolicy } from "../../config/http-filters.ts";
import type { OutlierDetection } from "../../config/outlier-detection.ts";
import type { RetryPolicy } from "../../config/retry-policy.ts";
import { RuntimeValues } from "../../config/runtime-values.ts";
import { breakerWord, createSlotAllocator, readWord, viewSharedWords } from "../../config/shared-state.ts";
import { createHeaders, createRequestView } from "../headers/headers-view.ts";
import { createHostCounts, type HostEntry } from "../lb/host-entry.ts";
import { host, outlierDetection } from "../lb/test-hosts.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { createCorsFilter } from "./cors.ts";
import { createFaultFilter } from "./fault-decision.ts";
import { createOutlierReporter } from "./outlier-reporter.ts";
import { applyRetryHeaders, compileRetryPolicy, type ResetReason } from "./retry-policy.ts";
import { createRetryState } from "./retry-state.ts";

const always = { numerator: 100, denominator: 100 } as const;
const runtime = new RuntimeValues();
const half = { numerator: 50, denominator: 100 } as const;

function fault(parts: Partial<FaultPolicy>) {
	const policy = {
		delay: undefined,
		abort: undefined,
		responseRate: undefined,
		headers: [],
		upstreamCluster: "",
		downstreamNodes: [],
		maxActive: undefined,
		keys: defaultFaultKeys,
		...parts,
	};
	return createFaultFilter(policy, createCompileContext(), runtime);
}

test("faults hit the share of requests they are for, and only the ones that match", () => {
	const delay = { fraction: half, source: { kind: "fixed", ms: 7000 } } as const;
	const jason = { name: "end-user", match: { kind: "exact", value: "jason", ignoreCase: false }, invert: false, treatMissingAsEmpty: false } as const;
	const filter = fault({ delay, headers: [jason], upstreamCluster: "ratings" });
	const head = createRequestView({ headers: { "end-user": "jason" } });
	assert.deepEqual(
		filter.decide(head, "ratings", () => 0.49),
		{ delayMs: 7000, abort: undefined, kibPerSecond: undefined },
	);
	assert.equal(
		filter.decide(head, "ratings", () => 0.5),
		undefined,
	);
	assert.equal(
		filter.decide(head, "reviews", () => 0),
		undefined,
	);
	assert.equal(
		filter.decide(createRequestView({}), "ratings", () => 0),
		undefined,
	);
});

test("a fault for all hits every request", () => {
	const filter = fault({ abort: { fraction: always, source: { kind: "http", status: 555 } } });
	assert.deepEqual(filter.decide(createRequestView({}), "c", () => 0.99)?.abort, { kind: "http", status: 555 });
});

test("header-controlled faults do what the caller asks, within the configured share", () => {
	const filter = fault({ delay: { fraction: half, source: { kind: "header" } }, abort: { fraction: half, source: { kind: "header" } } });
	const decide = (headers: Record<string, string>, random = 0) => filter.decide(createRequestView({ headers }), "c", () => random);
	assert.equal(decide({}), undefined);
	assert.equal(decide({ "x-envoy-fault-delay-request": "250" })?.delayMs, 250);
	assert.equal(decide({ "x-envoy-fault-delay-request": "250", "x-envoy-fault-delay-request-percentage": "100" }, 0.6), undefined);
	assert.equal(decide({ "x-envoy-fault-delay-request": "250", "x-envoy-fault-delay-request-percentage": "10" }, 0.2), undefined);
	assert.deepEqual(decide({ "x-envoy-fault-abort-grpc-request": "14" })?.abort, { kind: "grpc", status: 14 });
	assert.equal(decide({ "x-envoy-fault-abort-request": "99" }), undefined);
});

test("a caller says how fast it is answered, within the configured share; what is no rate is none", () => {
	const filter = fault({ responseRate: { fraction: half, source: { kind: "header" } } });
	const rate = (headers: Record<string, string>, random = 0) => filter.decide(createRequestView({ headers }), "c", () => random)?.kibPerSecond;
	assert.equal(rate({ "x-envoy-fault-throughput-response": "7" }), 7);
	assert.equal(rate({ "x-envoy-fault-throughput-response": "7" }, 0.5), undefined);
	assert.equal(rate({ "x-envoy-fault-throughput-response": "7", "x-envoy-fault-throughput-response-percentage": "10" }, 0.2), undefined);
	for (const none of ["0", "-1", "x", ""]) assert.equal(rate({ "x-envoy-fault-throughput-response": none }), undefined);
	assert.equal(rate({}), undefined);
	const fixed = fault({ responseRate: { fraction: always, source: { kind: "fixed", kibPerSecond: 3 } } });
	assert.deepEqual(
		fixed.decide(createRequestView({}), "c", () => 0.99),
		{ delayMs: 0, abort: undefined, kibPerSecond: 3 },
	);
});

test("CORS answers preflights, marks actual requests, and refuses unknown origins", () => {
	const policy: CorsPolicy = {
		allowOrigins: [{ kind: "suffix", value: ".example.com", ignoreCase: false }],
		allowMethods: "GET,POST",
		allowHeaders: "x-a",
		exposeHeaders: "x-b",
		maxAge: "86400",
		allowCredentials: true,
		enabled: always,
		forwardNotMatchingPreflights: false,
	};
	const filter = createCorsFilter(policy, createCompileContext(), runtime);
	const judge = (method: string, headers: Record<string, string>) => filter.judge(createRequestView({ method, headers }), () => 0);
	const preflight = { "access-control-request-method": "POST" };
	assert.equal(judge("GET", {}), "none");
	assert.equal(judge("GET", { origin: "https://a.example.com" }), "actual");
	assert.equal(judge("GET", { origin: "https://evil.org" }), "refused");
	assert.equal(judge("OPTIONS", { origin: "https://a.example.com" }), "actual");
	assert.equal(judge("OPTIONS", { origin: "https://a.example.com", ...preflight }), "preflight");
	assert.equal(judge("OPTIONS", { origin: "https://evil.org", ...preflight }), "preflightRefused");
	const response = createHeaders();
	filter.writePreflight(response, "https://a.example.com");
	assert.deepEqual(Object.fromEntries(response.entries()), {
		"access-control-allow-origin": "https://a.example.com",
		"access-control-allow-credentials": "true",
		"access-control-allow-methods": "GET,POST",
		"access-control-allow-headers": "x-a",
		"access-control-max-age": "86400",
	});
});

const retryPolicy = (parts: Partial<RetryPolicy>): RetryPolicy => ({
	retryOn: [],
	numRetries: 2,
	perTryTimeoutMs: undefined,
	perTryIdleTimeoutMs: undefined,
	retriableStatusCodes: [],
	retriableHeaders: [],
	retriableRequestHeaders: [],
	backOff: { baseMs: 25, maxMs: 60 },
	rateLimited: undefined,
	avoids: { previous: true, canary: false, metadata: [] },
	previousPriorities: undefined,
	hostSelectionAttemptsMax: 5,
	...parts,
});

test("each retry_on token retries what it names", () => {
	const onResponse = (retryOn: string, status: number, headers: Record<string, string> = {}) =>
		compileRetryPolicy(retryPolicy({ retryOn: [retryOn], retriableStatusCodes: [418] })).value.retriesResponse(status, createHeaders(headers));
	for (const [token, status, headers, wanted] of [
		["5xx", 500, {}, true],
		["5xx", 499, {}, false],
		["5xx", 503, { "x-envoy-ratelimited": "true" }, false],
		["envoy-ratelimited", 429, { "x-envoy-ratelimited": "true" }, true],
		["gateway-error", 500, {}, false],
		["gateway-error", 503, {}, true],
		["retriable-4xx", 409, {}, true],
		["retriable-4xx", 404, {}, false],
		["retriable-status-codes", 418, {}, true],
		["connect-failure", 503, {}, false],
		["unavailable", 200, { "grpc-status": "14" }, true],
		["unavailable", 200, { "grpc-status": "13" }, false],
	] as const) {
		assert.equal(onResponse(token, status, headers), wanted, `${token} ${status}`);
	}
	const onReset = (retryOn: string, reason: ResetReason, started = true) =>
		compileRetryPolicy(retryPolicy({ retryOn: [retryOn] })).value.retriesReset(reason, started);
	for (const [token, reason, started, wanted] of [
		["connect-failure", "connectFailure", false, true],
		["connect-failure", "remoteReset", true, false],
		["refused-stream", "remoteRefused", true, true],
		["reset", "connectionTermination", true, true],
		["reset", "overflow", false, false],
		["5xx", "perTryTimeout", true, true],
		["reset-before-request", "connectionTermination", false, true],
		["reset-before-request", "connectionTermination", true, false],
	] as const) {
		assert.equal(onReset(token, reason, started), wanted, `${token} ${reason}`);
	}
});

function entry(slot: number): HostEntry {
	return {
		host: host(1, { slot }),
		address: "10.0.0.1:1",
		priority: 0,
		locality: { region: "", zone: "", subZone: "" },
		active: 0,
		addedAtMs: 0,
		latencyMs: -1,
		latencyAtMs: 0,
		inUse: true,
		attachment: undefined,
		counts: createHostCounts(),
		totals: { active: 0 },
	};
}

const slots = createSlotAllocator();
const words = viewSharedWords(slots.buffer);

function breaker(retriesMax: number, parts: { percent: number; concurrencyMin: number } | undefined = undefined) {
	const breakerSlot = slots.allocate();
	const limits = { connectionsMax: 1, pendingRequestsMax: 1, requestsMax: 1, retriesMax, retryBudget: parts, tracksRemaining: false };
	return { words, breakerSlot, priority: "default", limits } as const;
}

test("retries are counted, back off, remember their hosts and give the breaker back", () => {
	const shared = breaker(3);
	const word = breakerWord(shared.breakerSlot, "default", "retries");
	const state = createRetryState(compileRetryPolicy(retryPolicy({ retryOn: ["5xx"], numRetries: 3 })).value, shared, {
		random: () => 0.5,
		wallMs: () => 0,
		runtime,
	});
	const tried = entry(0);
	const delays = [0, 1, 2].map(() => {
		assert.equal(state.afterResponse(503, createHeaders(), tried), "retry");
		assert.equal(readWord(words, word), 1);
		return state.backOffMs;
	});
	assert.deepEqual(delays, [12.5, 25, 30]);
	assert.ok(state.avoids(tried) && !state.avoids(entry(1)));
	assert.equal(state.afterResponse(503, createHeaders(), tried), "limitExceeded");
	assert.equal(readWord(words, word), 0);
});

test("the retry breaker holds over requests; a budget replaces the limit", () => {
	const { value } = compileRetryPolicy(retryPolicy({ retryOn: ["reset"] }));
	for (const [shared, allowed] of [
		[breaker(1), 1],
		[breaker(0, { percent: 20, concurrencyMin: 3 }), 3],
	] as const) {
		const states = Array.from({ length: allowed + 1 }, () => createRetryState(value, shared, { random: () => 0, wallMs: () => 0, runtime }));
		const verdicts = states.map((state) => state.afterReset("remoteReset", true, undefined));
		assert.deepEqual(verdicts, [...new Array(allowed).fill("retry"), "overflow"]);
		states[0]?.end();
		assert.equal(states[allowed]?.afterReset("remoteReset", true, undefined), "retry");
	}
});

test("x-envoy-retry headers widen the route's policy", () => {
	const { value } = compileRetryPolicy(retryPolicy({ retryOn: ["connect-failure"] }));
	assert.equal(applyRetryHeaders(value, createHeaders()), value);
	const widened = applyRetryHeaders(undefined, createHeaders({ "x-envoy-retry-on": "5xx", "x-envoy-max-retries": "4" }));
	assert.equal(widened?.config.numRetries, 4);
	assert.equal(widened?.retriesResponse(500, createHeaders()), true);
});

test("consecutive failures over all workers ask for an ejection, one success starts over", () => {
	const outlier: OutlierDetection = {
		...outlierDetection,
		consecutive5xx: 3,
		consecutiveGatewayFailure: 2,
		enforcingConsecutiveGatewayFailure: 100,
		consecutiveLocalOriginFailure: 2,
		maxEjectionPercent: 100,
	};
	const run = (split: boolean, steps: (r: ReturnType<typeof createOutlierReporter>, e: HostEntry) => void) => {
		const asked: string[] = [];
		steps(
			createOutlierReporter({ ...outlier, splitExternalLocalOrigin: split }, words, (_slot, reason) => asked.push(reason)),
			entry(slots.allocate()),
		);
		return asked;
	};
	const answers = (...statuses: readonly number[]) => run(false, (r, e) => statuses.forEach((status) => r.response(e, status)));
	assert.deepEqual(answers(500, 500, 500), ["consecutive5xx"]);
	assert.deepEqual(answers(500, 500, 200, 500, 500), []);
	assert.deepEqual(answers(503, 500, 503, 503), ["consecutive5xx", "consecutiveGateway"]);
	const failures = (split: boolean) => run(split, (r, e) => [1, 2].forEach(() => r.localFailure(e, "connectFailure")));
	assert.deepEqual(failures(false), ["consecutiveGateway"]);
	assert.deepEqual(failures(true), ["localOrigin"]);
});
