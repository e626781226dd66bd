import type { ProxyNode } from "../../model/proxy-node.ts";

/** All of a proxy's addresses are IPv6: what it listens on and comes from is then IPv6 as well. */
export function isIpv6Only({ ips }: Pick<ProxyNode, "ips">): boolean {
	return ips.length > 0 && ips.every((ip) => ip.includes(":"));
}

/** The pod has addresses of both families. */
export function hasBothFamilies({ ips }: Pick<ProxyNode, "ips">): boolean {
	return ips.some((ip) => ip.includes(":")) && ips.some((ip) => !ip.includes(":"));
}

/**
 * Both families are listened on: only where the pod has both and says so by `proxyMetadata.ISTIO_DUAL_STACK`, as in Istio,
 * since a socket of a family that its machine lacks would cost the pod its listeners.
 */
export function isDualStack(node: Pick<ProxyNode, "ips" | "metadata">): boolean {
	const config = node.metadata["PROXY_CONFIG"] as { readonly proxyMetadata?: Readonly<Record<string, unknown>> } | undefined;
	const wanted = config?.proxyMetadata?.["ISTIO_DUAL_STACK"];
	return (wanted === "true" || wanted === true) && hasBothFamilies(node);
}

/** The IPv6 wildcard beside the IPv4 one. */
export function alsoIpv6(wanted: boolean, { ip, port }: SocketAddressValue): object {
	return wanted && ip === "0.0.0.0" ? { additionalAddresses: [{ address: addressOf({ ip: "::", port }) }] } : {};
}

/** All addresses of the proxy's family. */
export function wildcardIpOf(node: Pick<ProxyNode, "ips">): string {
	return isIpv6Only(node) ? "::" : "0.0.0.0";
}

export function isWildcardIp(ip: string): boolean {
	return ip === "0.0.0.0" || ip === "::";
}

export interface SocketAddressValue {
	readonly ip: string;
	readonly port: number;
}

/** envoy.config.core.v3.Address of an IP, or of a unix domain socket (port 0). */
export function addressOf({ ip, port }: SocketAddressValue): object {
	const path = ip.replace(/^unix:(\/\/)?/, "");
	if (path.startsWith("/") || path.startsWith("@")) return { pipe: { path } };
	return { socketAddress: { address: ip, portValue: port } };
}

export function listenerName({ ip, port }: SocketAddressValue): string {
	return `${ip}_${port}`;
}

/** `127.0.0.1:8080` or `[::1]:8080`; undefined for anything else. */
export function parseSocketAddress(text: string): SocketAddressValue | undefined {
	const colon = text.lastIndexOf(":");
	const port = Number(text.slice(colon + 1));
	const ip = text.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
	return colon <= 0 || !Number.isInteger(port) || port < 1 || port > 65_535 ? undefined : { ip, port };
}

/** CidrRange of `10.0.0.0/8`; a bare address is the whole range. */
export function cidrRange(text: string): { readonly addressPrefix: string; readonly prefixLen: number } {
	const [addressPrefix = text, length] = text.split("/");
	return { addressPrefix, prefixLen: length === undefined ? (addressPrefix.includes(":") ? 128 : 32) : Number(length) };
}
