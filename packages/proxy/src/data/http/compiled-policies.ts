import type { CorsPolicy, FaultPolicy, HeaderMatch, RetryPolicy } from "../../config/runtime-config.ts";
import { type CorsFilter, createCorsFilter } from "../filters/cors.ts";
import { createFaultFilter, type FaultFilter } from "../filters/fault.ts";
import { type CompiledRetryPolicy, compileRetryPolicy } from "../filters/retry-policy.ts";
import type { RequestView } from "../headers/headers-view.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { compileHeaderMatches } from "../match/header-match.ts";

/** Policies are shared by routes and compiled when first used; they go when their configuration goes. */
const retries = new WeakMap<RetryPolicy, CompiledRetryPolicy>();
const faults = new WeakMap<FaultPolicy, FaultFilter>();
const cors = new WeakMap<CorsPolicy, CorsFilter>();
const headers = new WeakMap<readonly HeaderMatch[], (head: RequestView) => boolean>();

export function compiledRetryPolicy(config: RetryPolicy): CompiledRetryPolicy {
	let compiled = retries.get(config);
	if (compiled === undefined) retries.set(config, (compiled = compileRetryPolicy(config).value));
	return compiled;
}

export function compiledFault(config: FaultPolicy): FaultFilter {
	let compiled = faults.get(config);
	if (compiled === undefined) faults.set(config, (compiled = createFaultFilter(config, createCompileContext())));
	return compiled;
}

export function compiledCors(config: CorsPolicy): CorsFilter {
	let compiled = cors.get(config);
	if (compiled === undefined) cors.set(config, (compiled = createCorsFilter(config, createCompileContext())));
	return compiled;
}

export function compiledHeaders(config: readonly HeaderMatch[]): (head: RequestView) => boolean {
	let compiled = headers.get(config);
	if (compiled === undefined) headers.set(config, (compiled = compileHeaderMatches(config, createCompileContext()) ?? (() => true)));
	return compiled;
}
