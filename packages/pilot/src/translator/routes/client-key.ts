import type { EgressListener, Scope, VirtualService } from "../../model/push.ts";
import type { ProxyNode } from "../../model/proxy-node.ts";
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

const ownKeys = new WeakMap<ProxyNode, string>();

/** What the scope has no part in: after an edit of a route every proxy has another scope, but is what it was. */
function ownKey(node: ProxyNode): string {
	let key = ownKeys.get(node);
	if (key === undefined) {
		key = JSON.stringify([addressingOf(node), searchOf(node).clusterSuffix, node.dynamicForwardProxy, resolvesUnknownHosts(node)]);
		ownKeys.set(node, key);
	}
	return key;
}

const keysOfScope = new WeakMap<Scope, readonly string[]>();

const noKeys: readonly string[] = [];

/** Labels of clients that some VirtualService in the scope matches by; mostly none, and then one list for all scopes. */
export function selectedSourceLabels(scope: Scope): readonly string[] {
	const known = keysOfScope.get(scope);
	if (known) return known;
	const found = [...new Set(scope.egress.flatMap(keysOfListener))].sort();
	const keys = found.length === 0 ? noKeys : found;
	keysOfScope.set(scope, keys);
	return keys;
}

const keysOfList = new WeakMap<readonly VirtualService[], readonly string[]>();

function keysOfListener({ virtualServices }: EgressListener): readonly string[] {
	const known = keysOfList.get(virtualServices);
	if (known) return known;
	const keys = [...new Set(virtualServices.flatMap(keysOfVirtualService))];
	keysOfList.set(virtualServices, keys);
	return keys;
}

const keysOf = new WeakMap<VirtualService, readonly string[]>();

function keysOfVirtualService(virtualService: VirtualService): readonly string[] {
	const known = keysOf.get(virtualService);
	if (known) return known;
	const { http = [], tls = [], tcp = [] } = virtualService.spec;
	const keys = [...http, ...tls, ...tcp].flatMap(({ match }) => (match ?? []).flatMap(({ sourceLabels }) => Object.keys(sourceLabels ?? {})));
	keysOf.set(virtualService, keys);
	return keys;
}
