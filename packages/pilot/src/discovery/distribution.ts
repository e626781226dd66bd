import type { AnyConfig } from "@weft/api";
import type { StreamState } from "@weft/xds/server";
import { isEmpty, labelsMatch } from "../model/labels.ts";
import { holdsFor, selectsAll } from "../model/policies.ts";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { PushSnapshot, Scope } from "../model/push.ts";
import { scopeOf } from "../model/scope.ts";
import { marksOf, virtualServiceMark } from "./config-marks.ts";
import { createRefusedResources, type RefusedResources } from "./refused-resources.ts";

/** A connected proxy, as far as it matters what it was sent. */
export interface ProxyState {
	readonly node: ProxyNode;
	/** Of the newest push that it has whole; -1: of none. */
	readonly syncedVersion: number;
	readonly states: readonly StreamState[];
}

/** How far an object has come among the proxies that see it. */
export interface Spread {
	readonly seeing: number;
	readonly inForce: number;
	/** The refusal of one of them, with the resources that the object is part of. */
	readonly refusal: string | undefined;
}

export const noSpread: Spread = { seeing: 0, inForce: 0, refusal: undefined };

/** What two control planes say of one object. */
export const addSpreads = (a: Spread, b: Spread): Spread => ({
	seeing: a.seeing + b.seeing,
	inForce: a.inForce + b.inForce,
	refusal: a.refusal ?? b.refusal,
});

export interface Distribution {
	/** Undefined for kinds that shape nothing of what proxies are sent, or that have a status of another form. */
	of(object: AnyConfig): Spread | undefined;
}

const refusalTextMax = 600;

/**
 * Which proxies have which objects in force. `since` is the version of the push that an object, as it is now, came with: a proxy
 * that waits for a later push has it nevertheless. Pure; what proxies of one class see is worked out once.
 */
export function buildDistribution(push: PushSnapshot, proxies: readonly ProxyState[], since: (object: AnyConfig) => number): Distribution {
	const audience = createAudience(push, proxies);
	const refused = createRefusedResources(push);
	return {
		of(object) {
			const marks = marksOf(object);
			if (marks === undefined) return undefined;
			const version = since(object);
			let [seeing, inForce] = [0, 0];
			let refusal: string | undefined;
			for (const group of audience.of(object)) {
				seeing += group.synced.length;
				inForce += countFrom(group.synced, version);
				if (group.refusing.length === 0) continue;
				const texts = marks.texts === undefined ? undefined : [...marks.texts, ...audience.marks(object)];
				for (const proxy of group.refusing) {
					const refusing = proxy.states.find((state) => marks.types.includes(state.type) && refused.isBlamed(proxy, state, texts));
					if (refusing === undefined) continue;
					refusal ??= refusalText(proxy, refusing, refused, texts);
					if (proxy.syncedVersion >= version) inForce--;
				}
			}
			return { seeing, inForce, refusal };
		},
	};
}

/** Proxies that are counted together: a mesh has thousands, and each of its objects is asked for. */
interface Group {
	/** The versions that they have, in order. */
	readonly synced: readonly number[];
	/** Those that refuse something. */
	readonly refusing: readonly ProxyState[];
}

function groupOf(proxies: readonly ProxyState[]): Group {
	return {
		synced: proxies.map(({ syncedVersion }) => syncedVersion).sort((a, b) => a - b),
		refusing: proxies.filter(({ states }) => states.some(({ nack }) => nack !== undefined)),
	};
}

/** How many of the ordered numbers are not below `least`. */
function countFrom(ordered: readonly number[], least: number): number {
	let [low, high] = [0, ordered.length];
	while (low < high) {
		const middle = (low + high) >> 1;
		if ((ordered[middle] as number) < least) low = middle + 1;
		else high = middle;
	}
	return ordered.length - low;
}

function refusalText(proxy: ProxyState, state: StreamState, refused: RefusedResources, texts: readonly string[] | undefined): string {
	const { type, nack } = state;
	const resources = refused.namesOf(proxy, state, texts).slice(0, 5).join(", ");
	const text = `${proxy.node.name}.${proxy.node.namespace} refused ${type} ${resources}: ${nack?.message ?? ""}`;
	return text.length > refusalTextMax ? `${text.slice(0, refusalTextMax)}…` : text;
}

/** What the proxies of one class see, by the names that objects have. */
interface ScopeView {
	readonly scope: Scope;
	readonly virtualServices: ReadonlySet<string>;
	/** Specs of rules, each with the path under which clusters name it. */
	readonly rules: ReadonlyMap<object, string>;
	readonly hosts: ReadonlySet<string>;
}

interface ClassView extends ScopeView {
	readonly group: Group;
}

interface Audience {
	of(object: AnyConfig): readonly Group[];
	/** Names under which others let an object pass: the root of a delegate, the first of merged rules. */
	marks(object: AnyConfig): readonly string[];
}

