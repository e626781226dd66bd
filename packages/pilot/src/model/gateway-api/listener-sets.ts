import type { ConfigObject, Listener } from "@weft/api";
import { type GatewayApiInput, type Grants, kinds } from "./context.ts";
import { type CompiledGateway, compileListener, gatewayServices, type JudgedListener, listenerSetsOf } from "./gateways.ts";
import { type Condition, condition, type Problem } from "./status.ts";

// Listeners that others add to a Gateway: https://gateway-api.sigs.k8s.io/geps/gep-1713/

/** A ListenerSet of a Gateway of this mesh. Without a word of the Gateway's it has no listeners. */
export interface CompiledListenerSet {
	readonly object: ConfigObject<"ListenerSet">;
	/** `namespace/name` of the Gateway. */
	readonly gateway: string;
	readonly isAttached: boolean;
	readonly listeners: readonly JudgedListener[];
	readonly conditions: readonly Condition[];
}

export function compileListenerSets(gateways: readonly CompiledGateway[], input: GatewayApiInput, grants: Grants): readonly CompiledListenerSet[] {
	return gateways.flatMap(({ object: gateway }) => {
		// What the Gateway has itself comes first, then the older set's.
		const taken: Listener[] = [...gateway.spec.listeners];
		// A grant to Gateways is none to those who add listeners to them.
		const own: Grants = { allows: (_, ...to) => grants.allows(kinds.listenerSet, ...to) };
		return listenerSetsOf(gateway, input).map(({ set, isAllowed }): CompiledListenerSet => {
			const common = { object: set, gateway: `${gateway.metadata.namespace}/${gateway.metadata.name}` };
			const { generation } = set.metadata;
			if (!isAllowed) {
				const problem = {
					reason: "NotAllowed",
					message: `Gateway ${common.gateway} allows no ListenerSets of namespace ${JSON.stringify(set.metadata.namespace)}`,
				};
				return { ...common, isAttached: false, listeners: [], conditions: setConditions(problem, generation) };
			}
			const listeners = set.spec.listeners.map((listener) => {
				const conflict = conflictWith(listener, taken);
				if (conflict === undefined) taken.push(listener);
				const compiled = compileForSet(set, gateway, listener, input, own);
				return conflict === undefined ? compiled : inConflict(compiled, conflict, generation);
			});
			const isNoneValid = listeners.every(({ gateway: served }) => served === undefined);
			const problem = isNoneValid ? { reason: "ListenersNotValid", message: "No listener of the set can be served" } : undefined;
			return { ...common, isAttached: problem === undefined, listeners, conditions: setConditions(problem, generation) };
		});
	});
}

/** As one of the Gateway's, but in the set's own namespace: its Secrets and routes are those of that one. */
function compileForSet(
	{ metadata }: ConfigObject<"ListenerSet">,
	gateway: CompiledGateway["object"],
	listener: Listener,
	input: GatewayApiInput,
	grants: Grants,
): JudgedListener {
	const isTaken = input.gateways.some(({ metadata: other }) => other.namespace === metadata.namespace && other.name === metadata.name);
	const name = isTaken ? `${metadata.name}~listener-set` : metadata.name;
	const object = { ...gateway, metadata: { ...metadata, name } };
	const compiled = compileListener(object, listener, gatewayServices(gateway, input.domain).services, input, grants);
	return { ...compiled, gateway: compiled.gateway && { ...compiled.gateway, proxyNamespace: gateway.metadata.namespace } };
}

function conflictWith({ port, protocol, hostname = "" }: Listener, taken: readonly Listener[]): Problem | undefined {
	const others = taken.filter((other) => other.port === port);
	if (others.some((other) => layerOf(other.protocol) !== layerOf(protocol)))
		return { reason: "ProtocolConflict", message: `port ${port} has another protocol already` };
	if (others.some((other) => (other.hostname ?? "") === hostname))
		return { reason: "HostnameConflict", message: `port ${port} serves ${JSON.stringify(hostname || "*")} already` };
	return undefined;
}

/** Protocols that can share a port. */
const layerOf = (protocol: string): string => (protocol === "HTTPS" || protocol === "TLS" ? "TLS" : protocol);

function inConflict(compiled: JudgedListener, problem: Problem, generation: number | undefined): JudgedListener {
	const conditions = compiled.status.conditions.map(({ type, ...rest }): Condition => {
		if (type === "Conflicted") return { type, status: "True", ...problem, ...(generation !== undefined && { observedGeneration: generation }) };
		return type === "Accepted" || type === "Programmed" ? condition(type, problem, { reason: type, message: "" }, generation) : { type, ...rest };
	});
	return { ...compiled, gateway: undefined, status: { ...compiled.status, conditions } };
}

function setConditions(problem: Problem | undefined, generation: number | undefined): readonly Condition[] {
	return [
		condition("Accepted", problem, { reason: "Accepted", message: "Resource accepted" }, generation),
		condition("Programmed", problem, { reason: "Programmed", message: "Resource programmed" }, generation),
	];
}
