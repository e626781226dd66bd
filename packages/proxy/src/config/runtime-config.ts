/**
 * What the main thread sends to the workers: everything a worker needs to serve, as plain values that survive
 * structured cloning. The main thread decodes and checks Envoy's messages (`decode/`); a worker compiles these
 * values into functions and tables (`data/`) and never sees a protobuf. So the data path can be tested, and can
 * run, without xDS; and no worker carries the codecs.
 */

import type { ConfigDiscovery, ExtensionConfig } from "./discovered-filters.ts";
import type { HealthCheck } from "./health-check.ts";
import type { FilterOverrides, GrpcService, HttpFilter, RateLimitAction, Rbac, TokenBucket } from "./http-filters.ts";
import type { CustomTag, Decorator, RouteTracing, TelemetryService, Tracing } from "./telemetry.ts";

// ---- strings and paths

export type StringMatch =
	| { readonly kind: "exact" | "prefix" | "suffix" | "contains"; readonly value: string; readonly ignoreCase: boolean }
	/** RE2 syntax, the whole value must match. */
	| { readonly kind: "regex"; readonly value: string };

export type PathMatch =
	| { readonly kind: "prefix" | "exact" | "pathSeparatedPrefix"; readonly value: string; readonly caseSensitive: boolean }
	| { readonly kind: "regex"; readonly value: string }
	| { readonly kind: "connect" };

export interface HeaderMatch {
	/** Lower case; `:method`, `:authority`, `:path`, `:scheme` included. */
	readonly name: string;
	readonly match: { readonly kind: "present" } | { readonly kind: "range"; readonly start: number; readonly end: number } | StringMatch;
	readonly invert: boolean;
	readonly treatMissingAsEmpty: boolean;
}

export interface QueryMatch {
	readonly name: string;
	/** undefined: the parameter is there, whatever its value; `absent`: it is not. */
	readonly match: StringMatch | "absent" | undefined;
}

/** A value that a filter wrote as dynamic metadata under `filter`, found by the path of its keys. */
export interface MetadataMatch {
	readonly filter: string;
	readonly path: readonly string[];
	readonly value: ValueMatch;
	readonly invert: boolean;
}

export type ValueMatch =
	| { readonly kind: "null" }
	/** `end` excluded. */
	| { readonly kind: "range"; readonly start: number; readonly end: number }
	| { readonly kind: "number"; readonly value: number }
	| { readonly kind: "string"; readonly match: StringMatch }
	| { readonly kind: "bool"; readonly value: boolean }
	| { readonly kind: "present"; readonly present: boolean }
	| { readonly kind: "listOneOf"; readonly element: ValueMatch }
	| { readonly kind: "or"; readonly any: readonly ValueMatch[] };

/** A share of requests: numerator of denominator. */
export interface Fraction {
	readonly numerator: number;
	readonly denominator: 100 | 10_000 | 1_000_000;
}

// ---- headers

export type AppendAction = "append" | "addIfAbsent" | "overwrite" | "overwriteIfExists";

export interface HeaderMutation {
	readonly name: string;
	/** Access-log style format string (%…% operators), compiled by the worker. */
	readonly value: string;
	readonly action: AppendAction;
	readonly keepEmpty: boolean;
}

export interface HeaderOperations {
	readonly requestAdd: readonly HeaderMutation[];
	readonly requestRemove: readonly string[];
	readonly responseAdd: readonly HeaderMutation[];
	readonly responseRemove: readonly string[];
}

// ---- routes

export interface RouteTable {
	readonly name: string;
	readonly virtualHosts: readonly VirtualHost[];
	readonly headers: HeaderOperations;
	readonly filters: FilterOverrides;
	readonly mostSpecificHeaderMutationsWins: boolean;
	readonly ignorePortInHostMatching: boolean;
	readonly maxDirectResponseBodyBytes: number;
	/** More virtual hosts come by themselves (VHDS). */
	readonly vhds: boolean;
	/** A route to a cluster that is not there makes the table a bad one; else its requests are answered 503. */
	readonly validatesClusters?: boolean;
}

export interface VirtualHost {
	readonly name: string;
	readonly domains: readonly string[];
	readonly routes: readonly Route[];
	readonly requireTls: "none" | "externalOnly" | "all";
	readonly headers: HeaderOperations;
	readonly retry: RetryPolicy | undefined;
	/** `typed_per_filter_config`, by the filter's name in the connection manager. */
	readonly filters: FilterOverrides;
	readonly rateLimits: readonly RateLimitAction[];
	readonly includeRequestAttemptCount: boolean;
	readonly includeAttemptCountInResponse: boolean;
}

export interface Route {
	readonly name: string;
	readonly path: PathMatch;
	readonly headers: readonly HeaderMatch[];
	readonly query: readonly QueryMatch[];
	/** All must match what the filters so far wrote. */
	readonly dynamicMetadata: readonly MetadataMatch[];
	readonly grpcOnly: boolean;
	readonly runtimeFraction: Fraction | undefined;
	readonly action: RouteAction | RedirectAction | DirectResponseAction;
	readonly headerOperations: HeaderOperations;
	readonly filters: FilterOverrides;
	/** `filter_metadata` by namespace, for logs and spans; undefined: none. */
	readonly metadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
	readonly decorator: Decorator | undefined;
	/** undefined: as the connection manager says. */
	readonly tracing: RouteTracing | undefined;
}

