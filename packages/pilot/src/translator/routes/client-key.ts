import type { EgressListener, Scope, VirtualService } from "../../model/push.ts";
import type { ProxyContext } from "../context.ts";
import { resolvesUnknownHosts } from "../dynamic-dns.ts";
import { addressingOf, searchOf } from "./domains.ts";

/**
 * What routes and listeners read of a node beyond its scope: whether it resolves automatic addresses or what a request names, and the labels that some
 * VirtualService in the scope matches sources by. Nodes of one scope with equal keys get equal route tables.
 */
export function clientKey({ scope, node }: ProxyContext): string {
	const labels = sourceLabelKeys(scope).map((key) => [key, node.labels[key] ?? null]);
	return JSON.stringify([addressingOf(node), searchOf(node).clusterSuffix, node.dynamicForwardProxy, resolvesUnknownHosts(node), labels]);
}

const keysOfScope = new WeakMap<Scope, readonly string[]>();

function sourceLabelKeys(scope: Scope): readonly string[] {
	const known = keysOfScope.get(scope);
	if (known) return known;
	const keys = [...new Set(scope.egress.flatMap(keysOfListener))].sort();
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
