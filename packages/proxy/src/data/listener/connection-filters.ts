import type { NetworkFilter } from "../../config/network-filters.ts";
import { openBucket } from "../../config/shared-buckets.ts";
import { compileRbac } from "../filters/rbac/rbac-engine.ts";
import { rbacTrace } from "../filters/rbac/rbac-trace.ts";
import { compileFilterState } from "../filters/set-filter-state.ts";
import type { Counter } from "../filters/filter-inputs.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import { compileConnectionAuthorization } from "./connection-authorization.ts";
import { createCompileContext } from "../match/compile-context.ts";
import type { WorkerContext } from "../worker/context.ts";

/**
 * Judges a connection whose handshake is done, now or later: why it is not to be served, or undefined. Gives the function
 * that ends the asking.
 */
export type ConnectionTest = (info: StreamInfo, onVerdict: (refused: string | undefined) => void) => () => void;

export interface ConnectionFilters {
	readonly admit: ConnectionTest | undefined;
	close(): void;
}

/** What a test gives that has answered at once. */
export function answered(): void {}

function atOnce(judge: (info: StreamInfo) => string | undefined): ConnectionTest {
	return (info, onVerdict) => {
		onVerdict(judge(info));
		return answered;
	};
}

/**
 * The network filters that say yes or no, or something of the connection, in their order. Everything that they look at is known before the first
 * byte, so a connection that is not wanted does not live until then, as it would in Envoy.
 */
export function compileConnectionFilters(filters: readonly NetworkFilter[], context: WorkerContext, errors: string[]): ConnectionFilters {
	const closers: (() => void)[] = [];
	const counterIn = (prefix: string, name: string): Counter => {
		const scope = context.stats.openScope(prefix);
		closers.push(() => scope.close());
		const at = scope.counter(name);
		return (by = 1) => {
			const { counters } = context.stats;
			counters[at] = (counters[at] as number) + by;
		};
	};
	const tests = filters.flatMap((filter): readonly ConnectionTest[] => {
		switch (filter.kind) {
			case "rbac": {
				const compile = createCompileContext();
				const prefix = filter.statPrefix.endsWith(".") ? filter.statPrefix : `${filter.statPrefix}.`;
				const reporting = { filterName: "envoy.filters.network.rbac", counter: (name: string) => counterIn(`${prefix}rbac.`, name), trace: rbacTrace(context) };
				const engine = compileRbac(filter.rbac, compile, reporting);
				errors.push(...compile.errors);
				return [
					atOnce((info) => {
						const verdict = engine.judge(info);
						return verdict === undefined || verdict.isAllowed
							? undefined
							: `rbac_access_denied_matched_policy[${verdict.policy || "none"}]`.replace(/\s/g, "_");
					}),
				];
			}
			case "localRateLimit": {
				const { bucket: rate, enabled, shareKey, statPrefix } = filter;
				const limited = counterIn(`local_rate_limit.${statPrefix}.`, "rate_limited");
				const key = shareKey === "" ? `${statPrefix} ${rate.key}` : `shared ${shareKey}`;
				const bucket = openBucket(context.buckets, context.hash64([key, rate.tokensMax, rate.tokensPerFill, rate.fillIntervalMs].join("\0")), rate);
				return [
					atOnce(() => {
						if (!context.runtime.isOn(enabled) || bucket.take(context.wallMs())) return undefined;
						limited();
						return "local_ratelimit_close";
					}),
				];
			}
			case "setFilterState": {
				const onConnection = compileFilterState(filter.onConnection, context.environment, errors);
				const onHandshake = compileFilterState(filter.onHandshake, context.environment, errors);
				return [
					atOnce((info) => {
						const { connection } = info;
						// A connection that has just come has proved nothing.
						onConnection(connection.tls === undefined ? info : { ...info, connection: { ...connection, tls: undefined } }, connection);
						onHandshake(info, connection);
						return undefined;
					}),
				];
			}
			case "extAuthz":
				return [compileConnectionAuthorization(filter, context, errors, (name) => counterIn(`ext_authz.${filter.statPrefix}.`, name))];
			default:
				return [];
		}
	});
	const admit: ConnectionTest = (info, onVerdict) => {
		let cancel = () => {};
		const next = (at: number) => {
			const test = tests[at];
			if (test === undefined) return onVerdict(undefined);
			const stop = test(info, (refused) => {
				if (refused !== undefined) return onVerdict(refused);
				next(at + 1);
			});
			// Those that follow one that answered at once have set theirs already.
			if (stop !== answered) cancel = stop;
		};
		next(0);
		return () => cancel();
	};
	return {
		admit: tests.length === 0 ? undefined : admit,
		close() {
			for (const close of closers) close();
		},
	};
}
