import type { HTTPMatchRequest, HTTPRoute, StringMatch } from "@weft/api";

/**
 * The routes of a delegate as they stand in the root: both matches must hold, what the delegate leaves open comes from the root,
 * and a delegate's route whose match contradicts the root's is dropped. https://istio.io/latest/docs/reference/config/networking/virtual-service/#Delegate
 */
export function delegateRoutes(root: HTTPRoute, routes: readonly HTTPRoute[]): readonly HTTPRoute[] {
	return routes.flatMap((route) => {
		const match = joinMatches(root.match ?? [], route.match ?? []);
		return match ? [joinRoute(root, route, match)] : [];
	});
}

function joinRoute(root: HTTPRoute, route: HTTPRoute, match: readonly HTTPMatchRequest[]): HTTPRoute {
	const { delegate: _, match: __, route: ___, redirect: ____, directResponse: _____, ...inherited } = root;
	const { match: ______, ...own } = route;
	const name = [root.name, route.name].filter(Boolean).join("-");
	return { ...inherited, ...own, ...(name !== "" && { name }), ...(match.length > 0 && { match: [...match] }) };
}

/** Undefined when a match of the delegate has none of the root's to hold together with; empty when neither side asks for anything. */
function joinMatches(root: readonly HTTPMatchRequest[], own: readonly HTTPMatchRequest[]): readonly HTTPMatchRequest[] | undefined {
	if (root.length === 0) return own;
	if (own.length === 0) return root;
	const joined = own.map((inner) => root.filter((outer) => !contradict(outer, inner)).map((outer) => joinMatch(outer, inner)));
	return joined.every((pairs) => pairs.length > 0) ? joined.flat() : undefined;
}

function joinMatch(root: HTTPMatchRequest, own: HTTPMatchRequest): HTTPMatchRequest {
	const name = [root.name, own.name].filter(Boolean).join("-");
	return {
		...root,
		...own,
		...(name !== "" && { name }),
		...joined("headers", root.headers, own.headers),
		...joined("withoutHeaders", root.withoutHeaders, own.withoutHeaders),
		...joined("queryParams", root.queryParams, own.queryParams),
		...joined("sourceLabels", root.sourceLabels, own.sourceLabels),
		...(own.gateways?.length ? {} : root.gateways && { gateways: root.gateways }),
	};
}

function joined<V>(
	field: string,
	a: Readonly<Record<string, V>> | undefined,
	b: Readonly<Record<string, V>> | undefined,
): Readonly<Record<string, Readonly<Record<string, V>>>> {
	return a || b ? { [field]: { ...a, ...b } } : {};
}

function contradict(root: HTTPMatchRequest, own: HTTPMatchRequest): boolean {
	if (root.port && own.port && root.port !== own.port) return true;
	// A delegate has to repeat these two.
	if (root.sourceNamespace && root.sourceNamespace !== own.sourceNamespace) return true;
	if (Boolean(root.ignoreUriCase) !== Boolean(own.ignoreUriCase)) return true;
	if (root.gateways?.length && own.gateways?.some((gateway) => !root.gateways?.includes(gateway))) return true;
	for (const field of ["uri", "scheme", "method", "authority"] as const) if (stringsContradict(root[field], own[field])) return true;
	for (const field of ["headers", "withoutHeaders", "queryParams"] as const) {
		for (const [key, match] of Object.entries(own[field] ?? {})) if (stringsContradict(root[field]?.[key], match)) return true;
	}
	for (const [key, value] of Object.entries(own.sourceLabels ?? {})) {
		if (root.sourceLabels && Object.hasOwn(root.sourceLabels, key) && root.sourceLabels[key] !== value) return true;
	}
	return false;
}

/** May both hold? Regular expressions are not reasoned about: with one on the root's side nothing may be added, nor the reverse. */
function stringsContradict(root: StringMatch | undefined, own: StringMatch | undefined): boolean {
	if (!root || !own) return false;
	if (root.regex !== undefined || own.regex !== undefined) return true;
	if (root.exact !== undefined) return own.exact !== root.exact;
	if (root.prefix !== undefined) return !(own.exact ?? own.prefix ?? "").startsWith(root.prefix);
	return true;
}
