import type { ConfigObject } from "@weft/api";
import { byAgeAndNamespace } from "../age.ts";
import type { Gateway, VirtualService } from "../push.ts";
import { compileBackendTls } from "./backend-tls.ts";
import { buildGrants, type GatewayApiInput, type RouteContext } from "./context.ts";
import { type CompiledGateway, compileGateways } from "./gateways.ts";
import { type CompiledListenerSet, compileListenerSets } from "./listener-sets.ts";
import { isMesh, referenceKey } from "./parents.ts";
import { type CompiledRoute, compileRoute, sortHttpRoutes } from "./routes.ts";
import {
	type Condition,
	condition,
	controllerName,
	type GatewayApiStatus,
	type GatewayStatus,
	type ListenerStatus,
	type Problem,
	type RouteObject,
	type RouteParentStatus,
	waypointControllerName,
} from "./status.ts";

/** The Gateway API's objects in Istio's terms, for the same builders, and what their status should say. */
export interface CompiledGatewayApi {
	readonly gateways: readonly Gateway[];
	readonly virtualServices: readonly VirtualService[];
	readonly destinationRules: readonly ConfigObject<"DestinationRule">[];
	readonly status: GatewayApiStatus;
}

export function compileGatewayApi(input: GatewayApiInput): CompiledGatewayApi {
	const grants = buildGrants(input.grants);
	const gateways = compileGateways(input, grants);
	const sets = compileListenerSets(gateways, input, grants);
	const context = routeContext(input, gateways, sets, grants);
	const objects: readonly RouteObject[] = [...input.httpRoutes, ...input.grpcRoutes, ...input.tlsRoutes, ...input.tcpRoutes].sort(byAgeAndNamespace);
	const routes = objects.map((object) => compileRoute(object, context));
	const policies = compileBackendTls(input);
	return {
		gateways: [...gateways, ...sets].flatMap(({ listeners }) => listeners.flatMap(({ gateway }) => gateway ?? [])),
		virtualServices: [...joinHttp(routes), ...routes.flatMap(({ l4 }) => l4)],
		destinationRules: policies.rules,
		status: {
			classes: classStatuses(input),
			gateways: new Map(gateways.map((gateway) => [nameOf(gateway), gatewayStatus(gateway, sets, routes)])),
			listenerSets: new Map(sets.map((set) => [nameOf(set), { conditions: set.conditions, listeners: listenerStatuses(set, routes) }])),
			routes: new Map(routes.flatMap(routeStatusEntry)),
			backendTlsPolicies: policies.statuses,
		},
	};
}

const nameOf = ({ object: { metadata } }: CompiledGateway | CompiledListenerSet): string => `${metadata.namespace}/${metadata.name}`;

/** What only a mesh with routes has to work out: most have ServiceEntries that change, and none. */
function lazy<T>(make: () => T): () => T {
	let made: { readonly value: T } | undefined;
	return () => (made ??= { value: make() }).value;
}

function routeContext(
	input: GatewayApiInput,
	gateways: readonly CompiledGateway[],
	sets: readonly CompiledListenerSet[],
	grants: RouteContext["grants"],
): RouteContext {
	const services = lazy(() => new Set(input.services.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)));
	const entries = lazy(() => new Map(input.serviceEntries.map((entry) => [`${entry.metadata.namespace}/${entry.metadata.name}`, entry])));
	const hosts = lazy(
		() =>
			new Set([
				...input.services.map(({ metadata }) => `${metadata.name}.${metadata.namespace}.svc.${input.domain}`),
				...input.serviceEntries.flatMap(({ spec }) => spec.hosts),
			]),
	);
	return {
		domain: input.domain,
		grants,
		listeners: new Map(gateways.map((gateway) => [nameOf(gateway), gateway.listeners])),
		setListeners: new Map(sets.map((set) => [nameOf(set), set.listeners])),
		hasService: (namespace, name) => services().has(`${namespace}/${name}`),
		serviceEntry: (namespace, name) => entries().get(`${namespace}/${name}`),
		hasHost: (host) => hosts().has(host),
	};
}

