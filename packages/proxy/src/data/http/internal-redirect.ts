import type { InternalRedirectPolicy } from "../../config/internal-redirect.ts";
import type { RequestHead } from "../codec/request-head.ts";
import type { ResponseHead } from "../codec/response-head.ts";
import { httpStat } from "./http-stats.ts";
import { resolveRoute } from "./route-selection.ts";
import type { HttpStream } from "./stream.ts";

/** What redirects of one request have been followed. */
export interface RedirectHistory {
	count: number;
	/** Name of a route that asks for that → names of the routes that redirects from it have led to. */
	readonly targets: Map<string, Set<string>>;
}

interface Target {
	readonly scheme: string;
	readonly authority: string;
	readonly path: string;
}

/**
 * Makes the request one for what the answer redirects to. False: the redirect is not to be followed, which has been
 * counted, and the request and its route are what they were.
 */
export function takeRedirect(stream: HttpStream, policy: InternalRedirectPolicy, response: ResponseHead): boolean {
	const { request } = stream;
	const location = response.get("location");
	if (location === undefined) return false;
	const target = parseLocation(location);
	if (target === undefined) return refuse(stream, httpStat.passthrough_internal_redirect_bad_location);
	const isFromHttp = request.scheme === "http" || !stream.downstream.isTls;
	if (!policy.allowsCrossScheme && isFromHttp !== (target.scheme === "http")) return refuse(stream, httpStat.passthrough_internal_redirect_unsafe_scheme);
	const history = (stream.redirects ??= { count: 0, targets: new Map() });
	if (history.count >= policy.redirectsMax) return refuse(stream, httpStat.passthrough_internal_redirect_too_many_redirects);
	const { scheme, authority, path } = request;
	const restoreHeaders = copyHeaders(request, response, policy.copiedHeaders);
	const refusal = takeTarget(stream, policy, target, history, isFromHttp);
	if (refusal !== undefined) {
		aim(request, { scheme, authority, path });
		restoreHeaders();
		return refuse(stream, refusal);
	}
	history.count++;
	if (response.status === 303) dropContent(request);
	request.remove("x-envoy-expected-rq-timeout-ms");
	request.set("x-envoy-original-url", `${isFromHttp ? "http" : "https"}://${authority}${path}`);
	return true;
}

function refuse({ manager }: HttpStream, stat: number): false {
	manager.count(stat);
	return false;
}

/** Only what names its host can be followed; a fragment is for the client alone. */
function parseLocation(location: string): Target | undefined {
	const match = /^([a-z][a-z0-9+.-]*):\/\/(?:[^/?#@]*@)?([^/?#@]+)([^#]*)/i.exec(location);
	if (match === null) return undefined;
	const [, scheme = "", authority = "", path = ""] = match;
	return { scheme: scheme.toLowerCase(), authority, path: path === "" ? "/" : path };
}

function aim(request: RequestHead, { scheme, authority, path }: Target): void {
	request.scheme = scheme;
	request.authority = authority;
	request.path = path;
}

/** The target's route in place of the request's, or the statistic of why it is not. */
function takeTarget(stream: HttpStream, policy: InternalRedirectPolicy, target: Target, history: RedirectHistory, isFromHttp: boolean): number | undefined {
	const { route, choice, cluster, routing, request } = stream;
	aim(request, target);
	resolveRoute(stream);
	const isRouted = stream.routing === "found" || stream.routing === "needsTls";
	const from = route?.config.name ?? "";
	const to = stream.route?.config.name ?? "";
	if (isRouted && acceptsRoute(policy, history, { from, to, isSafe: !isFromHttp || target.scheme === "http" })) return undefined;
	Object.assign(stream, { route, choice, cluster, routing });
	return isRouted ? httpStat.passthrough_internal_redirect_predicate : httpStat.passthrough_internal_redirect_no_route;
}

interface Step {
	readonly from: string;
	readonly to: string;
	/** Not from http to https. */
	readonly isSafe: boolean;
}

function acceptsRoute({ predicates }: InternalRedirectPolicy, { targets }: RedirectHistory, { from, to, isSafe }: Step): boolean {
	return predicates.every((predicate) => {
		if (predicate.kind === "safeCrossScheme") return isSafe;
		if (predicate.kind === "allowListedRoutes") return predicate.names.includes(to);
		const before = targets.get(from) ?? new Set();
		if (before.has(to)) return false;
		targets.set(from, before.add(to));
		return true;
	});
}

/** Gives what undoes it. */
function copyHeaders(request: RequestHead, response: ResponseHead, names: readonly string[]): () => void {
	const before = names.map((name) => [name, request.get(name)] as const);
	for (const name of names) setOrRemove(request, name, response.get(name));
	return () => {
		for (const [name, value] of before) setOrRemove(request, name, value);
	};
}

function setOrRemove(request: RequestHead, name: string, value: string | undefined): void {
	if (value === undefined) request.remove(name);
	else request.set(name, value);
}

/** RFC 9110 §15.4.4: what is seen there is asked for with GET. */
function dropContent(request: RequestHead): void {
	if (request.method === "GET" || request.method === "HEAD") return;
	request.method = "GET";
	request.remove("content-length");
	request.contentLength = -1;
	request.isChunked = false;
}
