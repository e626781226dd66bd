import { type ConfigObject, type KubernetesGatewaySpec, type Listener, type RouteGroupKind, type Server, serviceStatus } from "@weft/api";
import { byAge, createdMsOf } from "../age.ts";
import type { Gateway } from "../push.ts";
import { type CompiledListener, gatewayGroup, generatedName, type GatewayApiInput, type Grants } from "./context.ts";
import { buildListenerTls } from "./listener-tls.ts";
import { allowedNamespaces } from "../namespaces.ts";
import {
	type Condition,
	condition,
	controllerName,
	type GatewayStatus,
	type ListenerStatus,
	type Problem,
	type RouteKind,
	waypointControllerName,
} from "./status.ts";

type GatewayObject = ConfigObject<"KubernetesGateway">;

/** A Gateway with its listeners, before it is known how many routes are attached to each. */
export interface CompiledGateway {
	readonly object: GatewayObject;
	readonly listeners: readonly JudgedListener[];
	readonly conditions: readonly Condition[];
	readonly addresses: GatewayStatus["addresses"];
}

/** Class names that need no GatewayClass object. */
const builtinClasses: Readonly<Record<string, string>> = { istio: controllerName };

export function classControllers(classes: GatewayApiInput["classes"]): ReadonlyMap<string, string> {
	const controllers = new Map(Object.entries(builtinClasses));
	for (const { metadata, spec } of classes) {
		if (spec.controllerName === controllerName || spec.controllerName === waypointControllerName) controllers.set(metadata.name, spec.controllerName);
		else controllers.delete(metadata.name);
	}
	return controllers;
}

/** A listener, before it is known how many routes are attached. */
export type JudgedListener = CompiledListener & { readonly status: Omit<ListenerStatus, "attachedRoutes"> };

/** A Gateway for which a Deployment and a Service of this name are made. */
export interface DeployedGateway {
	readonly object: GatewayObject;
	readonly deploymentName: string;
	/** Its own, and those of the ListenerSets that it takes. */
	readonly listeners: readonly Listener[];
}

/** The Gateways of this mesh that name no Services of their own. */
export function deployedGateways(input: Pick<GatewayApiInput, "classes" | "gateways" | "listenerSets" | "namespaces">): readonly DeployedGateway[] {
	const controllers = classControllers(input.classes);
	return input.gateways.flatMap((object) => {
		const deploymentName = deploymentNameOf(object);
		if (deploymentName === undefined || controllers.get(object.spec.gatewayClassName) !== controllerName) return [];
		const sets = listenerSetsOf(object, input).filter(({ isAllowed }) => isAllowed);
		return [{ object, deploymentName, listeners: [...object.spec.listeners, ...sets.flatMap(({ set }) => set.spec.listeners)] }];
	});
}

/** The ListenerSets that name the Gateway, oldest first; whether it lets them is its own to say. */
export function listenerSetsOf(
	{ metadata, spec }: GatewayObject,
	{ listenerSets, namespaces }: Pick<GatewayApiInput, "listenerSets" | "namespaces">,
): readonly { readonly set: ConfigObject<"ListenerSet">; readonly isAllowed: boolean }[] {
	const { from = "None", selector } = spec.allowedListeners?.namespaces ?? {};
	const allowed = allowedNamespaces({ from, ...(selector && { selector }) }, metadata.namespace, namespaces);
	return listenerSets
		.filter(({ metadata: own, spec: { parentRef } }) => parentRef.name === metadata.name && (parentRef.namespace ?? own.namespace) === metadata.namespace)
		.toSorted(byAge)
		.map((set) => ({ set, isAllowed: allowed.includes("*") || allowed.includes(set.metadata.namespace) }));
}

/** Gateways of the classes that this mesh is the controller of. */
export function compileGateways(input: GatewayApiInput, grants: Grants): readonly CompiledGateway[] {
	const controllers = classControllers(input.classes);
	return input.gateways.flatMap((object) => (controllers.get(object.spec.gatewayClassName) === controllerName ? [compileGateway(object, input, grants)] : []));
}

function compileGateway(object: GatewayObject, input: GatewayApiInput, grants: Grants): CompiledGateway {
	const { metadata, spec } = object;
	const { services, problem } = gatewayServices(object, input.domain);
	const listeners = spec.listeners.map((listener) => compileListener(object, listener, services, input, grants));
	const { generation } = metadata;
	const known = services.filter((host) => input.services.some((service) => hostOf(service, input.domain) === host));
	const accepted = condition("Accepted", problem ?? parametersProblem(object, input), { reason: "Accepted", message: "Resource accepted" }, generation);
	const programmed = condition("Programmed", programmedProblem(services, known, input), programmedMessage(services, spec), generation);
	return { object, listeners, conditions: [accepted, programmed], addresses: addressesOf(known, input) };
}