export type ClusterSelector =
	| { readonly kind: "cluster"; readonly name: string }
	| { readonly kind: "header"; readonly name: string }
	/** `header`: of the number to choose by; "": at random. */
	| { readonly kind: "weighted"; readonly clusters: readonly WeightedCluster[]; readonly totalWeight: number; readonly header: string };

export interface WeightedCluster {
	readonly name: string;
	readonly weight: number;
	readonly headers: HeaderOperations;
	readonly hostRewrite: string | undefined;
	readonly filters: FilterOverrides;
	/** Of `envoy.lb`; over the route's. */
	readonly metadataMatch?: LbMetadata | undefined;
}

export interface RouteAction {
	readonly kind: "route";
	/** Which subset of the cluster's hosts; `envoy.lb` of `metadata_match`. */
	readonly metadataMatch?: LbMetadata | undefined;
	readonly cluster: ClusterSelector;
	readonly clusterNotFoundStatus: 404 | 500 | 503;
	/** 0: no timeout. */
	readonly timeoutMs: number;
	/** Set: a gRPC request's `grpc-timeout` is its timeout instead, up to this; 0: uncapped. */
	readonly grpcTimeoutMaxMs: number | undefined;
	/** undefined: the connection manager's; 0: none. */
	readonly idleTimeoutMs: number | undefined;
	/** 0: none; undefined: not set. */
	readonly maxStreamDurationMs: number | undefined;
	readonly prefixRewrite: string | undefined;
	readonly regexRewrite: { readonly pattern: string; readonly substitution: string } | undefined;
	readonly hostRewrite:
		| { readonly kind: "literal"; readonly value: string }
		| { readonly kind: "header"; readonly name: string }
		| { readonly kind: "auto" }
		| { readonly kind: "pathRegex"; readonly pattern: string; readonly substitution: string }
		| undefined;
	readonly appendXForwardedHost: boolean;
	readonly retry: RetryPolicy | undefined;
	readonly mirrors: readonly { readonly cluster: string; readonly fraction: Fraction; readonly shadowSuffix: boolean }[];
	readonly hashPolicies: readonly HashPolicy[];
	/** Upgrade types allowed on this route beyond or instead of the connection manager's, lower case. */
	readonly upgrades: Readonly<Record<string, boolean>>;
	readonly priority: "default" | "high";
	readonly rateLimits: readonly RateLimitAction[];
	readonly includeVirtualHostRateLimits: boolean;
}

export interface RedirectAction {
	readonly kind: "redirect";
	readonly status: 301 | 302 | 303 | 307 | 308;
	readonly scheme: string | undefined;
	readonly host: string | undefined;
	readonly port: number | undefined;
	readonly path:
		| { readonly kind: "full" | "prefix"; readonly value: string }
		| { readonly kind: "regex"; readonly pattern: string; readonly substitution: string }
		| undefined;
	readonly stripQuery: boolean;
}

export interface DirectResponseAction {
	readonly kind: "direct";
	readonly status: number;
	readonly body: Uint8Array;
}

export type HashPolicy =
	| {
			readonly kind: "header";
			readonly name: string;
			readonly regexRewrite: { readonly pattern: string; readonly substitution: string } | undefined;
			readonly terminal: boolean;
	  }
	| {
			readonly kind: "cookie";
			readonly name: string;
			readonly ttlMs: number | undefined;
			readonly path: string;
			readonly attributes: readonly { readonly name: string; readonly value: string }[];
			readonly terminal: boolean;
	  }
	| { readonly kind: "sourceIp"; readonly terminal: boolean }
	| { readonly kind: "query"; readonly name: string; readonly terminal: boolean };

export interface RetryPolicy {
	/** Tokens of `retry_on`, gRPC ones included; case matters, as in Envoy. */
	readonly retryOn: readonly string[];
	readonly numRetries: number;
	/** undefined: none. */
	readonly perTryTimeoutMs: number | undefined;
	/** How long an attempt may be silent; undefined: for ever. */
	readonly perTryIdleTimeoutMs: number | undefined;
	readonly retriableStatusCodes: readonly number[];
	readonly retriableHeaders: readonly HeaderMatch[];
	/** Of requests that may be retried; none: any. */
	readonly retriableRequestHeaders: readonly HeaderMatch[];
	readonly backOff: { readonly baseMs: number; readonly maxMs: number };
	/** Waits that a host asks for instead of the back-off. */
	readonly rateLimited: RateLimitedBackOff | undefined;
	readonly avoids: AvoidedHosts;
	readonly previousPriorities: { readonly updateFrequency: number } | undefined;
	readonly hostSelectionAttemptsMax: number;
}

