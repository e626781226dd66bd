/** Where lines and entries of access logs go, and for which streams. */

import type { GrpcService } from "./grpc-service.ts";
import type { Fraction, HeaderMatch, MetadataMatch } from "./matchers.ts";
import type { CustomTag, TelemetryService } from "./telemetry.ts";

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
	| { readonly kind: "status" | "duration"; readonly op: "eq" | "ge" | "le" | "ne"; readonly value: number; readonly runtimeKey?: string }
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