const hostOf = ({ metadata }: ConfigObject<"Service">, domain: string): string => `${metadata.name}.${metadata.namespace}.svc.${domain}`;

function programmedMessage(services: readonly string[], { listeners }: KubernetesGatewaySpec): Problem {
	const places = services.flatMap((host) => [...new Set(listeners.map(({ port }) => port))].map((port) => `${host}:${port}`));
	return { reason: "Programmed", message: `Resource programmed, assigned to service(s) ${readableList(places)}` };
}

function programmedProblem(services: readonly string[], known: readonly string[], { services: objects, domain }: GatewayApiInput): Problem | undefined {
	if (services.length === 0) return { reason: "AddressNotUsable", message: "Failed to assign to any requested addresses" };
	const missing = services.filter((host) => !known.includes(host));
	if (missing.length === 0) return pendingProblem(known, objects, domain);
	const near = missing.map((host) => {
		const [name = ""] = host.split(".");
		const elsewhere = objects.find(({ metadata }) => metadata.name === name);
		return `hostname ${JSON.stringify(host)} not found${elsewhere ? `; a Service of that name is ${hostOf(elsewhere, domain)}` : ""}`;
	});
	const all =
		known.length === 0
			? "Failed to assign to any requested addresses"
			: `Assigned to service(s) ${readableList(known)}, but failed to assign to all requested addresses`;
	return { reason: "AddressNotUsable", message: `${all}: ${near.join("; ")}` };
}

/** A load balancer that has no address yet. */
function pendingProblem(known: readonly string[], objects: GatewayApiInput["services"], domain: string): Problem | undefined {
	const pending = known.filter((host) => {
		const service = objects.find((candidate) => hostOf(candidate, domain) === host);
		return service?.spec.type === "LoadBalancer" && (serviceStatus(service).loadBalancer?.ingress ?? []).length === 0;
	});
	if (pending.length === 0) return undefined;
	const names = pending.map((host) => `address pending for hostname ${JSON.stringify(host)}`).join("; ");
	return { reason: "AddressNotAssigned", message: `Assigned to service(s) ${readableList(known)}, but failed to assign to all requested addresses: ${names}` };
}

function readableList(items: readonly string[]): string {
	return items.length < 3 ? items.join(" and ") : `${items.slice(0, -1).join(", ")}, and ${items.at(-1)}`;
}

/** What a cloud has given the Services, else their own names. */
function addressesOf(known: readonly string[], { services, domain }: GatewayApiInput): GatewayStatus["addresses"] {
	return known.flatMap((host): GatewayStatus["addresses"] => {
		const service = services.find((candidate) => hostOf(candidate, domain) === host);
		const ingress = service ? (serviceStatus(service).loadBalancer?.ingress ?? []) : [];
		const external = ingress.flatMap(({ ip, hostname }): GatewayStatus["addresses"] =>
			ip ? [{ type: "IPAddress", value: ip }] : hostname ? [{ type: "Hostname", value: hostname }] : [],
		);
		return external.length > 0 ? external : [{ type: "Hostname", value: host }];
	});
}

const nameOverride = "gateway.istio.io/name-override";

/** An IP address is what the Service that is made is to have. */
function deploymentNameOf({ metadata, spec }: Pick<GatewayObject, "metadata" | "spec">): string | undefined {
	const [only, ...others] = spec.addresses ?? [];
	const isDeployed = only === undefined || (others.length === 0 && (only.type ?? "IPAddress") === "IPAddress");
	return isDeployed ? metadata.annotations[nameOverride] || `${metadata.name}-${spec.gatewayClassName}` : undefined;
}

/** What says more of the Deployment must be there. */
function parametersProblem({ metadata, spec }: GatewayObject, { configMaps }: GatewayApiInput): Problem | undefined {
	const ref = spec.infrastructure?.parametersRef;
	if (ref === undefined || deploymentNameOf({ metadata, spec }) === undefined) return undefined;
	if (ref.group !== "" || ref.kind !== "ConfigMap")
		return { reason: "InvalidParameters", message: `parametersRef ${ref.kind} is not supported; only ConfigMap is` };
	if (configMaps.some((object) => object.metadata.namespace === metadata.namespace && object.metadata.name === ref.name)) return undefined;
	return { reason: "InvalidParameters", message: `ConfigMap ${metadata.namespace}/${ref.name} of parametersRef not found, or it has no part of a deployment` };
}

