import { registerMessages } from "@weft/xds";
import { allMessages } from "@weft/xds/registry";
import { type LiveOptions, readProxyDump } from "../authz/live-dump.ts";
import { appliedPolicies } from "../authz/policy-table.ts";
import { type OutputFormat, renderValue } from "../output/format.ts";
import { renderTable } from "../output/table.ts";
import { pathsOf, type StateOptions } from "./state-options.ts";

export type AuthzCheckOptions = LiveOptions & StateOptions & { readonly output: OutputFormat };

/** The AuthorizationPolicies that a proxy runs now, as istioctl's `x authz check` lists them. */
export async function authzCheckCommand(pod: string | undefined, options: AuthzCheckOptions): Promise<void> {
	registerMessages(allMessages);
	const { listeners } = await readProxyDump(pod, pathsOf(options), options);
	process.stdout.write(renderAuthzCheck(listeners, options.output));
}

export function renderAuthzCheck(listeners: readonly unknown[], output: OutputFormat): string {
	const policies = appliedPolicies(listeners);
	if (output !== "table") return renderValue(policies, output);
	const rows = policies.map(({ action, policy, rules, dryRun }) => [dryRun ? `${action} (dry run)` : action, policy, String(rules)]);
	return renderTable(["ACTION", "AuthorizationPolicy", "RULES"], rows);
}
