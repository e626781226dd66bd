import { onceEach } from "../../model/once-each.ts";
import type { Scope, VirtualService } from "../../model/push.ts";
import type { ProxyNode } from "../../model/proxy-node.ts";
import { sourceLabelsOf } from "../../model/source-labels.ts";
import type { ProxyContext } from "../context.ts";
import { resolvesUnknownHosts } from "../dynamic-dns.ts";
import { addressingOf, searchOf } from "./domains.ts";

/**
 * What routes and listeners read of a node beyond its scope: whether it resolves automatic addresses or what a request names, and the labels that some
 * VirtualService in the scope matches sources by. Nodes of one scope with equal keys get equal route tables.
 */
export function clientKey({ scope, node }: ProxyContext): string {
	const keys = selectedSourceLabels(scope);
	return keys.length === 0 ? ownKey(node) : `${ownKey(node)} ${JSON.stringify(keys.map((key) => [key, node.labels[key] ?? null]))}`;
}

/** What the scope has no part in: after an edit of a route every proxy has another scope, but is what it was. */
const ownKey = onceEach((node: ProxyNode): string =>
	JSON.stringify([addressingOf(node), searchOf(node).clusterSuffix, node.dynamicForwardProxy, resolvesUnknownHosts(node)]),
);

const noKeys: readonly string[] = [];

/** Labels of clients that some VirtualService in the scope matches by; mostly none, and then one list for all scopes. */
export const selectedSourceLabels = onceEach((scope: Scope): readonly string[] => {
	const keys = [...new Set(scope.egress.flatMap(({ virtualServices }) => keysOfList(virtualServices)))].sort();
	return keys.length === 0 ? noKeys : keys;
});

const keysOfList = onceEach((virtualServices: readonly VirtualService[]): readonly string[] => [...new Set(virtualServices.flatMap(sourceLabelsOf))]);
