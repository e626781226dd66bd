import { mergeMessages } from "@weft/xds";
import { TrafficDirection } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import type { FilterChain, ListenerFilter } from "@weft/xds/generated/envoy/config/listener/v3/listener_components.ts";
import type { Patch, PatchContext } from "../../model/envoy-filters.ts";
import { createMemo } from "../memo.ts";
import { patchFilters } from "./filters.ts";
import { editsAll, isMerge, type ListPatcher, mergeOptions, patchList } from "./list-patches.ts";
import type { PatchSet } from "./patch-set.ts";
import { mergeSocket } from "./transport-sockets.ts";

const types = {
	listener: "envoy.config.listener.v3.Listener",
	chain: "envoy.config.listener.v3.FilterChain",
	listenerFilter: "envoy.config.listener.v3.ListenerFilter",
} as const;

const patched = createMemo<{ readonly listener: Listener | undefined }>();

/** All listeners of a proxy after its patches. */
export function patchListeners(listeners: readonly Listener[], set: PatchSet, isGateway: boolean): readonly Listener[] {
	const contexts: readonly PatchContext[] = isGateway ? ["GATEWAY"] : ["SIDECAR_OUTBOUND", "SIDECAR_INBOUND"];
	const own = listeners.flatMap((listener) => {
		const context = contextOf(listener, isGateway);
		return patched.get([listener, set], context, () => ({ listener: patchListener(listener, set, context) })).listener ?? [];
	});
	const names = new Set(own.map(({ name }) => name));
	const added = contexts.flatMap((context) => set.of("LISTENER", context).filter(({ operation }) => operation === "ADD"));
	const extra = added.map(({ value }) => value as Listener).filter(({ name }) => !names.has(name) && Boolean(names.add(name)));
	return [...own, ...extra].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function contextOf({ trafficDirection }: Listener, isGateway: boolean): PatchContext {
	if (isGateway) return "GATEWAY";
	return trafficDirection === TrafficDirection.INBOUND ? "SIDECAR_INBOUND" : "SIDECAR_OUTBOUND";
}

/** Undefined: removed. The same listener where nothing is for it. */
function patchListener(original: Listener, set: PatchSet, context: PatchContext): Listener | undefined {
	const isFor = (patch: Patch) => listenerMatches(original, patch);
	const whole = set.of("LISTENER", context).filter((patch) => patch.operation !== "ADD" && isFor(patch));
	if (whole.some(({ operation }) => operation === "REMOVE")) return undefined;
	let listener = whole.reduce(
		(merged, patch) => (isMerge(patch) ? mergeMessages(types.listener, merged, patch.value as Listener, mergeOptions(patch)) : merged),
		original,
	);
	const filters = set.of("LISTENER_FILTER", context).filter(isFor);
	if (filters.length > 0) listener = { ...listener, listenerFilters: [...patchList(listener.listenerFilters, filters, listenerFilterPatcher)] };
	return patchChains(listener, set, context, isFor);
}

const listenerFilterName = ({ match }: Patch) => match.listener?.listenerFilter;

const listenerFilterPatcher: ListPatcher<ListenerFilter> = {
	namesTarget: (patch) => Boolean(listenerFilterName(patch)),
	isTarget: (patch, { name }) => listenerFilterName(patch) === name,
	forAll: new Set(),
	merge: (filter, value, options) => mergeMessages(types.listenerFilter, filter, value, options),
};

function patchChains(listener: Listener, set: PatchSet, context: PatchContext, isFor: (patch: Patch) => boolean): Listener {
	const chainPatches = set.of("FILTER_CHAIN", context).filter((patch) => chainOperations.has(patch.operation) && isFor(patch));
	const network = set.of("NETWORK_FILTER", context).filter(isFor);
	const http = set.of("HTTP_FILTER", context).filter(isFor);
	const hasRoutes = context === "SIDECAR_INBOUND" && routeKinds.some((kind) => set.of(kind, context).length > 0);
	if (chainPatches.length + network.length + http.length === 0 && !hasRoutes) return listener;
	const patchChain = (chain: FilterChain): readonly FilterChain[] => {
		const isForChain = (patch: Patch) => chainMatches(listener, chain, patch);
		const merged = patchList(
			[chain],
			chainPatches.filter((patch) => patch.operation !== "ADD" && isForChain(patch)),
			chainPatcher,
		);
		return merged.map((after) => {
			const patches = { network: network.filter(isForChain), http: http.filter(isForChain), routes: hasRoutes ? set : undefined };
			const filters = patchFilters(after.filters, patches);
			return filters === after.filters ? after : { ...after, filters: [...filters] };
		});
	};
	const added = chainPatches.filter(({ operation }) => operation === "ADD").map(({ value }) => value as FilterChain);
	const filterChains = [...listener.filterChains.flatMap(patchChain), ...added];
	const [defaultFilterChain] = listener.defaultFilterChain ? patchChain(listener.defaultFilterChain) : [];
	return { ...listener, filterChains, defaultFilterChain };
}

const routeKinds = ["ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"] as const;

/** Chains are told apart by what they match, so their order says nothing. */
const chainOperations: ReadonlySet<Patch["operation"]> = new Set(["ADD", "MERGE", "MERGE_AND_REPLACE_LIST", "REMOVE"]);

/** One chain at a time: the patch has been matched against it already. */
const chainPatcher: ListPatcher<FilterChain> = {
	namesTarget: () => false,
	isTarget: () => true,
	forAll: editsAll,
	merge: (chain, value, options) => {
		const socket = mergeSocket(chain.transportSocket, value.transportSocket, options);
		const rest = socket ? { ...value, transportSocket: undefined } : value;
		return mergeMessages(types.chain, socket ? { ...chain, transportSocket: socket } : chain, rest, options);
	},
};

/** The two listeners that stand for many ports: inside of them a port is that of a chain. */
const virtual: ReadonlySet<string> = new Set(["virtualInbound", "virtualOutbound"]);

function listenerMatches({ name, address }: Listener, { applyTo, match: { listener: match } }: Patch): boolean {
	if (match === undefined) return true;
	if (match.name && match.name !== name) return false;
	const isByChain = applyTo !== "LISTENER" && virtual.has(name);
	return isByChain || !match.portNumber || match.portNumber === address?.socketAddress?.portValue;
}

function chainMatches({ name }: Listener, chain: FilterChain, { match: { listener: match } }: Patch): boolean {
	const { filterChainMatch: own } = chain;
	if (virtual.has(name) && match?.portNumber && own?.destinationPort !== match.portNumber) return false;
	const wanted = match?.filterChain;
	if (wanted === undefined) return true;
	if (wanted.name && wanted.name !== chain.name) return false;
	if (wanted.sni && !(own?.serverNames ?? []).includes(wanted.sni)) return false;
	if (wanted.transportProtocol && own?.transportProtocol !== wanted.transportProtocol) return false;
	if (wanted.destinationPort && own?.destinationPort !== wanted.destinationPort) return false;
	const protocols = (wanted.applicationProtocols ?? "").split(",").filter(Boolean);
	return protocols.every((protocol) => own?.applicationProtocols.includes(protocol));
}
