import type { ConsistentHashLB, Destination, HTTPDirectResponse, HTTPRedirect, HTTPRetry, HTTPRoute, HTTPRouteDestination } from "@weft/api";
import { prefixMark } from "../../model/gateway-api/filters.ts";
import type { VirtualService } from "../../model/push.ts";
import { outboundClusterName, unknownCluster } from "./cluster-name.ts";
import { buildHashPolicy, type HashPolicyValue } from "./hash-policy.ts";
import { buildHeaderOperations, type HeaderFields, mergeHeaderFields } from "./header-operations.ts";
import { buildRetryPolicy } from "./retry-policy.ts";
import type { RouteMatchValue } from "./route-match.ts";
import { durationOf, perMillion, zeroDuration } from "./values.ts";

/** What a route's action is made of besides the HTTPRoute itself. */
export interface ActionInput {
	readonly listenPort: number;
	/** Of MeshConfig: for routes that name no retries. */
	readonly defaultRetry: HTTPRetry | undefined;
	/** The port of a service that has just one. Only a gateway asks: its own ports have nothing to do with those of services. */
	readonly solePort?: (host: string) => number | undefined;
	/** The host that an ExternalName Service stands for, where the client's table has the Service. */
	readonly aliasOf?: (host: string) => string | undefined;
	/** How requests to a destination are hashed, if they are. */
	readonly hashOf: (destination: Destination) => ConsistentHashLB | undefined;
	/** The listener terminates TLS: its clients speak https. */
	readonly tls?: boolean;
}

/** The same for one route. */
export interface ForwardInput extends ActionInput {
	readonly semantics: VirtualService["semantics"];
	readonly match: RouteMatchValue;
}

export interface ForwardResult {
	/** The RouteAction. */
	readonly route: object;
	/** Set where the route has exactly one destination. */
	readonly cluster: string | undefined;
	readonly headers: HeaderFields;
}

/** The RouteAction of an HTTPRoute with `route`. */
export function buildForward(http: HTTPRoute, input: ForwardInput): ForwardResult {
	const own = buildHeaderOperations(http.headers);
	const destinations = http.route ?? [];
	const target = buildTarget(destinations, input);
	// The route's own word on the authority comes before that of its destination.
	const authority = http.rewrite?.authority || own.authority || target.authority;
	const timeout = durationOf(http.timeout) ?? zeroDuration;
	const retryPolicy = buildRetryPolicy(http.retries ?? input.defaultRetry, target.hashed);
	const mirrors = buildMirrors(http, input);
	return {
		cluster: target.cluster,
		headers: mergeHeaderFields(own.fields, target.headers),
		route: {
			...target.action,
			...rewriteOf(http, input),
			...(input.semantics === "gateway" ? { clusterNotFoundResponseCode: internalServerError } : {}),
			...(authority ? { hostRewriteLiteral: authority } : {}),
			timeout,
			maxGrpcTimeout: timeout,
			...(retryPolicy ? { retryPolicy } : {}),
			...(mirrors.length > 0 ? { requestMirrorPolicies: mirrors } : {}),
		},
	};
}

interface Target {
	readonly action: object;
	readonly cluster: string | undefined;
	readonly hashed: boolean;
	readonly headers: HeaderFields;
	readonly authority: string | undefined;
}

function buildTarget(destinations: readonly HTTPRouteDestination[], input: ActionInput): Target {
	const [only] = destinations;
	if (destinations.length !== 1 || only === undefined) return buildWeighted(destinations, input);
	const hashPolicies = hashPoliciesOf([only], input);
	const { fields, authority } = buildHeaderOperations(only.headers);
	const cluster = destinationCluster(only.destination, input);
	return {
		action: { cluster, ...(hashPolicies.length > 0 ? { hashPolicy: hashPolicies } : {}) },
		cluster,
		hashed: hashPolicies.length > 0,
		headers: fields,
		authority,
	};
}

function buildWeighted(destinations: readonly HTTPRouteDestination[], input: ActionInput): Target {
	const weighted = destinations.filter(({ weight }) => (weight ?? 0) > 0);
	const hashPolicies = hashPoliciesOf(weighted, input);
	const clusters = weighted.map(({ destination, weight, headers }) => {
		const { fields, authority } = buildHeaderOperations(headers);
		return {
			name: destinationCluster(destination, input),
			weight: weight ?? 0,
			...fields,
			...(authority ? { hostRewriteLiteral: authority } : {}),
		};
	});
	return {
		action: { weightedClusters: { clusters }, ...(hashPolicies.length > 0 ? { hashPolicy: hashPolicies } : {}) },
		cluster: undefined,
		hashed: false,
		headers: {},
		authority: undefined,
	};
}