export interface RateLimitedBackOff {
	/** The first that is there and says no more than `maxMs` counts. */
	readonly headers: readonly { readonly name: string; readonly format: "seconds" | "unixTimestamp" }[];
	readonly maxMs: number;
}

/** Hosts that a retry is not to go to, as long as there are others (`retry_host_predicate`). */
export interface AvoidedHosts {
	/** Those that were tried. */
	readonly previous: boolean;
	/** Those whose `envoy.lb` says `canary: true`. */
	readonly canary: boolean;
	/** Those whose `envoy.lb` has all of these values; one a predicate. */
	readonly metadata: readonly LbMetadata[];
}

// ---- listeners

export interface Listener {
	readonly name: string;
	readonly address: SocketAddress;
	readonly additionalAddresses: readonly SocketAddress[];
	readonly bindToPort: boolean;
	readonly useOriginalDst: boolean;
	readonly direction: "unspecified" | "inbound" | "outbound";
	readonly statPrefix: string;
	readonly inspectTls: boolean;
	readonly inspectHttp: boolean;
	/** The HTTP inspector stands before the TLS inspector: it counts what it sees of a TLS client. */
	readonly inspectsHttpFirst: boolean;
	/** Connections that the inspector leaves alone, so that protocols whose server speaks first do not wait for the client. */
	readonly tlsInspectorDisabled: ConnectionPredicate | undefined;
	readonly httpInspectorDisabled: ConnectionPredicate | undefined;
	readonly originalDst: boolean;
	/** Upstream connections come from the client's own address, with this mark (0: none); undefined: from the proxy's. */
	readonly originalSrc: { readonly mark: number } | undefined;
	/** undefined: connections begin without a PROXY protocol header. */
	readonly proxyProtocol: ProxyProtocolOptions | undefined;
	/** 0: wait for ever. */
	readonly listenerFiltersTimeoutMs: number;
	readonly continueOnListenerFiltersTimeout: boolean;
	readonly filterChains: readonly FilterChain[];
	readonly defaultFilterChain: FilterChain | undefined;
	readonly bufferBytesMax: number;
	readonly backlog: number;
	/** Each worker has as many connections as the others; else the kernel spreads them. */
	readonly exactBalance?: boolean;
	/** The overload manager, or its limit of connections, is not for this listener. */
	readonly bypassesOverload?: boolean;
	readonly ignoresConnectionLimit?: boolean;
	/** undefined: those of the system. */
	readonly socketOptions: SocketOptions | undefined;
	/** For connections that no filter chain takes. */
	readonly accessLogs: readonly AccessLog[];
}

export interface ProxyProtocolOptions {
	/** Connections without a header are taken as they are. */
	readonly allowWithout: boolean;
	readonly versions: readonly ("v1" | "v2")[];
	/** Which of the header's further values (TLVs) upstream connections may pass on; undefined: none. */
	readonly keptTlvs?: TlvChoice | undefined;
	/** Of its own statistics, behind `proxy_proto.`. */
	readonly statPrefix?: string;
	/** Values that become dynamic metadata of the connection, as text. */
	readonly tlvMetadata?: readonly TlvMetadata[];
}

/** Types of TLVs. */
export type TlvChoice = "all" | readonly number[];

export interface TlvMetadata {
	readonly type: number;
	readonly namespace: string;
	readonly key: string;
}

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

export type ConnectionPredicate =
	| { readonly kind: "any" }
	/** `end` excluded. */
	| { readonly kind: "destinationPort"; readonly start: number; readonly end: number }
	| { readonly kind: "or" | "and"; readonly rules: readonly ConnectionPredicate[] }
	| { readonly kind: "not"; readonly rule: ConnectionPredicate };

export type SocketAddress =
	/** `ipv4Compat`: `::` takes IPv4 as well. */
	{ readonly kind: "ip"; readonly address: string; readonly port: number; readonly ipv4Compat?: boolean } | { readonly kind: "pipe"; readonly path: string };

export interface FilterChainMatch {
	readonly destinationPort: number | undefined;
	/** CIDRs, e.g. `10.0.0.0/8`. */
	readonly destinationRanges: readonly string[];
	/** Lower case, `*.` wildcards allowed. */
	readonly serverNames: readonly string[];
	/** "" matches any. */
	readonly transportProtocol: "" | "tls" | "raw_buffer";
	readonly applicationProtocols: readonly string[];
	readonly directSourceRanges: readonly string[];
	readonly sourceType: "any" | "sameIpOrLoopback" | "external";
	readonly sourceRanges: readonly string[];
	readonly sourcePorts: readonly number[];
}

export interface FilterChain {
	readonly name: string;
	readonly match: FilterChainMatch;
	readonly tls: DownstreamTls | undefined;
	/** In order; the last one is terminal. */
	readonly filters: readonly NetworkFilter[];
	readonly transportSocketConnectTimeoutMs: number;
}

