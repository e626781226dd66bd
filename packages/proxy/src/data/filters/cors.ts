import type { CorsPolicy } from "../../config/http-filters.ts";
import { isInFraction, type RuntimeValues } from "../../config/runtime-values.ts";
import { createHeaders, type HeadersEdit, type RequestView } from "../headers/headers-view.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import { sendLocalReply } from "../http/local-reply.ts";
import { type CompileContext, createCompileContext } from "../match/compile-context.ts";
import { compileStringMatch } from "../match/string-match.ts";
import type { FilterInputs } from "./filter-inputs.ts";

/**
 * What to do with a request under a policy:
 * - `none`: nothing (no Origin, or the policy is off);
 * - `refused`: count `cors.origin_invalid`, go on without CORS headers;
 * - `preflight`, `preflightRefused`: answer 200 at once, with the headers of `writePreflight`, or without any;
 * - `actual`: go on, and call `writeActual` on the response.
 */
export type CorsVerdict = "none" | "refused" | "preflight" | "preflightRefused" | "actual";

export interface CorsFilter {
	judge(head: RequestView, random: () => number): CorsVerdict;
	writePreflight(response: HeadersEdit, origin: string): void;
	writeActual(response: HeadersEdit, origin: string): void;
}

export function createCorsFilter(policy: CorsPolicy, context: CompileContext, runtime: RuntimeValues): CorsFilter {
	const origins = policy.allowOrigins.map((match) => compileStringMatch(match, context));
	const isAnyAllowed = origins.some((test) => test("*"));
	const writeOrigin = (response: HeadersEdit, origin: string) => {
		response.set("access-control-allow-origin", origin);
		if (policy.allowCredentials === true) response.set("access-control-allow-credentials", "true");
	};
	const writeUnlessEmpty = (response: HeadersEdit, name: string, value: string) => {
		if (value !== "") response.set(name, value);
	};
	return {
		judge(head, random) {
			const origin = head.get("origin");
			if (origin === undefined || origin === "" || !isInFraction(runtime.share(policy.enabled), random)) return "none";
			const isAllowed = isAnyAllowed || origins.some((test) => test(origin));
			const isPreflight = head.method === "OPTIONS" && (head.get("access-control-request-method") ?? "") !== "";
			if (isAllowed) return isPreflight ? "preflight" : "actual";
			return isPreflight && !policy.forwardNotMatchingPreflights ? "preflightRefused" : "refused";
		},
		writePreflight(response, origin) {
			writeOrigin(response, origin);
			writeUnlessEmpty(response, "access-control-allow-methods", policy.allowMethods);
			writeUnlessEmpty(response, "access-control-allow-headers", policy.allowHeaders);
			writeUnlessEmpty(response, "access-control-max-age", policy.maxAge);
		},
		writeActual(response, origin) {
			writeOrigin(response, origin);
			writeUnlessEmpty(response, "access-control-expose-headers", policy.exposeHeaders);
		},
	};
}

/** undefined without a policy: only routes have one. */
export function compileCors(policy: CorsPolicy | undefined, { context: { runtime }, index, counter, errors }: FilterInputs): StreamFilter | undefined {
	if (policy === undefined) return undefined;
	const compile = createCompileContext();
	const filter = createCorsFilter(policy, compile, runtime);
	errors.push(...compile.errors);
	const countValid = counter("cors.origin_valid");
	const countInvalid = counter("cors.origin_invalid");
	return {
		onRequestHead(stream) {
			const { request, context, filters } = stream;
			// As in Envoy: not on routes that answer or redirect by themselves.
			if (stream.choice === undefined) return "continue";
			const verdict = filter.judge(request, context.random);
			if (verdict === "none") return "continue";
			(verdict === "refused" || verdict === "preflightRefused" ? countInvalid : countValid)();
			const origin = request.get("origin") ?? "";
			if (verdict === "actual") filters.states[index] = origin;
			if (verdict !== "preflight" && verdict !== "preflightRefused") return "continue";
			const written = createHeaders();
			if (verdict === "preflight") filter.writePreflight(written, origin);
			sendLocalReply(stream, { status: 200, body: "", flags: 0, details: "cors_response", headers: written.entries().flat() });
			return "stop";
		},
		onResponseHead({ response, filters }) {
			const origin = filters.states[index];
			if (typeof origin === "string") filter.writeActual(response, origin);
		},
	};
}
