import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import type { PushSnapshot, Scope } from "../../model/push.ts";
import type { ProxyContext } from "../context.ts";
import { createMemo } from "../memo.ts";
import { listenerProtocolOf } from "./inbound-chains.ts";
import { listenerInputKey } from "./listener-input.ts";

interface Entry {
	readonly dependencies: readonly unknown[];
	readonly listeners: readonly Listener[];
}

/** By the services that a scope sees: those lists keep their identity from one snapshot to the next while nothing in them changes. */
const entries = new WeakMap<readonly unknown[], Map<string, Entry>>();
/** Tag sets × client features of one scope's proxies; a few hundred workloads may share a namespace. */
const variantsMax = 1024;

/**
 * The outbound listeners of all proxies that read the same, over snapshots too: a VirtualService's HTTP routes change no listener,
 * so after such an edit these are the very objects of before.
 */
export function cachedOutbound(context: ProxyContext, build: () => readonly Listener[]): readonly Listener[] {
	const { services, key: scopeKey } = context.scope;
	let known = entries.get(services);
	if (known === undefined) {
		known = new Map();
		entries.set(services, known);
	}
	// Local addresses are one process's own: such listeners are shared with nobody, but kept.
	const local = JSON.stringify(context.node.local?.outbound ?? null);
	const key = `${scopeKey}|${listenerInputKey(context)}|${ownHeadlessAddresses(context)}|${local}`;
	const dependencies = dependenciesOf(context);
	const entry = known.get(key);
	if (entry !== undefined && sameItems(entry.dependencies, dependencies)) return entry.listeners;
	const listeners = build();
	if (known.size >= variantsMax) known.clear();
	known.set(key, { dependencies, listeners });
	return listeners;
}

function sameItems(a: readonly unknown[], b: readonly unknown[]): boolean {
	return a.length === b.length && a.every((item, index) => item === b[index]);
}

const dependencies = createMemo<readonly unknown[]>();

/** Everything of a snapshot and a scope that outbound listeners are made of. */
function dependenciesOf({ push, scope }: ProxyContext): readonly unknown[] {
	return dependencies.get([scope, push.endpoints, push.meshConfig], "", () => listDependencies(push, scope));
}

function listDependencies(push: PushSnapshot, scope: Scope): readonly unknown[] {
	const { mode, egressProxy } = scope.outboundTrafficPolicy;
	const layer4 = [...new Set(scope.egress.flatMap(({ virtualServices }) => virtualServices))].filter(({ spec }) => spec.tls?.length || spec.tcp?.length);
	const destinations = layer4.flatMap(({ spec }) => [...(spec.tls ?? []), ...(spec.tcp ?? [])].flatMap(({ route }) => route ?? []));
	const opaque = scope.services.filter(({ ports }) => ports.some(({ protocol }) => listenerProtocolOf(protocol) !== "http"));
	return [
		push.meshConfig,
		push.mesh,
		mode,
		egressProxy && JSON.stringify(egressProxy),
		scope.sidecar?.spec,
		...scope.egress.map(({ services }) => services),
		...layer4,
		...destinations.map(({ destination }) => scope.destinationRule(destination.host)),
		...opaque.map(({ hostname }) => scope.destinationRule(hostname)),
		...opaque.filter(({ headless }) => headless).map((service) => push.endpoints.of(service)),
	];
}

const headlessAddresses = createMemo<ReadonlySet<string>>();

/** A proxy's own addresses, if it is an endpoint of a headless service in its scope; otherwise they change nothing. */
function ownHeadlessAddresses({ push, scope, node }: ProxyContext): string {
	const addresses = headlessAddresses.get([scope, push.endpoints], "", () => {
		const endpoints = scope.services.filter(({ headless }) => headless).flatMap((service) => [...push.endpoints.of(service).values()].flat());
		return new Set(endpoints.map(({ address }) => address));
	});
	return node.ips.some((ip) => addresses.has(ip)) ? node.ips.join() : "";
}