export type NetworkFilter =
	| HttpConnectionManager
	| TcpProxy
	| { readonly kind: "echo" }
	| { readonly kind: "directResponse"; readonly body: Uint8Array }
	| { readonly kind: "sniCluster" }
	/** TCP connections go to the name of their SNI, at this port. */
	| { readonly kind: "sniDynamicForwardProxy"; readonly port: number }
	| { readonly kind: "connectionLimit"; readonly connectionsMax: number; readonly delayMs: number; readonly statPrefix: string }
	| { readonly kind: "rbac"; readonly statPrefix: string; readonly rbac: Rbac }
	| { readonly kind: "localRateLimit"; readonly statPrefix: string; readonly bucket: TokenBucket; readonly shareKey: string }
	| {
			readonly kind: "extAuthz";
			readonly statPrefix: string;
			readonly service: GrpcService;
			readonly failureModeAllow: boolean;
			readonly enabledMetadata: MetadataMatch | undefined;
			readonly sendsPeerCertificate: boolean;
			readonly sendsServerName: boolean;
	  }
	/** Istio's own: accounted for TCP metrics; the peers' metadata exchange is accepted and its frames are not spoken. */
	| { readonly kind: "metadataExchange" }
	| { readonly kind: "istioStats"; readonly stats: IstioStats }
	/** What it is comes by itself, under this name. */
	| { readonly kind: "discovered"; readonly name: string; readonly discovery: ConfigDiscovery<NetworkFilter> };

export interface TcpProxy {
	readonly kind: "tcpProxy";
	readonly statPrefix: string;
	readonly cluster: ClusterSelector;
	/** Which subset of the cluster's hosts; a weighted cluster's own keys go before. */
	readonly metadataMatch: LbMetadata | undefined;
	/** A line is logged when the upstream has been reached, and one at each interval (ms; 0: none), beside the last. */
	readonly logsWhenConnected: boolean;
	readonly logIntervalMs: number;
	/** 0: none. */
	readonly idleTimeoutMs: number;
	readonly connectAttemptsMax: number;
	/** 0: none. */
	readonly maxDownstreamConnectionDurationMs: number;
	readonly hashPolicies: readonly HashPolicy[];
	/** undefined: bytes go to the host as they come. */
	readonly tunnel: TcpTunnel | undefined;
	readonly accessLogs: readonly AccessLog[];
}

/** Bytes go through the host, which is asked for that by CONNECT or POST. */
export interface TcpTunnel {
	/** Access-log style format string: whom the host is to connect to. */
	readonly hostname: string;
	readonly usePost: boolean;
	/** Of a POST. */
	readonly postPath: string;
	readonly headers: readonly HeaderMutation[];
	/** The answer's head, and trailers, go into the filter state. */
	readonly propagatesHeaders: boolean;
	readonly propagatesTrailers: boolean;
}

/** Of `http2_protocol_options`, each side's own. */
export interface Http2Options {
	/** What the peer's encoder may use; bytes. */
	readonly headerTableSize: number;
	readonly maxConcurrentStreams: number;
	/** Bytes. */
	readonly streamWindow: number;
	readonly connectionWindow: number;
	/** Extended CONNECT (RFC 8441). */
	readonly allowConnect: boolean;
	/** Frames that may wait for the peer to read. */
	readonly outboundFramesMax: number;
	readonly outboundControlFramesMax: number;
	readonly emptyFramesMax: number;
	readonly priorityFramesPerStreamMax: number;
	readonly windowUpdatesPerDataFrameMax: number;
	/** A malformed message costs its stream rather than the connection. */
	readonly isStreamErrorOnInvalidMessage: boolean;
	readonly keepalive: Http2Keepalive | undefined;
}

/** PINGs of ours. */
export interface Http2Keepalive {
	/** 0: none but after idling. */
	readonly intervalMs: number;
	readonly timeoutMs: number;
	/** Of the interval, 0 to 100. */
	readonly jitterPercent: number;
	/** A request on a connection that was idle for this long sends a PING first; 0: never. */
	readonly idleIntervalMs: number;
}

