import type { RetryPolicy } from "../../config/retry-policy.ts";
import { type CompiledRetryPolicy, compileRetryPolicy } from "../filters/retry-policy.ts";

/** Policies are shared by routes and compiled when first used; they go when their configuration goes. */
const retries = new WeakMap<RetryPolicy, CompiledRetryPolicy>();

export function compiledRetryPolicy(config: RetryPolicy): CompiledRetryPolicy {
	let compiled = retries.get(config);
	if (compiled === undefined) retries.set(config, (compiled = compileRetryPolicy(config).value));
	return compiled;
}