function hashPoliciesOf(destinations: readonly HTTPRouteDestination[], input: ActionInput): HashPolicyValue[] {
	return destinations.flatMap(({ destination }) => {
		const hash = input.hashOf(destination);
		const policy = hash === undefined ? undefined : buildHashPolicy(hash);
		return policy === undefined ? [] : [policy];
	});
}

/** A destination without a port means the port that the client dialled; at a gateway, a service's only port. */
function destinationCluster(destination: Destination, { listenPort, solePort, aliasOf }: ActionInput): string {
	if (destination.host === "") return unknownCluster;
	return outboundClusterName(
		destination.port?.number ?? solePort?.(destination.host) ?? listenPort,
		destination.subset ?? "",
		aliasOf?.(destination.host) ?? destination.host,
	);
}

/** RouteAction.ClusterNotFoundResponseCode: what the Gateway API wants for a backend that is not there. */
const internalServerError = 2;

function rewriteOf({ rewrite }: HTTPRoute, { semantics, match: routeMatch }: ForwardInput): object {
	if (rewrite === undefined) return {};
	const { uri, uriRegexRewrite } = rewrite;
	if (uriRegexRewrite?.match) {
		return { regexRewrite: { pattern: { regex: uriRegexRewrite.match }, substitution: uriRegexRewrite.rewrite ?? "" } };
	}
	if (uri === undefined || uri === "") return {};
	if (semantics === "gateway" && uri === "/") {
		// To replace a prefix by "/" as it stands would leave "//" where the path goes on.
		const prefix = (routeMatch.pathSeparatedPrefix ?? "").replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
		return { regexRewrite: { pattern: { regex: `^${prefix}(/?)(.*)` }, substitution: "/\\2" } };
	}
	// Of a path that was matched by regular expression, Envoy replaces all.
	return { prefixRewrite: uri };
}

type Share = ReturnType<typeof perMillion>;
const inHundred = (numerator: number): Share => ({ numerator, denominator: 0 });

const shareOf = (percent: number | undefined): Share => (percent === undefined ? inHundred(100) : perMillion(percent));

function shareOfMirror({ mirrorPercentage, mirrorPercent, mirror_percent: oldest }: HTTPRoute): Share {
	const whole = mirrorPercent ?? oldest;
	return mirrorPercentage !== undefined || whole === undefined ? shareOf(mirrorPercentage?.value) : inHundred(whole);
}

function buildMirrors(http: HTTPRoute, input: ActionInput): object[] {
	const single = http.mirror ? [{ destination: http.mirror, share: shareOfMirror(http) }] : [];
	const several = (http.mirrors ?? []).map(({ destination, percentage }) => ({ destination, share: shareOf(percentage?.value) }));
	return [...single, ...several]
		.filter(({ share }) => share.numerator > 0)
		.map(({ destination, share }) => ({
			cluster: destinationCluster(destination, input),
			runtimeFraction: { defaultValue: share },
			traceSampled: false,
			disableShadowHostSuffixAppend: true,
		}));
}

const redirectCodes = new Map([
	[301, 0],
	[302, 1],
	[303, 2],
	[307, 3],
	[308, 4],
]);

const defaultPorts: Readonly<Record<string, number>> = { http: 80, https: 443 };

/** RedirectAction; a redirect without `uri` is sent with an empty path, as istiod does (Envoy then keeps the path). */
export function buildRedirect(redirect: HTTPRedirect, { listenPort, semantics, tls }: Pick<ForwardInput, "listenPort" | "semantics" | "tls">): object {
	const { uri = "" } = redirect;
	const port = redirect.port ?? (redirect.derivePort === "FROM_REQUEST_PORT" ? listenPort : 0);
	const scheme = redirect.scheme || (tls ? "https" : "http");
	const replaced = semantics === "gateway" && uri.startsWith(prefixMark);
	return {
		hostRedirect: redirect.authority ?? "",
		...(replaced ? { prefixRewrite: uri.slice(prefixMark.length) } : { pathRedirect: uri }),
		...(redirect.scheme ? { schemeRedirect: redirect.scheme } : {}),
		// The scheme's own port goes without saying.
		portRedirect: port === defaultPorts[scheme] ? 0 : port,
		responseCode: redirectCodes.get(redirect.redirectCode ?? 301) ?? 0,
	};
}

/** DirectResponseAction. */
export function buildDirectResponse({ status, body }: HTTPDirectResponse): object {
	if (body?.string !== undefined) return { status, body: { inlineString: body.string } };
	if (body?.bytes !== undefined) return { status, body: { inlineBytes: Buffer.from(body.bytes, "base64") } };
	return { status };
}
