import { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import { endpointsOf } from "../../model/lookup.ts";
import type { ProxyNode } from "../../model/proxy-node.ts";
import type { EndpointIndex, Mesh, PushSnapshot, Scope } from "../../model/push.ts";
import type { Service } from "../../model/service.ts";
import { abilitiesOf, discoveryTypeOf } from "../clusters/discovery-type.ts";
import { effectivePolicy, endpointTlsMode } from "../clusters/traffic-policy.ts";
import type { EncodedResource, ProxyContext } from "../context.ts";
import { encodeResource, stats } from "../encode.ts";
import { createMemo, identityOf, none } from "../memo.ts";
import type { Pieces } from "../pieces.ts";
import { outboundClusterName, parseOutboundName, sniClusterName } from "../routes/cluster-name.ts";
import { type AssignmentInput, buildAssignment, placeKey, placeReads } from "./assignment.ts";
import { type ClientPlace, placeLabels } from "./locality.ts";

const encoded = createMemo<EncodedResource>();

/** Assignments by name, as far as they were asked for. */
type Table = Map<string, EncodedResource | undefined>;

/** Looks up the assignment of an EDS cluster by its name; undefined when this proxy has no such EDS cluster. */
export function clusterLoadAssignments(context: ProxyContext): (name: string) => EncodedResource | undefined {
	const held = tableOf(context);
	return (name) => {
		// A newer snapshot has taken the table over: what an older view still asks for is not kept.
		if (held.endpoints !== context.push.endpoints) return lookUp(context, name);
		const { table } = held;
		const known = table.get(name);
		if (known !== undefined || table.has(name)) return known;
		const built = lookUp(context, name);
		table.set(name, built);
		return built;
	};
}

/** Looks up what this snapshot made unknown, and in a new table all that its scope has. */
export function* prepareAssignments(context: ProxyContext): Pieces<void> {
	const { scope, node } = context;
	const held = tableOf(context);
	const lookUp = clusterLoadAssignments(context);
	const { forgotten } = held;
	held.forgotten = [];
	for (const names of forgotten ? [forgotten] : scope.services.map(({ hostname }) => assignmentNamesOf(scope, hostname, node.kind === "router"))) {
		for (const name of names) {
			yield;
			lookUp(name);
		}
	}
}

interface HeldTable {
	readonly table: Table;
	endpoints: EndpointIndex;
	/** Names that were known before endpoints changed last; undefined: none ever was. */
	forgotten: readonly string[] | undefined;
}

/**
 * One table for all proxies that see the same services under the same rules and stand in the same place, as far as places matter to some rule.
 * After a change of endpoints alone it forgets only what it knew of the services they belong to.
 */
function tableOf({ push, scope, node }: ProxyContext): HeldTable {
	const { capture, dynamicForwardProxy } = abilitiesOf(node);
	const key = `eds table ${identityOf(scope.destinationRule)} ${capture} ${dynamicForwardProxy} ${classPlaceKey(scope, push.mesh, node)}`;
	const inputs = [scope.services, push.peerAuthentications, push.mesh];
	const held = push.caches.shared.get(key, inputs, () => ({ table: new Map(), endpoints: push.endpoints, forgotten: undefined })) as HeldTable;
	if (held.endpoints !== push.endpoints) {
		const names = [...changedHosts(push, held.endpoints)].flatMap((host) => assignmentNamesOf(scope, host, node.kind === "router"));
		held.forgotten = names.filter((name) => held.table.delete(name));
		held.endpoints = push.endpoints;
	}
	return held;
}

const changes = createMemo<readonly Service[]>();

/** Services whose endpoints are not those of an earlier index. */
export function changedServices({ services, endpoints }: PushSnapshot, before: EndpointIndex): readonly Service[] {
	return changes.get([endpoints, before, services], "", () =>
		(endpoints.changedSince(before) ?? services).filter((service) => before.of(service) !== endpoints.of(service)),
	);
}

/** Their hosts, each once. */
export function changedHosts(push: PushSnapshot, before: EndpointIndex): ReadonlySet<string> {
	return new Set(changedServices(push, before).map(({ hostname }) => hostname));
}

/** The assignments that a service has in a scope: one a port, and one more a subset; at a gateway to other networks the same again by SNI. */
export function assignmentNamesOf(scope: Scope, host: string, gateway: boolean): readonly string[] {
	const subsets = ["", ...(scope.destinationRule(host)?.subsets.map(({ name }) => name) ?? [])];
	// TCP and UDP may share a number (DNS): that is one cluster.
	const ports = new Set(scope.serviceByHost.get(host)?.ports.map(({ port }) => port));
	const forms = gateway ? [outboundClusterName, sniClusterName] : [outboundClusterName];
	return [...ports].flatMap((port) => subsets.flatMap((subset) => forms.map((nameOf) => nameOf(port, subset, host))));
}

/** Everything in a snapshot that the assignments of a class are derived from. */
export function assignmentInputs({ endpoints, destinationRules, peerAuthentications, mesh }: PushSnapshot, { services }: Scope): readonly object[] {
	return [services, endpoints, destinationRules, peerAuthentications, mesh];
}

const scopeReads = createMemo<readonly string[]>();

/** What tells apart proxies of one scope in the assignments they get. */
export function classPlaceKey(scope: Scope, mesh: Mesh, node: ProxyNode): string {
	const reads = scopeReads.get([scope.serviceByHost, mesh], "", () => {
		const all = scope.services.flatMap((service) => {
			const rule = scope.destinationRule(service.hostname);
			const variants = service.ports.flatMap(({ port }) => [undefined, ...(rule?.subsets ?? [])].map((subset) => effectivePolicy(rule, subset, port)));
			return variants.flatMap((policy) => placeReads({ policy, service, mesh }));
		});
		return [...new Set(all)].sort();
	});
	const known = placeKeys.get(node);
	if (known?.reads === reads) return known.key;
	const key = placeKey(placeOf(node), reads);
	placeKeys.set(node, { reads, key });
	return key;
}

const placeKeys = new WeakMap<ProxyNode, { readonly reads: readonly string[]; readonly key: string }>();

function lookUp({ push, scope, node }: ProxyContext, name: string): EncodedResource | undefined {
	const parsed = parseOutboundName(name);
	if (!parsed) return undefined;
	const { subset: subsetName, sni } = parsed;
	const service = scope.serviceByHost.get(parsed.host);
	const port = service?.ports.find((candidate) => candidate.port === parsed.port);
	if (!service || !port) return undefined;
	const rule = scope.destinationRule(service.hostname);
	const subset = subsetName ? rule?.subsets.find((candidate) => candidate.name === subsetName) : undefined;
	if (subsetName && !subset) return undefined;
	const policy = effectivePolicy(rule, subset, port.port);
	if (discoveryTypeOf(service, port, policy, abilitiesOf(node)) !== "EDS") return undefined;
	const endpoints = endpointsOf(push, service, port.name);
	const place = placeOf(node);
	const tlsMode = endpointTlsMode(rule, subset, port.port);
	const common = { name, service, endpoints, subset, policy, tlsMode, policies: push.peerAuthentications, mesh: push.mesh, place };
	const input: AssignmentInput = { ...common, names: false, mutualTlsOnly: sni };
	const key = `${name} ${placeKey(place, placeReads(input))}`;
	return encoded.get([endpoints, service, rule ?? none, push.peerAuthentications, push.mesh], key, () => {
		stats.builds.eds++;
		return encodeResource("eds", name, ClusterLoadAssignment, buildAssignment(input));
	});
}

const places = new WeakMap<ProxyNode, ClientPlace>();

export function placeOf(node: ProxyNode): ClientPlace {
	const { locality, labels, network, nodeName } = node;
	const place = places.get(node) ?? { locality, nodeName, labels: placeLabels(labels, locality, network, nodeName) };
	places.set(node, place);
	return place;
}
