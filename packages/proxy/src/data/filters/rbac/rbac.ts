import type { Rbac } from "../../../config/http-filters.ts";
import { sendLocalReply } from "../../http/local-reply.ts";
import type { StreamFilter } from "../../http/stream-filter.ts";
import { createCompileContext } from "../../match/compile-context.ts";
import type { FilterInputs } from "../filter-inputs.ts";
import { compileRbac } from "./rbac-engine.ts";
import { rbacTrace } from "./rbac-trace.ts";

/** Who may do what: rules on the request, its connection and what earlier filters found out. `override`: the route's. */
export function compileHttpRbac(own: Rbac, override: Rbac | undefined, { context, counter, errors }: FilterInputs): StreamFilter {
	const compile = createCompileContext();
	const engine = compileRbac(override === undefined ? own : withPrefixesOf(own, override), compile, {
		statPrefixes: own,
		filterName: "envoy.filters.http.rbac",
		counter: (name) => counter(`rbac.${name}`),
		trace: rbacTrace(context),
	});
	errors.push(...compile.errors);
	return {
		onRequestHead(stream) {
			const verdict = engine.judge(stream.info);
			if (verdict === undefined || verdict.isAllowed) return "continue";
			const details = `rbac_access_denied_matched_policy[${verdict.policy || "none"}]`;
			sendLocalReply(stream, { status: 403, body: "RBAC: access denied", flags: 0, details });
			return "stop";
		},
	};
}

/** What the override does not name, it tells under the filter's names. */
function withPrefixesOf(own: Rbac, override: Rbac): Rbac {
	return {
		...override,
		rulesStatPrefix: override.rulesStatPrefix || own.rulesStatPrefix,
		shadowRulesStatPrefix: override.shadowRulesStatPrefix || own.shadowRulesStatPrefix,
	};
}