/** The Services whose proxies serve the Gateway: those it names as addresses, else the one that is deployed for it. */
export function gatewayServices({ metadata, spec }: GatewayObject, domain: string): { readonly services: readonly string[]; readonly problem?: Problem } {
	const addresses = spec.addresses ?? [];
	const own = deploymentNameOf({ metadata, spec });
	if (own !== undefined) return { services: [`${own}.${metadata.namespace}.svc.${domain}`] };
	const usable = addresses.filter(({ type }) => type === undefined || type === "Hostname");
	const services = usable.map(({ value = "" }) => (value.includes(".") ? value : `${value}.${metadata.namespace}.svc.${domain}`));
	const skipped = addresses.filter((address) => !usable.includes(address)).map(({ value = "" }) => value);
	if (skipped.length === 0) return { services };
	return { services, problem: { reason: "UnsupportedAddress", message: `only Hostname is supported, ignoring [${skipped.join(" ")}]` } };
}

export function compileListener(
	object: GatewayObject,
	listener: Listener,
	services: readonly string[],
	input: GatewayApiInput,
	grants: Grants,
): JudgedListener {
	const { metadata } = object;
	const { tls, problem } = buildListenerTls(object, listener, input, grants);
	const namespaces = allowedNamespaces(listener.allowedRoutes?.namespaces, metadata.namespace, input.namespaces);
	const host = listener.hostname || "*";
	// A server must have a host: `~` is a namespace that nothing is in.
	const hosts = namespaces.length > 0 ? namespaces.map((namespace) => `${namespace}/${host}`) : [`~/${host}`];
	const name = `${metadata.name}~${generatedName}~${listener.name}`;
	const server: Server = { port: { number: listener.port, protocol: listener.protocol, name: "default" }, hosts, ...(tls && { tls }) };
	const kinds = supportedKinds(listener);
	const gateway: Gateway = { name, namespace: metadata.namespace, servers: [server], selector: undefined, services, createdMs: createdMsOf(metadata) };
	return {
		gateway: problem || protocolKinds(listener).length === 0 ? undefined : gateway,
		parent: {
			internalName: `${metadata.namespace}/${name}`,
			allowedKinds: kinds.supported,
			hosts,
			hostname: listener.hostname ?? "",
			section: listener.name,
			port: listener.port,
			protocol: listener.protocol,
		},
		status: {
			name: listener.name,
			supportedKinds: kinds.supported.map((kind) => ({ group: gatewayGroup, kind })),
			conditions: listenerConditions(listener, problem, kinds.unknown, metadata.generation),
		},
	};
}

const fine = "No errors found";

function listenerConditions(
	listener: Listener,
	tls: Problem | undefined,
	unknown: readonly RouteGroupKind[],
	generation: number | undefined,
): readonly Condition[] {
	const unsupported: Problem | undefined =
		protocolKinds(listener).length > 0 ? undefined : { reason: "UnsupportedProtocol", message: `protocol ${JSON.stringify(listener.protocol)} is unsupported` };
	const kindProblem: Problem | undefined = unknown.length > 0 ? { reason: "InvalidRouteKinds", message: "Invalid route kinds" } : undefined;
	const invalid: Problem | undefined = tls ? { reason: "Invalid", message: "Bad TLS configuration" } : unsupported && { ...unsupported, reason: "Invalid" };
	return [
		condition("Accepted", unsupported, { reason: "Accepted", message: fine }, generation),
		// This one is true where something is wrong, which nothing is.
		{ ...condition("Conflicted", { reason: "NoConflicts", message: fine }, { reason: "", message: "" }, generation) },
		condition("Programmed", invalid, { reason: "Programmed", message: fine }, generation),
		condition("ResolvedRefs", tls ?? kindProblem, { reason: "ResolvedRefs", message: fine }, generation),
	];
}

function protocolKinds({ protocol, tls }: Listener): readonly RouteKind[] {
	switch (protocol) {
		case "HTTP":
		case "HTTPS":
			return ["HTTPRoute", "GRPCRoute"];
		case "TCP":
			return ["TCPRoute"];
		case "TLS":
			return tls?.mode === "Passthrough" ? ["TLSRoute"] : ["TLSRoute", "TCPRoute"];
		default:
			return [];
	}
}

/** The kinds of route that a listener's protocol can carry, narrowed to those it allows. */
function supportedKinds(listener: Listener): { readonly supported: readonly RouteKind[]; readonly unknown: readonly RouteGroupKind[] } {
	const own = protocolKinds(listener);
	const wanted = listener.allowedRoutes?.kinds ?? [];
	if (wanted.length === 0) return { supported: own, unknown: [] };
	const allows = (kind: RouteKind) => wanted.some((entry) => entry.kind === kind && (entry.group ?? gatewayGroup) === gatewayGroup);
	return {
		supported: own.filter(allows),
		unknown: wanted.filter(({ group, kind }) => (group ?? gatewayGroup) !== gatewayGroup || !own.some((known) => known === kind)),
	};
}
