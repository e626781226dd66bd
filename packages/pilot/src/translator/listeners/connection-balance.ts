import type { ProxyNode } from "../../model/proxy-node.ts";

/** Which listeners of a proxy want their connections even among its threads. */
export interface ConnectionBalance {
	readonly inbound: boolean;
	readonly outbound: boolean;
}

/** Metadata INBOUND_LISTENER_EXACT_BALANCE and OUTBOUND_LISTENER_EXACT_BALANCE (`ISTIO_META_…` of a sidecar or gateway). */
export function connectionBalanceOf({ metadata }: ProxyNode): ConnectionBalance {
	const isWanted = (direction: string) => metadata[`${direction}_LISTENER_EXACT_BALANCE`] === "true";
	return { inbound: isWanted("INBOUND"), outbound: isWanted("OUTBOUND") };
}

/** Fields of a Listener. */
export function exactBalance(isWanted: boolean): object {
	return isWanted ? { connectionBalanceConfig: { exactBalance: {} } } : {};
}
