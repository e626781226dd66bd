import type { HTTPRoute, L4RouteRule, RouteDestination, TCPRoute, TLSRoute } from "@weft/api";
import { createdMsOf, compareText } from "../age.ts";
import { hostsOverlap, intersectHosts } from "../hosts.ts";
import type { VirtualService } from "../push.ts";
import { type BackendUser, resolveBackend, weighted, weightSum } from "./backends.ts";
import { generatedName, isFound, isKind, kinds, type Outcome, type RouteContext } from "./context.ts";
import { compileGrpcRules, compileHttpRules } from "./http-rules.ts";
import { type BoundParent, isIsolated, isMesh, resolveParents } from "./parents.ts";
import type { Problem, RouteObject } from "./status.ts";

/** What one route becomes, and how it is bound. */
export interface CompiledRoute {
	readonly object: RouteObject;
	readonly parents: readonly BoundParent[];
	readonly gatewayProblem: Problem | undefined;
	readonly meshProblem: Problem | undefined;
	/** HTTP: by the key under which routes of one parent and host are joined. */
	readonly http: readonly { readonly key: string; readonly virtualService: VirtualService }[];
	readonly l4: readonly VirtualService[];
}

export function compileRoute(object: RouteObject, context: RouteContext): CompiledRoute {
	const hostnames = object.kind === "TCPRoute" ? [] : (object.spec.hostnames ?? []);
	const parents = resolveParents(object, hostnames, context);
	const user = { kind: object.kind, namespace: object.metadata.namespace };
	const none: Outcome<Rules> = { value: {} };
	// Grants are asked for at gateways alone, so a route of both is compiled twice.
	const gateway = parents.some((parent) => !isMesh(parent)) ? compileRules(object, { ...user, needsGrant: true }, context) : none;
	const mesh = parents.some(isMesh) ? compileRules(object, { ...user, needsGrant: false }, context) : none;
	const bound = parents.filter(({ denied }) => denied === undefined).sort((a, b) => compareText(a.parent.internalName, b.parent.internalName));
	const placed = bound.flatMap((parent) => placements(object, parent, hostnames, context, (isMesh(parent) ? mesh : gateway).value ?? {}));
	return {
		object,
		parents,
		gatewayProblem: gateway.problem,
		meshProblem: mesh.problem,
		http: placed.flatMap(({ key, host, gateway: name, rules: { http } }) => {
			if (!http?.length) return [];
			return [{ key, virtualService: virtualService(object, key.replaceAll("/", "~"), host, name, { http: sortHttpRoutes(http) }) }];
		}),
		l4: placed.flatMap(({ host, gateway: name, rules: { tcp, tls } }, count) => {
			if (!tcp && !tls) return [];
			return [
				virtualService(object, `${object.metadata.name}~${tcp ? "tcp" : "tls"}~${count}~${generatedName}`, host, name, tcp ? { tcp } : { tls: tls ?? [] }),
			];
		}),
	};
}

interface Rules {
	readonly http?: readonly HTTPRoute[];
	readonly tls?: readonly TLSRoute[];
	readonly tcp?: readonly TCPRoute[];
}

function compileRules(object: RouteObject, user: BackendUser, context: RouteContext): Outcome<Rules> {
	const input = { name: object.metadata.name, user, context };
	switch (object.kind) {
		case "HTTPRoute":
			return wrap(compileHttpRules(object.spec.rules ?? [{}], input), (http) => ({ http }));
		case "GRPCRoute":
			return wrap(compileGrpcRules(object.spec.rules ?? [{}], input), (http) => ({ http }));
		case "TLSRoute":
			return wrap(compileL4(object.spec.rules, user, context), (routes) => ({
				tls: routes.map((route) => ({ match: [{ sniHosts: object.spec.hostnames?.length ? object.spec.hostnames : ["*"] }], route })),
			}));
		case "TCPRoute":
			return wrap(compileL4(object.spec.rules, user, context), (routes) => ({ tcp: routes.map((route) => ({ route })) }));
	}
}

function wrap<A extends object, B>(outcome: Outcome<A>, into: (value: A) => B): Outcome<B> {
	return isFound(outcome) ? { value: into(outcome.value), problem: outcome.problem } : outcome;
}

/** There is no way to say "refuse": a cluster that does not exist does the same. */
const refused: readonly RouteDestination[] = [{ destination: { host: "internal.cluster.local", subset: "zero-weight", port: { number: 65_535 } }, weight: 0 }];

function compileL4(rules: readonly L4RouteRule[], user: BackendUser, context: RouteContext): Outcome<readonly (readonly RouteDestination[])[]> {
	const routes: (readonly RouteDestination[])[] = [];
	let problem: Problem | undefined;
	for (const { backendRefs = [] } of rules) {
		if (weightSum(backendRefs) === 0) {
			routes.push(refused);
			continue;
		}
		const destinations: RouteDestination[] = [];
		for (const { ref, weight } of weighted(backendRefs)) {
			const found = resolveBackend(ref, user, context);
			if (found.value === undefined) return found;
			problem = found.problem ?? problem;
			destinations.push({ destination: found.value, weight });
		}
		routes.push(destinations);
	}
	return { value: routes, problem };
}

interface Placement {
	/** Routes of one parent (in the mesh: of one namespace and port) and host are joined. */
	readonly key: string;
	readonly host: string;
	readonly gateway: string;
	readonly rules: Rules;
}

