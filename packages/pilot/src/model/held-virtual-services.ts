import type { VirtualServiceSpec } from "@weft/api";
import { hostCovers } from "./hosts.ts";
import type { DestinationRuleIndex, VirtualService } from "./push.ts";

/** VirtualServices as they are in force. */
export interface HeldVirtualServices {
	readonly virtualServices: readonly VirtualService[];
	/** `namespace/name` of those that wait, with the reason. */
	readonly held: ReadonlyMap<string, string>;
}

/**
 * A VirtualService that names a subset which no DestinationRule has yet waits for it: until then what was in force before it
 * serves on, since a route to a cluster that is not there answers 503. Without an earlier snapshot nothing serves that could
 * be kept, and everything is taken as it is written.
 */
export function holdVirtualServices(
	written: readonly VirtualService[],
	rules: DestinationRuleIndex,
	previous: readonly VirtualService[] | undefined,
): HeldVirtualServices {
	const held = new Map<string, string>();
	if (previous === undefined) return { virtualServices: written, held };
	const before = new Map(previous.map((virtualService) => [keyOf(virtualService), virtualService]));
	const virtualServices = written.flatMap((virtualService) => {
		const key = keyOf(virtualService);
		const last = before.get(key);
		const missing = last === virtualService ? undefined : missingSubset(virtualService, rules);
		if (missing === undefined) return [virtualService];
		const kept = last !== undefined && missingSubset(last, rules) === undefined ? [last] : [];
		const meanwhile = kept.length > 0 ? "its last version serves on" : "requests go as if it were not there";
		held.set(key, `subset ${missing.subset} of host ${missing.host} is in no DestinationRule; until it is, ${meanwhile}`);
		return kept;
	});
	return { virtualServices, held };
}

const keyOf = ({ namespace, name, semantics }: VirtualService): string =>
	semantics === "istio" ? `${namespace}/${name}` : `${semantics} ${namespace}/${name}`;

interface Subset {
	readonly host: string;
	readonly subset: string;
}

function missingSubset(virtualService: VirtualService, rules: DestinationRuleIndex): Subset | undefined {
	return subsetsOf(virtualService).find(({ host, subset }) => !hasSubset(rules, host, subset));
}

const named = new WeakMap<VirtualService, readonly Subset[]>();

function subsetsOf(virtualService: VirtualService): readonly Subset[] {
	let found = named.get(virtualService);
	if (!found) {
		found = destinationsOf(virtualService.spec).flatMap(({ host, subset }) => (subset ? [{ host, subset }] : []));
		named.set(virtualService, found);
	}
	return found;
}

function destinationsOf({ http = [], tls = [], tcp = [] }: VirtualServiceSpec): readonly { readonly host: string; readonly subset?: string | undefined }[] {
	return [
		...http.flatMap(({ route = [], mirrors = [], mirror }) => [...[...route, ...mirrors].map(({ destination }) => destination), ...(mirror ? [mirror] : [])]),
		...[...tls, ...tcp].flatMap(({ route = [] }) => route.map(({ destination }) => destination)),
	];
}

/** In whatever namespace: which of several rules a client sees is decided by its scope. */
function hasSubset({ byNamespace }: DestinationRuleIndex, host: string, subset: string): boolean {
	for (const { exact, wildcard } of byNamespace.values()) {
		const rules = [...(exact.get(host) ?? []), ...wildcard.filter((rule) => hostCovers(rule.host, host))];
		if (rules.some(({ subsets }) => subsets.some(({ name }) => name === subset))) return true;
	}
	return false;
}
