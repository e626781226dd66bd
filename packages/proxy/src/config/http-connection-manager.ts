import type { AccessLog, AccessLogFilter, FileAccessLog } from "./access-logs.ts";
import type { HeaderMutation } from "./header-operations.ts";
import type { HttpFilter } from "./http-filters.ts";
import type { Http2Options } from "./http2-options.ts";
import type { ResourceReference } from "./resource-source.ts";
import type { ScopedRoutes } from "./route-scopes.ts";
import type { RouteTable } from "./routes.ts";
import type { Tracing } from "./telemetry.ts";

export interface HttpConnectionManager {
	readonly kind: "http";
	readonly statPrefix: string;
	readonly codec: "auto" | "http1" | "http2";
	readonly routes:
		| ({ readonly kind: "rds" } & ResourceReference)
		/** One with `vhds` is whole among the route tables, under its name. */
		| { readonly kind: "inline"; readonly table: RouteTable }
		| { readonly kind: "scoped"; readonly scoped: ScopedRoutes };
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