/** Routes of several objects on one host of one parent are one list: the precedence of matches goes over all of them. */
function joinHttp(routes: readonly CompiledRoute[]): readonly VirtualService[] {
	const byKey = Map.groupBy(
		routes.flatMap(({ http }) => http),
		({ key }) => key,
	);
	return [...byKey.values()].flatMap((entries) => {
		const [first] = entries;
		if (first === undefined) return [];
		if (entries.length === 1) return [first.virtualService];
		const http = sortHttpRoutes(entries.flatMap(({ virtualService }) => virtualService.spec.http ?? []));
		return [{ ...first.virtualService, spec: { ...first.virtualService.spec, http } }];
	});
}

function classStatuses({ classes }: GatewayApiInput): ReadonlyMap<string, readonly Condition[]> {
	const accepted = { reason: "Accepted", message: "Handled by Istio controller" };
	const own = classes.filter(({ spec }) => spec.controllerName === controllerName || spec.controllerName === waypointControllerName);
	return new Map(own.map(({ metadata }) => [metadata.name, [condition("Accepted", undefined, accepted, metadata.generation)]]));
}

function gatewayStatus(gateway: CompiledGateway, sets: readonly CompiledListenerSet[], routes: readonly CompiledRoute[]): GatewayStatus {
	const { conditions, addresses } = gateway;
	const attached = sets.filter((set) => set.isAttached && set.gateway === nameOf(gateway)).length;
	return { addresses, conditions, listeners: listenerStatuses(gateway, routes), ...(attached > 0 && { attachedListenerSets: attached }) };
}

function listenerStatuses({ listeners }: CompiledGateway | CompiledListenerSet, routes: readonly CompiledRoute[]): readonly ListenerStatus[] {
	const attached = (internalName: string) =>
		routes.filter(({ parents }) => parents.some(({ denied, parent }) => !denied && parent.internalName === internalName)).length;
	return listeners.map(({ parent, status }) => ({ ...status, attachedRoutes: attached(parent.internalName) }));
}

/** One entry a reference: that some listener takes the route is enough; else the problem that says most is told. */
function routeStatusEntry({ object, parents, gatewayProblem, meshProblem }: CompiledRoute): [string, readonly RouteParentStatus[]][] {
	if (parents.length === 0) return [];
	const { kind, metadata } = object;
	const byReference = Map.groupBy(parents, ({ ref }) => referenceKey(ref, metadata.namespace));
	const statuses = [...byReference.values()].flatMap((group): RouteParentStatus[] => {
		const [first] = group;
		if (first === undefined) return [];
		const bound = group.find(({ denied }) => denied === undefined);
		const problem = isMesh(first) ? meshProblem : gatewayProblem;
		return [
			{
				parentRef: first.ref,
				controllerName,
				conditions: routeConditions(bound ? undefined : worst(group.flatMap(({ denied }) => denied ?? [])), problem, metadata.generation),
			},
		];
	});
	return [[`${kind}/${metadata.namespace}/${metadata.name}`, statuses]];
}

/** Reasons from the one that says least: a listener that was never meant says nothing beside one that nearly fits. */
const weight = ["NoMatchingParent", "NoMatchingListenerHostname", "NotAllowedByListeners"];

function worst(problems: readonly Problem[]): Problem | undefined {
	return problems.toSorted((a, b) => weight.indexOf(b.reason) - weight.indexOf(a.reason))[0];
}

/** Problems of references leave the route accepted; others make it invalid as a whole. */
const referenceReasons: ReadonlySet<string> = new Set(["RefNotPermitted", "InvalidKind", "BackendNotFound"]);

function routeConditions(denied: Problem | undefined, problem: Problem | undefined, generation: number | undefined): readonly Condition[] {
	const ofReference = problem && referenceReasons.has(problem.reason) ? problem : undefined;
	return [
		condition("Accepted", denied ?? (ofReference ? undefined : problem), { reason: "Accepted", message: "Route was valid" }, generation),
		condition("ResolvedRefs", ofReference, { reason: "ResolvedRefs", message: "All references resolved" }, generation),
	];
}
