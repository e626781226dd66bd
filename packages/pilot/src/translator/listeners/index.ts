import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import type { Scope } from "../../model/push.ts";
import type { ProxyContext } from "../context.ts";
import { buildInboundListeners } from "./inbound-listeners.ts";
import { listenerInput, listenerInputKey } from "./listener-input.ts";
import { buildHttpProxyListener, buildLocalOutbound } from "./local-outbound.ts";
import { buildServiceListeners } from "./outbound-listeners.ts";
import { buildVirtualOutbound } from "./virtual-outbound.ts";

export { outboundRouteNames } from "./route-names.ts";

/** All listeners of a proxy, sorted by name. Outbound ones are the same objects for all proxies of one scope with the same tags. */
export function buildListeners(context: ProxyContext): readonly Listener[] {
	// A gateway listens only for what Gateway objects select it for.
	if (context.node.kind === "router") return [];
	return [...outboundListeners(context), ...buildInboundListeners(context)].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

const shared = new WeakMap<Scope, Map<string, readonly Listener[]>>();

function outboundListeners(context: ProxyContext): readonly Listener[] {
	// Local addresses are this one process's own; so are the addresses that a headless service's member leaves out.
	if (context.node.local !== undefined) return buildOutbound(context);
	let known = shared.get(context.scope);
	if (known === undefined) {
		known = new Map();
		shared.set(context.scope, known);
	}
	const key = `${listenerInputKey(context)}|${ownHeadlessAddresses(context)}`;
	const listeners = known.get(key) ?? buildOutbound(context);
	known.set(key, listeners);
	return listeners;
}

function buildOutbound(context: ProxyContext): readonly Listener[] {
	const input = listenerInput(context);
	const httpProxy = buildHttpProxyListener(context, input);
	if (context.node.local !== undefined) return [...(httpProxy ? [httpProxy] : []), ...buildLocalOutbound(context, input)];
	const captured = context.node.interceptionMode === "NONE" ? [] : [buildVirtualOutbound(context, input)];
	return [...captured, ...(httpProxy ? [httpProxy] : []), ...buildServiceListeners(context, input)];
}

/** A proxy's own addresses, if it is an endpoint of a headless service in its scope; otherwise they change nothing. */
function ownHeadlessAddresses({ push, scope, node }: ProxyContext): string {
	const isMember = scope.services.some(
		(service) => service.headless && [...push.endpoints.of(service).values()].some((endpoints) => endpoints.some(({ address }) => node.ips.includes(address))),
	);
	return isMember ? node.ips.join() : "";
}