/** One a hostname, since the Gateway API looks at each for itself. */
function placements(object: RouteObject, bound: BoundParent, hostnames: readonly string[], context: RouteContext, rules: Rules): readonly Placement[] {
	const { internalName: gateway } = bound.parent;
	if (isMesh(bound)) {
		const { port } = bound.ref;
		const prefix = port === undefined ? object.metadata.namespace : `${object.metadata.namespace}/${port}`;
		const hosts = meshHosts(bound, context);
		return hosts.map((host) => ({ key: `${prefix}/${host}`, host, gateway, rules: meshRules(rules, port, host, hosts) }));
	}
	const hosts = hostnames.length > 0 ? hostnames : ["*"];
	if (object.kind === "TLSRoute" && bound.parent.hostname !== "") return tlsPlacements(hosts, bound, rules);
	const own = object.kind === "TLSRoute" || object.kind === "TCPRoute" ? hosts : hosts.filter((host) => isIsolated(bound, host));
	return own.map((host) => ({ key: `${gateway}/${host}`, host, gateway, rules }));
}

/** Of the names of a TLSRoute a listener with a name of its own takes those that both have. */
function tlsPlacements(hosts: readonly string[], { parent: { internalName: gateway, hostname } }: BoundParent, rules: Rules): readonly Placement[] {
	const inCommon = (names: readonly string[]) => names.flatMap((name) => intersectHosts(name, hostname) ?? []);
	const tls = (rules.tls ?? []).flatMap((route): readonly TLSRoute[] => {
		const match = route.match.map((entry) => ({ ...entry, sniHosts: inCommon(entry.sniHosts) })).filter(({ sniHosts: names }) => names.length > 0);
		return match.length > 0 || route.match.length === 0 ? [{ ...route, match }] : [];
	});
	return inCommon(hosts).map((host) => ({ key: `${gateway}/${host}`, host, gateway, rules: { ...rules, tls } }));
}

function meshHosts({ ref, kind, namespace }: BoundParent, context: RouteContext): readonly string[] {
	if (isKind(kind, kinds.service)) return [`${ref.name}.${namespace}.svc.${context.domain}`];
	return context.serviceEntry(namespace, ref.name)?.spec.hosts ?? [];
}

/** In the mesh a parent's port is a match on the port that the client dialled. */
function meshRules({ http, tls, tcp }: Rules, port: number | undefined, host: string, parentHosts: readonly string[]): Rules {
	const matched = <M extends object>(matches: readonly M[] | undefined): readonly M[] | undefined =>
		port === undefined ? matches : (matches?.length ? matches : [{} as M]).map((match) => ({ ...match, port }));
	const withMatch = <R extends { match?: readonly object[] }>(route: R): R => {
		const match = matched(route.match);
		return match === undefined ? route : { ...route, match };
	};
	return {
		...(http && { http: http.map(withMatch) }),
		...(tcp && { tcp: tcp.map(withMatch) }),
		...(tls && {
			tls: tls.map((route) => ({
				...route,
				match: route.match.map((match) => ({ ...match, sniHosts: sniHosts(match.sniHosts, host, parentHosts), ...(port !== undefined && { port }) })),
			})),
		}),
	};
}

/** Without hostnames of its own, a TLSRoute of the mesh takes those of its parent. */
function sniHosts(own: readonly string[], host: string, parentHosts: readonly string[]): string[] {
	const wanted = own.length === 1 && own[0] === "*" ? parentHosts : own;
	return wanted.length > 1 ? wanted.filter((name) => hostsOverlap(name, host)) : [...wanted];
}

function virtualService({ metadata }: RouteObject, name: string, host: string, gateway: string, rules: Rules): VirtualService {
	const { namespace } = metadata;
	return {
		name,
		namespace,
		spec: { hosts: [host], gateways: [gateway], ...rules },
		hosts: [host],
		gateways: [gateway],
		exportTo: ["*"],
		configPath: `/apis/networking.istio.io/v1/namespaces/${namespace}/virtual-service/${name}`,
		createdMs: createdMsOf(metadata),
		semantics: "gateway",
	};
}

/** The precedence that the API demands over all routes of a host. https://gateway-api.sigs.k8s.io/reference/spec/#httprouterule */
export function sortHttpRoutes(routes: readonly HTTPRoute[]): readonly HTTPRoute[] {
	return routes.toSorted((a, b) => {
		const [left, right] = [a.match?.[0], b.match?.[0]];
		if (left === undefined || right === undefined) return Number(left === undefined) - Number(right === undefined);
		const [mine, other] = [rankOf(left.uri), rankOf(right.uri)];
		return (
			other.type - mine.type ||
			other.length - mine.length ||
			Number(left.method === undefined) - Number(right.method === undefined) ||
			count(right.headers) - count(left.headers) ||
			count(right.queryParams) - count(left.queryParams)
		);
	});
}

const count = (map: object | undefined): number => Object.keys(map ?? {}).length;

function rankOf(uri: { exact?: string; prefix?: string; regex?: string } | undefined): { readonly type: number; readonly length: number } {
	if (uri?.exact !== undefined) return { type: 3, length: uri.exact.length };
	if (uri?.prefix !== undefined) return { type: 2, length: uri.prefix.length };
	if (uri?.regex !== undefined) return { type: 1, length: uri.regex.length };
	return { type: 0, length: 0 };
}
