/** What filters say of a request to whoever comes after them: dynamic metadata, and objects in the filter state. */

/** `set_metadata`: metadata of one namespace. */
export interface MetadataEntry {
	readonly namespace: string;
	readonly values: Readonly<Record<string, unknown>>;
	/** What the namespace has already is merged with these; else it stays as it is. */
	readonly allowsOverwrite: boolean;
}

/** `header_to_metadata`. */
export interface HeaderToMetadata {
	readonly request: readonly HeaderToMetadataRule[];
	readonly response: readonly HeaderToMetadataRule[];
	/** "": nothing is counted. */
	readonly statPrefix: string;
}

export interface HeaderToMetadataRule {
	readonly source: { readonly kind: "header"; readonly name: string; readonly isRemoved: boolean } | { readonly kind: "cookie"; readonly name: string };
	readonly onPresent: MetadataWrite | undefined;
	readonly onMissing: MetadataWrite | undefined;
}

export interface MetadataWrite {
	readonly namespace: string;
	readonly key: string;
	/** "": the value that was found, rewritten. */
	readonly value: string;
	readonly rewrite: { readonly pattern: string; readonly substitution: string } | undefined;
	/** `value`: bytes of a google.protobuf.Value. */
	readonly type: "string" | "number" | "value";
	readonly isBase64: boolean;
}

/** `set_filter_state`: an object of the filter state. */
export interface FilterStateWrite {
	readonly key: string;
	readonly factory: FilterStateFactory;
	/** Access-log style format string. */
	readonly format: string;
	/** Of an operator without a value; else it stands as `-`. */
	readonly omitsEmpty: boolean;
	/** An empty text makes no object. */
	readonly skipsEmpty: boolean;
}

// Keys of objects that this proxy acts upon.
/** Where a TCP connection goes, unless its proxy has several clusters. */
export const tcpClusterKey = "envoy.tcp_proxy.cluster";
/** What is asked for in the hello of a connection to a host. */
export const upstreamServerNameKey = "envoy.network.upstream_server_name";
/** `ip:port` for ORIGINAL_DST clusters. */
export const originalDestinationKey = "envoy.network.transport_socket.original_dst_address";

/** Whom a TCP connection through a dynamic forward proxy is for, instead of its server name, and at which port. */
export const dynamicHostKey = "envoy.upstream.dynamic_host";
export const dynamicPortKey = "envoy.upstream.dynamic_port";

/** What sort of object is made of a text; `address`: none, unless that is `ip:port`; `number`: none, unless it is one of 32 bits. */
export type FilterStateFactory = "text" | "hashable" | "plain" | "address" | "number";
