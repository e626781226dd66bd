import assert from "node:assert/strict";
import { test } from "node:test";
import type { Rbac } from "../../../config/http-filters.ts";
import { levelsBy } from "../../../config/loggers.ts";
import { exchange } from "../../http/test-peers.ts";
import { chainOf, forwardTo, listenerOf, managerOf, routeOf, startStandalone, tableOf, updateOf } from "../../worker/standalone.ts";

const onPath = (name: string, path: string) => ({
	name,
	permissions: [{ kind: "urlPath" as const, match: { kind: "exact" as const, value: path, ignoreCase: false } }],
	principals: [{ kind: "any" as const }],
});
const rbac: Rbac = {
	rules: { kind: "policies", action: "deny", policies: [onPath("ns[a]-policy[b]-rule[0]", "/no")] },
	rulesStatPrefix: "",
	shadowRules: { kind: "policies", action: "allow", policies: [onPath("tried", "/tried")] },
	shadowRulesStatPrefix: "",
	trackPerRuleStats: false,
};

test("whoever sets the logger rbac to debug is told what policies said, in Envoy's words, and others are told nothing", async () => {
	const proxy = await startStandalone();
	const filters = [{ kind: "rbac", name: "envoy.filters.http.rbac", rbac } as const, { kind: "router", name: "router", suppressEnvoyHeaders: false } as const];
	// The route leads nowhere: what the policies let pass is answered by 503.
	const manager = managerOf(tableOf([routeOf("/", forwardTo("nowhere"))]), { filters });
	await proxy.apply(updateOf({ listeners: [listenerOf("l", [chainOf([manager])])] }));
	const linesOf = async (path: string) => {
		const before = proxy.messages.length;
		await exchange(proxy.port("l"), `GET ${path} HTTP/1.1\r\nhost: h\r\nx-a: b\r\nconnection: close\r\n\r\n`);
		return proxy.messages.slice(before).flatMap((message) => (message.kind === "log" ? [`${message.logger}: ${message.message}`] : []));
	};
	assert.deepEqual(await linesOf("/no"), []);
	proxy.worker.handle({ kind: "logLevels", levels: levelsBy((name) => (name === "rbac" ? "debug" : "warn")) });
	const [checked, ...verdicts] = await linesOf("/no");
	assert.match(
		checked ?? "",
		/^rbac: checking request: requestedServerName: , sourceIP: 127\.0\.0\.1:\d+, .*, ssl: none, headers: ':authority', 'h'; ':path', '\/no'; ':method', 'GET'; .*'x-a', 'b'/,
	);
	assert.deepEqual(verdicts, ["rbac: shadow denied, matched policy none", "rbac: enforced denied, matched policy ns[a]-policy[b]-rule[0]"]);
	assert.deepEqual((await linesOf("/tried")).slice(1), ["rbac: shadow allowed, matched policy tried", "rbac: enforced allowed, matched policy none"]);
	await proxy.close();
});