export interface HttpConnectionManager {
	readonly kind: "http";
	readonly statPrefix: string;
	readonly codec: "auto" | "http1" | "http2";
	/** `file`: where the main thread reads the table; undefined: the control plane gives it. */
	readonly routes:
		| { readonly kind: "rds"; readonly name: string; readonly file?: ConfigFile | undefined }
		| { readonly kind: "inline"; readonly table: RouteTable };
	/** In order, ending with `router`. */
	readonly filters: readonly HttpFilter[];
	readonly serverName: string;
	readonly serverHeader: "overwrite" | "appendIfAbsent" | "passThrough";
	readonly useRemoteAddress: boolean;
	readonly xffNumTrustedHops: number;
	readonly skipXffAppend: boolean;
	/** `x-forwarded-port`: where the client connected to. */
	readonly appendForwardedPort: boolean;
	readonly via: string;
	readonly generateRequestId: boolean;
	readonly preserveExternalRequestId: boolean;
	readonly alwaysSetRequestIdInResponse: boolean;
	readonly forwardClientCert: "sanitize" | "forwardOnly" | "appendForward" | "sanitizeSet" | "alwaysForwardOnly";
	readonly clientCertDetails: { readonly subject: boolean; readonly cert: boolean; readonly chain: boolean; readonly dns: boolean; readonly uri: boolean };
	readonly normalizePath: boolean;
	readonly mergeSlashes: boolean;
	readonly escapedSlashes: "keep" | "reject" | "redirect" | "forward";
	readonly stripPort: "none" | "matching" | "any";
	readonly stripTrailingHostDot: boolean;
	/** 0: none, for each of these. */
	readonly streamIdleTimeoutMs: number;
	readonly requestTimeoutMs: number;
	readonly requestHeadersTimeoutMs: number;
	readonly idleTimeoutMs: number;
	readonly maxConnectionDurationMs: number;
	readonly maxStreamDurationMs: number;
	readonly drainTimeoutMs: number;
	readonly delayedCloseTimeoutMs: number;
	readonly maxRequestsPerConnection: number;
	readonly requestHeadersBytesMax: number;
	readonly headersCountMax: number;
	readonly underscoresInHeaders: "allow" | "reject" | "drop";
	readonly upgrades: Readonly<Record<string, boolean>>;
	readonly http1: {
		readonly acceptHttp10: boolean;
		readonly allowAbsoluteUrl: boolean;
		readonly allowCustomMethods: boolean;
		readonly defaultHostForHttp10: string;
		readonly enableTrailers: boolean;
		readonly headerCase: "lower" | "proper" | "preserve";
	};
	readonly http2: Http2Options;
	readonly proxy100Continue: boolean;
	readonly accessLogs: readonly AccessLog[];
	readonly localReplies: LocalReplyConfig | undefined;
	/** CIDRs whose addresses are callers from inside; none by default. */
	readonly internalRanges: readonly string[];
	/** undefined: requests are not traced. */
	readonly tracing: Tracing | undefined;
	readonly schemeOverwrite: "http" | "https" | undefined;
}

/** How the proxy's own answers are put into a user's words. */
export interface LocalReplyConfig {
	/** The first whose filter matches counts. */
	readonly mappers: readonly {
		readonly filter: AccessLogFilter;
		readonly status: number | undefined;
		readonly body: string | undefined;
		readonly headers: readonly HeaderMutation[];
		readonly format: LocalReplyFormat | undefined;
	}[];
	readonly format: LocalReplyFormat | undefined;
}

/** `contentType` "": of the format's kind. */
export interface LocalReplyFormat {
	readonly format: FileAccessLog["format"];
	readonly contentType: string;
}

/** A file of xDS resources (`path_config_source`). */
export interface ConfigFile {
	readonly path: string;
	/** undefined: the file's own. */
	readonly watchedFolder: string | undefined;
}

/** istio.stats: which standard metrics to keep, and for which side. */
export interface IstioStats {
	readonly disableHostHeaderFallback: boolean;
	readonly reporter: "default" | "gateway";
	/** By metric name without the `istio_` prefix ("" : all): tags dropped, tags replaced (constant or simple expression), metric dropped. */
	readonly overrides: readonly {
		readonly metric: string;
		readonly drop: boolean;
		readonly removeTags: readonly string[];
		readonly dimensions: Readonly<Record<string, string>>;
	}[];
}

export type AccessLog = FileAccessLog | OpenTelemetryAccessLog | GrpcAccessLog;

export interface FileAccessLog {
	readonly kind: "file";
	/** /dev/stdout and /dev/stderr included. */
	readonly path: string;
	readonly format: { readonly kind: "text"; readonly text: string } | { readonly kind: "json"; readonly fields: Readonly<Record<string, unknown>> };
	readonly filter: AccessLogFilter | undefined;
}

/** Records of OTLP. */
export interface OpenTelemetryAccessLog {
	readonly kind: "openTelemetry";
	readonly service: TelemetryService;
	readonly logName: string;
	readonly flushMs: number;
	readonly hasBuiltinLabels: boolean;
	readonly resource: Readonly<Record<string, string>>;
	readonly body: LogTemplate | undefined;
	readonly attributes: Readonly<Record<string, LogTemplate>>;
	/** "" or with a dot at its end. */
	readonly statPrefix: string;
	readonly filter: AccessLogFilter | undefined;
}

/** Entries of Envoy's access log service, of requests or of TCP connections. */
export interface GrpcAccessLog {
	readonly kind: "grpc";
	readonly protocol: "http" | "tcp";
	readonly service: GrpcService;
	readonly logName: string;
	readonly flushMs: number;
	/** Entries are sent once they are this much; 0: each by itself. */
	readonly bufferBytes: number;
	/** Lower case. */
	readonly requestHeaders: readonly string[];
	readonly responseHeaders: readonly string[];
	readonly responseTrailers: readonly string[];
	readonly filterState: readonly string[];
	readonly customTags: readonly CustomTag[];
	readonly filter: AccessLogFilter | undefined;
}

/** A value whose strings are formats. */
export type LogTemplate = string | number | boolean | readonly LogTemplate[] | { readonly [key: string]: LogTemplate };

