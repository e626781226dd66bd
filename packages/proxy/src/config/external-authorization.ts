import type { GrpcService } from "./grpc-service.ts";
import type { Fraction, MetadataMatch, StringMatch } from "./matchers.ts";
import type { RuntimeFlag } from "./runtime-values.ts";

export interface ExtAuthz {
	readonly service: ExtAuthzHttp | ExtAuthzGrpc;
	readonly failureModeAllow: boolean;
	readonly failureModeAllowHeaderAdd: boolean;
	readonly body: ExtAuthzBody | undefined;
	readonly clearRouteCache: boolean;
	readonly statusOnError: number;
	readonly enabled: Fraction;
	readonly enabledMetadata: MetadataMatch | undefined;
	readonly denyAtDisable: RuntimeFlag;
	readonly statPrefix: string;
	readonly allowedHeaders: readonly StringMatch[];
	readonly disallowedHeaders: readonly StringMatch[];
}

export interface ExtAuthzHttp {
	readonly kind: "http";
	readonly cluster: string;
	/** Of the server's URI. */
	readonly authority: string;
	readonly pathPrefix: string;
	readonly timeoutMs: number;
	readonly headersToAdd: readonly { readonly name: string; readonly value: string }[];
	readonly allowedUpstreamHeaders: readonly StringMatch[];
	readonly allowedUpstreamHeadersToAppend: readonly StringMatch[];
	/** Empty: all but the authority's. */
	readonly allowedClientHeaders: readonly StringMatch[];
	readonly allowedClientHeadersOnSuccess: readonly StringMatch[];
	readonly metadataFromHeaders: readonly StringMatch[];
}

export interface ExtAuthzGrpc {
	readonly kind: "grpc";
	readonly service: GrpcService;
	/** Of the request's dynamic metadata, what the service is told. */
	readonly metadataNamespaces: readonly string[];
	readonly sendsPeerCertificate: boolean;
	readonly sendsServerName: boolean;
	/** Header fields as they came, rather than a map with values joined. */
	readonly sendsRawHeaders: boolean;
}

export interface ExtAuthzBody {
	readonly bytesMax: number;
	readonly allowPartial: boolean;
	/** gRPC: as bytes, whatever they are; otherwise as text. */
	readonly asBytes: boolean;
}

export interface ExtAuthzSettings {
	/** gRPC: told to the service with every check. */
	readonly contextExtensions: Readonly<Record<string, string>>;
	readonly disableBody: boolean;
	readonly body: ExtAuthzBody | undefined;
}
