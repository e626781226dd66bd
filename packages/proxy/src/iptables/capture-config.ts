/** What is captured and how: the flags of istio-iptables, checked. https://istio.io/latest/docs/reference/commands/pilot-agent/#pilot-agent-istio-iptables */
export interface CaptureConfig {
	/** Where captured outbound connections go. */
	readonly proxyPort: string;
	/** Where captured inbound connections go. */
	readonly inboundCapturePort: string;
	/** Tunnelled traffic (HBONE): never captured. */
	readonly inboundTunnelPort: string;
	/** Whose traffic is the proxy's own. */
	readonly proxyUids: readonly string[];
	readonly proxyGids: readonly string[];
	readonly interceptionMode: "REDIRECT" | "TPROXY";
	readonly tproxyMark: string;
	readonly tproxyRouteTable: string;
	readonly inboundPorts: PortSelection;
	/** Read only when all inbound ports are captured. */
	readonly inboundPortsExclude: readonly string[];
	/** Captured whatever their address. */
	readonly outboundPortsInclude: readonly string[];
	readonly outboundPortsExclude: readonly string[];
	readonly outboundRanges: RangeSelection;
	readonly outboundRangesExclude: Ranges;
	/** Interfaces of virtual machines: what comes in there counts as outbound. */
	readonly rerouteInterfaces: readonly string[];
	readonly excludeInterfaces: readonly string[];
	/** Groups whose outbound traffic is captured: all but these, or only these. */
	readonly ownerGroups: { readonly kind: "all-except" | "only"; readonly groups: readonly string[] };
	readonly dns: DnsCapture;
	readonly dropInvalid: boolean;
	readonly ipv6: boolean;
	readonly ipv4LoopbackCidr: string;
}

export type PortSelection = { readonly kind: "all" } | { readonly kind: "only"; readonly ports: readonly string[] };
export interface Ranges {
	readonly v4: readonly string[];
	readonly v6: readonly string[];
}
export type RangeSelection = { readonly kind: "all" } | ({ readonly kind: "only" } & Ranges);

export type DnsCapture =
	| { readonly kind: "off" }
	| { readonly kind: "all" }
	/** Only what goes to these servers, so that a DNS proxy in the pod can still ask its own. */
	| ({ readonly kind: "servers" } & Ranges);

/** A loopback address among the captured ranges means that connections within the pod are wanted, too. */
export function capturesLoopback({ outboundRanges }: CaptureConfig): boolean {
	if (outboundRanges.kind === "all") return false;
	return outboundRanges.v4.some((cidr) => cidr.startsWith("127.")) || outboundRanges.v6.some((cidr) => cidr.startsWith("::1/"));
}