export type AccessLogFilter =
	| { readonly kind: "status" | "duration"; readonly op: "eq" | "ge" | "le" | "ne"; readonly value: number }
	| { readonly kind: "and" | "or"; readonly filters: readonly AccessLogFilter[] }
	| { readonly kind: "responseFlag"; readonly flags: readonly string[] }
	| { readonly kind: "header"; readonly header: HeaderMatch }
	| { readonly kind: "notHealthCheck" }
	| { readonly kind: "random"; readonly fraction: Fraction }
	| { readonly kind: "cel"; readonly expression: string }
	| { readonly kind: "grpcStatus"; readonly statuses: readonly number[]; readonly exclude: boolean }
	/** Names of `AccessLogType`. */
	| { readonly kind: "logType"; readonly types: readonly string[]; readonly exclude: boolean }
	/** undefined: any request. */
	| { readonly kind: "metadata"; readonly match: MetadataMatch | undefined; readonly matchesIfAbsent: boolean };

// ---- TLS

export interface TlsParams {
	readonly minVersion: "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";
	readonly maxVersion: "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";
	/** OpenSSL names, colon-joined; "" : the default. */
	readonly ciphers: string;
	/** Groups of the key exchange, likewise. */
	readonly curves: string;
	/** Algorithms of signatures, likewise; absent: the default. */
	readonly signatures?: string;
}

/** A certificate and key: in line, or the name of a secret that arrives by SDS. */
export type CertificateSource =
	| { readonly kind: "inline"; readonly certChainPem: string; readonly privateKeyPem: string }
	| { readonly kind: "secret"; readonly name: string };

export type TrustSource =
	| { readonly kind: "inline"; readonly caPem: string; readonly crlPem: string }
	| { readonly kind: "secret"; readonly name: string }
	| { readonly kind: "system" };

export interface SanMatch {
	readonly type: "uri" | "dns" | "email" | "ip" | "any";
	readonly match: StringMatch;
}

export interface PeerValidation {
	readonly trust: TrustSource;
	/** Empty: any name that the trust anchors vouch for. */
	readonly sans: readonly SanMatch[];
	/** Hex SHA-256 of the certificate, or base64 of its SPKI. */
	readonly certificateHashes: readonly string[];
	readonly spkiHashes: readonly string[];
	readonly acceptUntrusted: boolean;
}

export interface DownstreamTls {
	readonly params: TlsParams;
	readonly alpn: readonly string[];
	readonly certificates: readonly CertificateSource[];
	readonly validation: PeerValidation | undefined;
	readonly requireClientCertificate: boolean;
	/** No session tickets. */
	readonly disableStatelessResumption: boolean;
}

export interface UpstreamTls {
	readonly params: TlsParams;
	readonly alpn: readonly string[];
	readonly certificates: readonly CertificateSource[];
	readonly validation: PeerValidation | undefined;
	readonly sni: string;
	/** auto_sni and auto_san_validation of the cluster. */
	readonly autoSni: boolean;
	readonly autoSanValidation: boolean;
}

export interface Secret {
	readonly name: string;
	readonly certificate: { readonly certChainPem: string; readonly privateKeyPem: string } | undefined;
	readonly validation: { readonly caPem: string; readonly crlPem: string } | undefined;
}

// ---- clusters

export interface Cluster {
	readonly name: string;
	readonly statName: string;
	readonly kind: "static" | "strictDns" | "logicalDns" | "eds" | "originalDst" | "dynamicForwardProxy";
	/** How a dynamic forward proxy resolves what requests name. */
	readonly dynamicHosts?: DynamicHosts | undefined;
	readonly connectTimeoutMs: number;
	readonly lb: LoadBalancer;
	readonly subsets?: SubsetConfig | undefined;
	readonly upstreamProtocol: "http1" | "http2" | "downstream" | "alpn";
	readonly http1: { readonly headerCase: "lower" | "proper" | "preserve"; readonly enableTrailers: boolean };
	readonly http2: Http2Options;
	/** 0: none. */
	readonly idleTimeoutMs: number;
	readonly maxConnectionDurationMs: number;
	/** Of one attempt; 0: no limit. */
	readonly maxStreamDurationMs: number;
	/** 0: no limit. */
	readonly maxRequestsPerConnection: number;
	readonly breakers: { readonly default: BreakerLimits; readonly high: BreakerLimits };
	readonly outlier: OutlierDetection | undefined;
	readonly healthChecks: readonly HealthCheck[];
	/** Hosts that no check has looked at yet count for nothing, rather than as unhealthy. */
	readonly ignoresNewHostsUntilChecked: boolean;
	/** A host that is no endpoint any more goes at once, though its checks are good. */
	readonly ignoresHealthOnRemoval: boolean;
	readonly closesConnectionsOnHealthFailure: boolean;
	readonly panicThresholdPercent: number;
	/** A session goes back to its host while that drains. */
	readonly sessionsOutliveDraining?: boolean;
	readonly overprovisioningFactor: number;
	readonly localityWeighted: boolean;
	/** How zone-aware routing is done where the proxy knows its local cluster; undefined: Envoy's defaults. */
	readonly zoneAware?: ZoneAware | undefined;
	/** In order; the first whose `match` is part of the host's `envoy.transport_socket_match` metadata; then `transport`. */
	readonly transportMatches: readonly { readonly name: string; readonly match: Readonly<Record<string, unknown>>; readonly transport: UpstreamTransport }[];
	readonly transport: UpstreamTransport;
	/** HTTP/1 connections are made ahead: as many as this for each request that is under way or waits; 1: none. */
	readonly preconnectRatio?: number;
	/** Connections of the cluster a request under way, made ahead to the hosts that come next; absent: none ahead. */
	readonly predictivePreconnectRatio?: number;
	/** Source addresses of upstream connections, e.g. 127.0.0.6 for inbound clusters; the first of the host's family counts, else the first. */
	readonly bindAddresses: readonly string[];
	readonly socketOptions: SocketOptions | undefined;
	readonly tcpKeepalive: { readonly timeSeconds: number } | undefined;
	/** undefined: nothing more is kept of requests. */
	readonly tracking?: ClusterTracking | undefined;
	/** metadata.filter_metadata.istio.services[0], for metrics. */
	readonly istioService: { readonly host: string; readonly name: string; readonly namespace: string } | undefined;
	readonly istioSubset: string | undefined;
	/** Slot of this cluster's shared counters: index into the shared Int32Array (see shared-state.ts). */
	readonly breakerSlot: number;
	readonly originalDstUseHeader: boolean;
}

