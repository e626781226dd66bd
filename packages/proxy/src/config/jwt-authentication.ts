import type { StringMatch } from "./matchers.ts";
import type { Route } from "./routes.ts";

export interface JwtAuthentication {
	readonly providers: Readonly<Record<string, JwtProvider>>;
	readonly rules: readonly { readonly match: RequestMatch; readonly requirement: JwtRequirement | undefined }[];
	readonly requirements: Readonly<Record<string, JwtRequirement>>;
	readonly filterStateRules: { readonly key: string; readonly requirements: Readonly<Record<string, JwtRequirement>> } | undefined;
	readonly bypassCorsPreflight: boolean;
	readonly stripFailureResponse: boolean;
}

/** The part of a route's match that a filter's own rules have. */
export type RequestMatch = Pick<Route, "path" | "headers" | "query" | "dynamicMetadata" | "filterState" | "cookies" | "grpcOnly" | "runtimeFraction">;

export interface JwtProvider {
	/** "" : any. */
	readonly issuer: string;
	/** Empty: any. */
	readonly audiences: readonly string[];
	readonly subjects: StringMatch | undefined;
	readonly requireExpiration: boolean;
	/** 0: no limit. */
	readonly maxLifetimeMs: number;
	readonly jwks: { readonly kind: "local"; readonly json: string } | { readonly kind: "remote"; readonly source: RemoteJwks };
	readonly forward: boolean;
	readonly fromHeaders: readonly { readonly name: string; readonly valuePrefix: string }[];
	readonly fromParams: readonly string[];
	readonly fromCookies: readonly string[];
	readonly forwardPayloadHeader: string;
	readonly padForwardPayloadHeader: boolean;
	readonly payloadInMetadata: string;
	readonly headerInMetadata: string;
	readonly failedStatusInMetadata: string;
	readonly spaceDelimitedClaims: readonly string[];
	readonly clockSkewSeconds: number;
	/** Verified tokens to remember; 0: none. */
	readonly cacheSize: number;
	readonly claimToHeaders: readonly { readonly header: string; readonly claim: string }[];
	readonly clearRouteCache: boolean;
}

export interface RemoteJwks {
	readonly uri: string;
	readonly cluster: string;
	readonly timeoutMs: number;
	readonly cacheMs: number;
	/** Fetched before it is asked for, and again before it is too old. */
	readonly isAsync: boolean;
	readonly failedRefetchMs: number;
	readonly retries: number;
}

export type JwtRequirement =
	| { readonly kind: "provider"; readonly name: string; readonly audiences: readonly string[] | undefined }
	| { readonly kind: "any" | "all"; readonly requirements: readonly JwtRequirement[] }
	| { readonly kind: "allowMissing" }
	| { readonly kind: "allowMissingOrFailed" };
