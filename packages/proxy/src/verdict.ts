import type { RBAC } from "@weft/xds/generated/envoy/extensions/filters/http/rbac/v3/rbac.ts";
import { decodeHttpRbac } from "./config/decode/filters/rbac.ts";
import { collect } from "./config/decode/issues.ts";
import { compileRbac } from "./data/filters/rbac/rbac-engine.ts";
import { createRequestView } from "./data/headers/headers-view.ts";
import { createConnectionInfo, createStreamInfo, mergeMetadata, type TlsInfo } from "./data/log/stream-info.ts";
import { createCompileContext } from "./data/match/compile-context.ts";
import { normalizePath, type PathNormalization } from "./data/match/path-normalization.ts";

// The data plane's own judgement of a request that nobody has sent: what `weft can-i` asks.

export type { PathNormalization } from "./data/match/path-normalization.ts";

/** A request as the proxy in front of its destination would see it. */
export interface ImaginedRequest {
	readonly method: string;
	/** With its query, as normalised. */
	readonly path: string;
	readonly authority: string;
	readonly headers: readonly (readonly [string, string])[];
	/** The peer's SPIFFE id; undefined: plain text. */
	readonly principal: string | undefined;
	readonly serverName: string;
	readonly sourceIp: string;
	readonly remoteIp: string;
	/** `ip:port` */
	readonly destination: string;
	/** Of a token that is valid; undefined without one. */
	readonly claims: Readonly<Record<string, unknown>> | undefined;
}

export interface ImaginedVerdict {
	readonly isAllowed: boolean;
	/** Key of the policy in the filter's configuration that decided; "" when none matched. */
	readonly policy: string;
}

export interface ImaginedVerdicts {
	/** undefined: this filter enforces nothing. */
	readonly enforced: ImaginedVerdict | undefined;
	readonly shadow: ImaginedVerdict | undefined;
}

const filterName = "envoy.filters.http.rbac";

/** What one RBAC filter says. Throws an Error that lists every part of its configuration that this proxy would refuse. */
export function judgeImagined(message: RBAC, request: ImaginedRequest): ImaginedVerdicts {
	const { value, errors } = collect("rbac", (at) => decodeHttpRbac(at, message));
	if (value === undefined) throw new Error(errors.join("; "));
	const engine = compileRbac(value, createCompileContext(), { filterName, counter: () => () => undefined });
	const info = streamInfoOf(request);
	const enforced = engine.judge(info);
	if (value.shadowRules === undefined) return { enforced, shadow: undefined };
	const said = info.dynamicMetadata?.[filterName] ?? {};
	const prefix = `${value.shadowRulesStatPrefix}shadow_`;
	const policy = said[`${prefix}effective_policy_id`];
	return { enforced, shadow: { isAllowed: said[`${prefix}engine_result`] === "allowed", policy: typeof policy === "string" ? policy : "" } };
}

/** The path that is judged and forwarded; undefined where the proxy answers the request itself. */
export function judgedPath(path: string, rules: PathNormalization): string | undefined {
	const normalized = normalizePath(path, rules);
	return normalized.kind === "ok" ? normalized.path : undefined;
}

function streamInfoOf(request: ImaginedRequest) {
	const { principal, sourceIp, remoteIp, destination, serverName, claims } = request;
	const tls = principal === undefined ? undefined : tlsOf(principal);
	const withPort = (ip: string) => (ip.includes(":") ? `[${ip}]:0` : `${ip}:0`);
	const info = createStreamInfo(
		createConnectionInfo({
			localAddress: destination,
			remoteAddress: withPort(remoteIp),
			directRemoteAddress: withPort(sourceIp),
			requestedServerName: serverName,
			tls,
		}),
	);
	const head = createRequestView({ method: request.method, path: request.path, authority: request.authority });
	for (const [name, value] of request.headers) head.append(name.toLowerCase(), value);
	info.request = head;
	if (claims !== undefined) mergeMetadata(info, "envoy.filters.http.jwt_authn", { payload: claims });
	return info;
}

function tlsOf(principal: string): TlsInfo {
	return {
		version: "TLSv1.3",
		cipher: "",
		sessionId: "",
		peerUriSans: [principal],
		peerDnsSans: [],
		peerIpSans: [],
		peerEmailSans: [],
		peerSubject: "",
		peerIssuer: "",
		peerSerial: "",
		peerFingerprint256: "",
		peerFingerprint1: "",
		peerCertificatePem: "",
		peerValidFromMs: Number.NaN,
		peerValidToMs: Number.NaN,
		localUriSans: [],
		localDnsSans: [],
		localIpSans: [],
		localEmailSans: [],
		localSubject: "",
	};
}