export type UpstreamTransport = ({ readonly kind: "raw" } | { readonly kind: "tls"; readonly tls: UpstreamTls }) & {
	/** Connections begin with a PROXY protocol header that names the client. */
	readonly proxyProtocol?: "v1" | "v2";
	/** Which of the client's TLVs it passes on (version 2); undefined: none. */
	readonly passedTlvs?: TlvChoice | undefined;
	/** Its own (version 2); they take the place of the client's of the same type. */
	readonly addedTlvs?: readonly { readonly type: number; readonly value: Uint8Array }[];
};

/** `track_cluster_stats`. */
export interface ClusterTracking {
	/** How much of their timeouts requests and attempts take. */
	readonly timeoutBudgets: boolean;
	/** Bytes of heads and bodies, both ways. */
	readonly sizes: boolean;
}

/** `zone_aware_lb_config`. */
export interface ZoneAware {
	/** Share of requests; the others go to any zone. */
	readonly routingEnabledPercent: number;
	/** With fewer healthy hosts zones are not looked at. */
	readonly minClusterSize: number;
	/** In panic no host is used, rather than all. */
	readonly failsOnPanic: boolean;
	/** With so many healthy hosts in the own zone, all requests stay there; undefined: zones share the load. */
	readonly localZoneMin: number | undefined;
	/** What a zone's share is counted by. */
	readonly basis: "hosts" | "weight";
}

export interface BreakerLimits {
	readonly connectionsMax: number;
	readonly pendingRequestsMax: number;
	readonly requestsMax: number;
	/** To one host, over all workers; undefined: no limit. */
	readonly perHostConnectionsMax?: number | undefined;
	readonly retriesMax: number;
	readonly retryBudget: { readonly percent: number; readonly concurrencyMin: number } | undefined;
	/** Show how much of each limit is left. */
	readonly tracksRemaining: boolean;
}

export interface OutlierDetection {
	readonly consecutive5xx: number;
	readonly enforcingConsecutive5xx: number;
	readonly consecutiveGatewayFailure: number;
	readonly enforcingConsecutiveGatewayFailure: number;
	readonly splitExternalLocalOrigin: boolean;
	readonly consecutiveLocalOriginFailure: number;
	readonly enforcingLocalOriginFailure: number;
	readonly intervalMs: number;
	readonly baseEjectionMs: number;
	readonly maxEjectionMs: number;
	readonly maxEjectionJitterMs: number;
	readonly maxEjectionPercent: number;
	readonly alwaysEjectOneHost: boolean;
	/** A good active check ends an ejection. */
	readonly unejectsOnGoodCheck: boolean;
	readonly successRate: RateDetection & { readonly stdevFactor: number };
	readonly failurePercentage: RateDetection & { readonly thresholdPercent: number };
}

/** What is looked at once an interval: hosts with enough requests, if they are enough. */
export interface RateDetection {
	readonly minimumHosts: number;
	readonly requestVolume: number;
	readonly enforcingPercent: number;
	readonly enforcingLocalOriginPercent: number;
}

