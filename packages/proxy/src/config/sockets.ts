/** What a socket is told beyond the ordinary. */
export interface SocketOptions {
	/** May be bound to, and take connections for, addresses that are not this machine's. */
	readonly transparent: boolean;
	/** May be bound to an address that is not there yet. */
	readonly freebind: boolean;
	readonly custom: readonly SocketOption[];
}

export interface SocketOption {
	readonly level: number;
	readonly name: number;
	readonly value: Uint8Array;
	/** When it is set: before the socket is bound, after, or once it listens. */
	readonly state: "prebind" | "bound" | "listening";
}

export type SocketAddress =
	/** `ipv4Compat`: `::` takes IPv4 as well. */
	{ readonly kind: "ip"; readonly address: string; readonly port: number; readonly ipv4Compat?: boolean } | { readonly kind: "pipe"; readonly path: string };
