import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { compareText } from "../../model/age.ts";
import type { ProxyContext } from "../context.ts";
import { buildGatewayListeners } from "./gateway-listeners.ts";
import { inboundListeners } from "./inbound-listeners.ts";
import { listenerInput } from "./listener-input.ts";
import { buildHttpProxyListener, buildLocalOutbound } from "./local-outbound.ts";
import { cachedOutbound } from "./outbound-cache.ts";
import { buildServiceListeners } from "./outbound-listeners.ts";
import { buildVirtualOutbound } from "./virtual-outbound.ts";

export { extensionConfigNames, outboundRouteNames } from "./route-names.ts";

/** All listeners of a proxy, sorted by name. Outbound ones are the same objects for all proxies of one scope with the same tags. */
export function buildListeners(context: ProxyContext): readonly Listener[] {
	// A gateway listens only for what Gateway objects select it for.
	if (context.node.kind === "router") return buildGatewayListeners(context);
	const outbound = cachedOutbound(context, () => buildOutbound(context));
	return [...outbound, ...inboundListeners(context)].sort((a, b) => compareText(a.name, b.name));
}

function buildOutbound(context: ProxyContext): readonly Listener[] {
	const input = listenerInput(context);
	const httpProxy = buildHttpProxyListener(context, input);
	if (context.node.local !== undefined) return [...(httpProxy ? [httpProxy] : []), ...buildLocalOutbound(context, input)];
	const captured = context.node.interceptionMode === "NONE" ? [] : [buildVirtualOutbound(context, input)];
	return [...captured, ...(httpProxy ? [httpProxy] : []), ...buildServiceListeners(context, input)];
}