export type LoadBalancer =
	| { readonly kind: "roundRobin"; readonly slowStart: SlowStart | undefined }
	| {
			readonly kind: "leastRequest";
			readonly choiceCount: number;
			readonly fullScan?: boolean;
			readonly activeRequestBias: number;
			readonly slowStart: SlowStart | undefined;
	  }
	| { readonly kind: "random" }
	/** Weft's own: least (moving average of the answer time × requests under way), of two; `requests` N gives the average α = 2 ÷ (N + 1). */
	| { readonly kind: "peakEwma"; readonly requests: number }
	| {
			readonly kind: "ringHash";
			readonly hash: "xxhash" | "murmur";
			readonly ringMin: number;
			readonly ringMax: number;
			readonly useHostname: boolean;
			readonly balanceFactor: number;
	  }
	| { readonly kind: "maglev"; readonly tableSize: number; readonly useHostname: boolean; readonly balanceFactor: number }
	| { readonly kind: "clusterProvided" };

/** `DnsCacheConfig`, every default filled in. */
export interface DynamicHosts {
	readonly family: "auto" | "v4" | "v6" | "v4Preferred" | "all";
	readonly refreshMs: number;
	readonly failureRefreshMs: number;
	readonly queryTimeoutMs: number;
	/** What nobody asked for during this long is forgotten. */
	readonly hostTtlMs: number;
	readonly hostsMax: number;
	/** Requests that may wait for a name at a time. */
	readonly pendingMax: number;
	/** `host:port`, resolved before anybody asks. */
	readonly preresolve: readonly string[];
}

/** Hosts in groups that have the same values of some metadata keys (`envoy.lb`), of which a route names one. */
export interface SubsetConfig {
	readonly fallback: "none" | "any" | "default";
	readonly defaultSubset: LbMetadata;
	readonly selectors: readonly SubsetSelector[];
	/** Localities keep their weights inside a subset; `scales`: as far as their hosts are in it. */
	readonly localityWeighted: boolean;
	readonly scalesLocalityWeight: boolean;
	/** When even the fallback has no host, any host will do. */
	readonly panicsToAny: boolean;
	/** A host whose value is a list is in the subset of each element. */
	readonly listAsAny: boolean;
	/** The route's metadata has a `fallback_list` of other values to try in turn. */
	readonly triesFallbackList: boolean;
	/** A route may have more keys than a selector: the one with most of them counts. */
	readonly allowsRedundantKeys?: boolean;
}

export interface SubsetSelector {
	/** Sorted. */
	readonly keys: readonly string[];
	readonly singleHost: boolean;
	/** undefined: the cluster's. */
	readonly fallback: "none" | "any" | "default" | "keys" | undefined;
	readonly fallbackKeys: readonly string[];
}

export type LbMetadata = Readonly<Record<string, unknown>>;

export interface SlowStart {
	readonly windowMs: number;
	readonly aggression: number;
	readonly minWeightPercent: number;
}

/** The hosts of one cluster. Sent apart from the cluster, since endpoints change far more often. */
export interface ClusterHosts {
	readonly cluster: string;
	readonly overprovisioningFactor: number | undefined;
	/** By priority; inside, by locality. */
	readonly priorities: readonly (readonly LocalityHosts[])[];
}

export interface LocalityHosts {
	readonly region: string;
	readonly zone: string;
	readonly subZone: string;
	readonly weight: number;
	readonly hosts: readonly Host[];
}

export interface Host {
	readonly address: SocketAddress;
	readonly hostname: string;
	readonly weight: number;
	readonly health: "healthy" | "degraded" | "unhealthy" | "draining";
	/** `health_check_config`: where and as whom the host is checked; undefined: as it is used. */
	readonly healthCheck: HostHealthCheck | undefined;
	/** metadata `envoy.transport_socket_match`. */
	readonly transportMatch: Readonly<Record<string, unknown>>;
	/** metadata `envoy.lb`. */
	readonly lbMetadata: Readonly<Record<string, unknown>>;
	/** metadata `istio.workload`: name;namespace;canonical name;canonical revision;cluster. */
	readonly istioWorkload: string | undefined;
	/** Slot of this host's shared state (ejected flag, consecutive failures). */
	readonly slot: number;
}

export interface HostHealthCheck {
	readonly isDisabled: boolean;
	/** 0: the host's own. */
	readonly port: number;
	readonly hostname: string;
	readonly address: SocketAddress | undefined;
}

// ---- the whole and its changes

/** Who this proxy is, for metrics, logs and XFCC. */
export interface NodeInfo {
	readonly id: string;
	readonly cluster: string;
	readonly metadata: Readonly<Record<string, unknown>>;
	readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
}

/** One atomic change: a worker compiles all of it, then swaps its snapshot by one assignment, then acknowledges `id`. */
export interface ConfigUpdate {
	readonly id: number;
	readonly listeners: Changes<Listener>;
	readonly clusters: Changes<Cluster>;
	readonly hosts: readonly ClusterHosts[];
	readonly routes: Changes<RouteTable>;
	/** Of tables that are in force and change in nothing else. */
	readonly virtualHosts: readonly VirtualHostChanges[];
	/** Configurations of filters that come by themselves. */
	readonly extensions: Changes<ExtensionConfig>;
	readonly secrets: Changes<Secret>;
}

export interface VirtualHostChanges extends Changes<VirtualHost> {
	readonly table: string;
}

export interface Changes<T> {
	readonly upsert: readonly T[];
	readonly remove: readonly string[];
}
