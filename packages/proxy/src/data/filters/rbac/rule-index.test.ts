import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RbacPolicy, RbacRule } from "../../../config/http-filters.ts";
import type { StringMatch } from "../../../config/matchers.ts";
import { createRequestView } from "../../headers/headers-view.ts";
import { createConnectionInfo, createStreamInfo, type StreamInfo, type TlsInfo } from "../../log/stream-info.ts";
import { createCompileContext } from "../../match/compile-context.ts";
import { compileRbac } from "./rbac-engine.ts";
import { compileRbacRule } from "./rbac-rule.ts";
import { guardOf } from "./rule-guard.ts";
import { createRuleIndex } from "./rule-index.ts";

const context = createCompileContext();
// Few texts that begin with each other, so that most rules are near a match.
const text = fc.constantFrom("/", "/a", "/a/b", "/A/b", "/a/bc", "/b", "a", "b", "");
const stringMatch: fc.Arbitrary<StringMatch> = fc.record({
	kind: fc.constantFrom("exact", "prefix", "suffix", "contains"),
	value: text,
	ignoreCase: fc.boolean(),
});
const headerMatch = fc.record({
	name: fc.constantFrom("x-a", ":authority", ":path", "host"),
	match: fc.oneof(stringMatch, fc.constant({ kind: "present" as const })),
	invert: fc.boolean(),
	treatMissingAsEmpty: fc.boolean(),
});
const { rule } = fc.letrec<{ rule: RbacRule; leaf: RbacRule }>((tie) => ({
	rule: fc.oneof(
		{ maxDepth: 3, withCrossShrink: true },
		tie("leaf"),
		fc.record({ kind: fc.constantFrom("and", "or"), rules: fc.array(tie("rule"), { minLength: 1, maxLength: 12 }) }),
		fc.record({ kind: fc.constant("not"), rule: tie("rule") }),
	) as fc.Arbitrary<RbacRule>,
	leaf: fc.oneof(
		fc.constant({ kind: "any" }),
		fc.record({ kind: fc.constant("urlPath"), match: stringMatch }),
		fc.record({ kind: fc.constant("header"), header: headerMatch }),
		fc.record({ kind: fc.constant("authenticated"), name: fc.option(stringMatch, { nil: undefined }) }),
		fc.record({ kind: fc.constant("filterState"), key: fc.constantFrom("k", "io.istio.peer_principal"), match: stringMatch }),
	) as fc.Arbitrary<RbacRule>,
}));

const request = fc.record({
	path: text,
	query: fc.constantFrom("", "?/a", "#/b"),
	authority: text,
	header: fc.option(fc.array(text, { minLength: 1, maxLength: 3 })),
});
const call: fc.Arbitrary<StreamInfo> = fc
	.record({ request: fc.option(request), uris: fc.option(fc.array(text, { maxLength: 2 })), state: fc.option(text) })
	.map(({ request, uris, state }) => {
		const tls = uris === null ? undefined : ({ peerUriSans: uris, peerDnsSans: ["b"], peerSubject: "" } as unknown as TlsInfo);
		const info = createStreamInfo(createConnectionInfo({ remoteAddress: "10.0.0.1:1", localAddress: "10.0.0.2:2", ...(tls && { tls }) }));
		if (state !== null) info.filterState = new Map([["k", { text: state, kind: "text" }]]);
		if (request !== null) {
			const { path, query, authority, header } = request;
			const headers: Record<string, string> = header === null ? {} : { "x-a": header.join(",") };
			info.request = createRequestView({ path: path + query, authority, headers }) as unknown as NonNullable<StreamInfo["request"]>;
		}
		return info;
	});

/** Tries everything one after the other. */
function holds(rule: RbacRule, info: StreamInfo): boolean {
	if (rule.kind === "and") return rule.rules.every((inner) => holds(inner, info));
	if (rule.kind === "or") return rule.rules.some((inner) => holds(inner, info));
	if (rule.kind === "not") return !holds(rule.rule, info);
	return compileRbacRule(rule, context)(info);
}

test("of many policies the first that matches decides, as if all were tried in turn", () => {
	const policies = fc.array(
		fc.record({ permissions: fc.array(rule, { minLength: 1, maxLength: 3 }), principals: fc.array(rule, { minLength: 1, maxLength: 3 }) }),
		{
			maxLength: 40,
		},
	);
	fc.assert(
		fc.property(policies, fc.constantFrom("allow" as const, "deny" as const), fc.array(call, { minLength: 1, maxLength: 8 }), (parts, action, calls) => {
			const named: readonly RbacPolicy[] = parts.map((part, at) => ({ name: `policy-${at}`, ...part }));
			const config = { rules: { kind: "policies" as const, action, policies: named }, rulesStatPrefix: "", shadowRules: undefined, shadowRulesStatPrefix: "" };
			const engine = compileRbac({ ...config, trackPerRuleStats: false }, context, { filterName: "rbac", counter: () => () => {} });
			for (const info of calls) {
				const first = named.find(
					({ permissions, principals }) => permissions.some((rule) => holds(rule, info)) && principals.some((rule) => holds(rule, info)),
				);
				assert.deepEqual(engine.judge(info), { isAllowed: (first === undefined) === (action === "deny"), policy: first?.name ?? "" });
			}
		}),
		{ numRuns: 1_000 },
	);
});

test("of a thousand rules on paths, those alone are tried that the path leads to", () => {
	const rules = Array.from(
		{ length: 1_000 },
		(_, i): RbacRule => ({
			kind: "and",
			rules: [
				{ kind: "any" },
				{ kind: "or", rules: [{ kind: "urlPath", match: { kind: i % 2 === 0 ? "exact" : "prefix", value: `/path-${i}/`, ignoreCase: false } }] },
			],
		}),
	);
	const index = createRuleIndex(rules.map((rule) => guardOf([[rule], [{ kind: "any" }]])));
	const tried = (path: string) => {
		const info = createStreamInfo(createConnectionInfo({ remoteAddress: "10.0.0.1:1", localAddress: "10.0.0.2:2" }));
		info.request = createRequestView({ path }) as unknown as NonNullable<StreamInfo["request"]>;
		const seen: number[] = [];
		index?.first(info, (at) => {
			seen.push(at);
			return false;
		});
		return seen;
	};
	assert.deepEqual(tried("/path-998/?x"), [998]);
	assert.deepEqual(tried("/path-999/below"), [999]);
	assert.deepEqual(tried("/path-998/below"), []);
});
