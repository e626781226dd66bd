import type { X509Certificate } from "node:crypto";
import type { SecureContext } from "node:tls";

export type GrpcEndpoint =
	/** `address`: an IP address, or a name to resolve. */
	{ readonly kind: "ip"; readonly address: string; readonly port: number } | { readonly kind: "pipe"; readonly path: string };

/** Where a gRPC server is, and how to speak to it. */
export interface GrpcTarget {
	/** Tried in this order; at least one. */
	readonly endpoints: readonly GrpcEndpoint[];
	readonly authority: string;
	/** Of TCP and TLS together, for each address. */
	readonly connectTimeoutMs: number;
	/** Asked before each connection, so that renewed certificates are used. What it throws is why there is no connection. */
	readonly tls: (() => GrpcTls) | undefined;
}

export interface GrpcTls {
	readonly context: SecureContext;
	/** SNI; "" : none. */
	readonly serverName: string;
	/** Looks at the server before anything is written. `chainError`: what OpenSSL has against it. Gives the reason of a refusal. */
	readonly verify: (certificate: X509Certificate | undefined, chainError: string | undefined) => string | undefined;
}

/** For logs. */
export function endpointText(endpoint: GrpcEndpoint): string {
	if (endpoint.kind === "pipe") return `unix:${endpoint.path}`;
	return endpoint.address.includes(":") ? `[${endpoint.address}]:${endpoint.port}` : `${endpoint.address}:${endpoint.port}`;
}

/** `host:port`, `[v6]:port`, or `unix:path` as gRPC names it. @throws Error when it is neither */
export function parseHostPort(text: string): GrpcEndpoint {
	if (text.startsWith("unix:")) return { kind: "pipe", path: text.slice("unix:".length).replace(/^\/\//, "") };
	const match = /^(?:dns:(?:\/\/[^/]*\/)?)?\[?([^[\]/]+?)\]?:(\d{1,5})$/.exec(text);
	if (match === null) throw new Error(`expected HOST:PORT, got ${JSON.stringify(text)}`);
	return { kind: "ip", address: match[1] as string, port: Number(match[2]) };
}