function createAudience(push: PushSnapshot, proxies: readonly ProxyState[]): Audience {
	const routers = proxies.filter(({ node }) => node.kind === "router");
	const classes = classViews(push, proxies);
	const roots = delegateRoots(push);
	const routes = new Map(push.virtualServices.map((vs) => [`${vs.namespace}/${vs.name}`, vs]));
	const rootsOf = (key: string) => [key, ...(roots.get(key) ?? [])];
	const classesWith = (isSeen: (view: ClassView) => boolean) => classes.filter(isSeen).map(({ group }) => group);
	const { rootNamespace } = push.mesh;
	const select = createSelection(proxies, rootNamespace);
	return {
		of(object) {
			const { namespace, name } = object.metadata;
			const key = `${namespace}/${name}`;
			switch (object.kind) {
				case "VirtualService": {
					const keys = rootsOf(key);
					const gateways = keys.flatMap((root) => routes.get(root)?.gateways ?? []).filter((gateway) => gateway !== "mesh");
					const atGateways = gateways.length > 0 ? [groupOf(routers.filter(({ node }) => serves(push, node, gateways)))] : [];
					return [...classesWith(({ virtualServices }) => keys.some((root) => virtualServices.has(root))), ...atGateways];
				}
				case "DestinationRule":
					return classesWith(({ rules }) => rules.has(object.spec));
				case "ServiceEntry":
					return classesWith(({ hosts }) => object.spec.hosts.some((host) => hosts.has(`${namespace}/${host}`)));
				case "Sidecar":
					return classesWith(({ scope }) => scope.sidecar?.metadata.namespace === namespace && scope.sidecar.metadata.name === name);
				case "Gateway":
					return [groupOf(routers.filter(({ node }) => serves(push, node, [key])))];
				case "PeerAuthentication": {
					const labels = object.spec.selector?.matchLabels;
					// With a selector, one of the root namespace is for the workloads there alone.
					const isFor = isEmpty(labels) ? undefined : (node: ProxyNode) => node.namespace === namespace && labelsMatch(labels, node.labels);
					return [select(namespace, isFor)];
				}
				default: {
					const policy = object as Parameters<typeof holdsFor>[0];
					return [select(namespace, selectsAll(policy) ? undefined : (node) => holdsFor(policy, node, rootNamespace))];
				}
			}
		},
		marks(object) {
			const key = `${object.metadata.namespace}/${object.metadata.name}`;
			if (object.kind === "VirtualService") return (roots.get(key) ?? []).map(virtualServiceMark);
			if (object.kind === "DestinationRule") return [...new Set(classes.flatMap(({ rules }) => rules.get(object.spec) ?? []))];
			return [];
		},
	};
}

/** Proxies of a namespace (of all, for the root namespace), narrowed where `isFor` is given. */
function createSelection(
	proxies: readonly ProxyState[],
	rootNamespace: string,
): (namespace: string, isFor: ((node: ProxyNode) => boolean) | undefined) => Group {
	const byNamespace = Map.groupBy(proxies, ({ node }) => node.namespace);
	const groups = new Map<string, Group>();
	return (namespace, isFor) => {
		const all = namespace === rootNamespace ? proxies : (byNamespace.get(namespace) ?? []);
		if (isFor !== undefined) return groupOf(all.filter(({ node }) => isFor(node)));
		const group = groups.get(namespace) ?? groupOf(all);
		groups.set(namespace, group);
		return group;
	};
}

function classViews(push: PushSnapshot, proxies: readonly ProxyState[]): readonly ClassView[] {
	const byScope = Map.groupBy(proxies, ({ node }) => scopeOf(push, node));
	return [...byScope].map(([scope, of]) => ({ ...viewOf(scope, of[0]?.node.kind), group: groupOf(of) }));
}

const views = new WeakMap<Scope, ScopeView>();

/** A scope is for proxies of one kind, and lives while nothing changes in it. */
function viewOf(scope: Scope, kind: ProxyNode["kind"] | undefined): ScopeView {
	let view = views.get(scope);
	if (view === undefined) {
		view = buildView(scope, kind);
		views.set(scope, view);
	}
	return view;
}

function buildView(scope: Scope, kind: ProxyNode["kind"] | undefined): ScopeView {
	const rules = new Map<object, string>();
	for (const { hostname } of scope.services) {
		const rule = scope.destinationRule(hostname);
		for (const source of rule?.sources ?? []) rules.set(source, rule?.configPath ?? "");
	}
	// At gateways it is the Gateway that decides.
	const routes = kind === "router" ? [] : scope.egress.flatMap(({ virtualServices }) => virtualServices);
	const own = routes.filter(({ semantics }) => semantics === "istio");
	return {
		scope,
		virtualServices: new Set(own.map(({ namespace, name }) => `${namespace}/${name}`)),
		rules,
		hosts: new Set(scope.services.flatMap(({ registry, namespace, hostname }) => (registry === "External" ? [`${namespace}/${hostname}`] : []))),
	};
}

/** Does the gateway proxy serve one of these Gateways (`namespace/name`)? */
function serves(push: PushSnapshot, node: ProxyNode, gateways: readonly string[]): boolean {
	return push.gateways.some(
		({ namespace, name, selector, services }) =>
			services === undefined && gateways.includes(`${namespace}/${name}`) && labelsMatch(selector ?? {}, node.labels),
	);
}

/** The VirtualServices that a delegate is part of, by its `namespace/name`. */
function delegateRoots(push: PushSnapshot): ReadonlyMap<string, readonly string[]> {
	const roots = new Map<string, string[]>();
	for (const { metadata, spec } of push.config.all("VirtualService")) {
		for (const { delegate } of spec.http ?? []) {
			if (delegate?.name === undefined) continue;
			const key = `${delegate.namespace || metadata.namespace}/${delegate.name}`;
			const list = roots.get(key) ?? [];
			roots.set(key, list);
			list.push(`${metadata.namespace}/${metadata.name}`);
		}
	}
	return roots;
}
