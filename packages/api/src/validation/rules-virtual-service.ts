import { diagnosticCodes } from "../diagnostic.ts";
import type { HTTPMatchRequest, HTTPRoute, L4MatchAttributes, RouteDestination, VirtualServiceSpec } from "../schema/virtual-service.ts";
import { fqdnProblem, hostsOverlap, isDnsLabel, isIpAddress, wildcardDomainProblem } from "./names.ts";
import type { Report } from "./report.ts";
import {
	checkDestination,
	checkDuration,
	checkExportTo,
	checkHeaderName,
	checkHeaders,
	isAuthorityHeader,
	checkLabels,
	checkPercent,
	checkPercentNumber,
	checkPort,
	checkRetries,
	checkStringMatch,
	checkSubnets,
} from "./rules-common.ts";
import { checkCors, checkDirectResponse, checkFault, checkRedirect, checkRewrite } from "./rules-http-route.ts";
import { checkReachability } from "./rules-reachability.ts";
import { quote } from "./suggestion.ts";

// https://istio.io/latest/docs/reference/config/networking/virtual-service/

export function checkVirtualService(report: Report, spec: VirtualServiceSpec, namespace: string): void {
	const hosts = spec.hosts ?? [];
	const isDelegate = hosts.length === 0;
	const gateways = spec.gateways ?? [];
	if (isDelegate) checkDelegateShape(report, spec);
	else checkHosts(report.at("hosts"), hosts, gateways.length === 0 || gateways.includes("mesh"));
	checkGatewayNames(report.at("gateways"), gateways);
	if (!spec.http?.length && !spec.tls?.length && !spec.tcp?.length) {
		report.error("http, tcp or tls must be provided in virtual service; add a route");
	}
	for (const [i, route] of (spec.http ?? []).entries()) checkHttpRoute(report.at("http", i), route, isDelegate);
	if (gateways.length === 0 || gateways.includes("mesh")) checkNoClaims(report, spec);
	for (const [i, route] of (spec.tls ?? []).entries()) {
		const at = report.at("tls", i);
		if (route.match.length === 0) at.at("match").error("a TLS route needs at least one match");
		for (const [j, match] of route.match.entries()) {
			checkL4Match(at.at("match", j), match);
			checkSniHosts(at.at("match", j, "sniHosts"), match.sniHosts, hosts);
		}
		checkWeighted(at, route.route ?? []);
	}
	for (const [i, route] of (spec.tcp ?? []).entries()) {
		for (const [j, match] of (route.match ?? []).entries()) checkL4Match(report.at("tcp", i, "match", j), match);
		checkWeighted(report.at("tcp", i), route.route ?? []);
	}
	checkExportTo(report.at("exportTo"), spec.exportTo, { namespace });
	checkReachability(report, spec);
}

/** Sidecars choose the route before the server has read the token. */
function checkNoClaims(report: Report, spec: VirtualServiceSpec): void {
	for (const [i, { match }] of (spec.http ?? []).entries()) {
		for (const [j, attributes] of (match ?? []).entries()) {
			for (const field of ["headers", "withoutHeaders"] as const) {
				const key = Object.keys(attributes[field] ?? {}).find((name) => name.toLowerCase().startsWith("@request.auth.claims"));
				if (key === undefined) continue;
				const message = `JWT claim based routing (key: ${key}) is only supported for gateways; bind the virtual service to gateways alone`;
				report.at("http", i, "match", j, field, key).error(message);
			}
		}
	}
}

function checkDelegateShape(report: Report, spec: VirtualServiceSpec): void {
	if (!spec.http?.length || spec.gateways?.length || spec.tcp?.length || spec.tls?.length) {
		report.at("hosts").error("a virtual service needs at least one host; only a delegate (http routes alone, no gateways) has none");
	}
}

function checkHosts(report: Report, hosts: readonly string[], appliesToMesh: boolean): void {
	let valid = true;
	for (const [i, host] of hosts.entries()) {
		const problem = isIpAddress(host) ? undefined : wildcardDomainProblem(host);
		if (problem) {
			valid = false;
			report.at(i).error(problem);
		} else if (appliesToMesh && host === "*") {
			report.at(i).error(`"*" is not allowed for the mesh gateway; name a host, or bind the virtual service to a gateway`);
		}
	}
	if (!valid) return;
	for (const [i, host] of hosts.entries()) {
		const other = hosts.slice(0, i).find((earlier) => hostsOverlap(earlier, host));
		if (other !== undefined) report.at(i).error(`duplicate hosts in virtual service: ${quote(other)} already covers ${quote(host)}; remove one`);
	}
}

/** `mesh`, `name` (or with dots, as it was written once), or `namespace/name`. */
export function checkGatewayNames(report: Report, names: readonly string[] | undefined): void {
	for (const [i, name] of (names ?? []).entries()) {
		const parts = name.split("/");
		const isFit = parts.length === 1 ? fqdnProblem(name) === undefined : parts.length === 2 && parts.every((part) => isDnsLabel(part));
		if (!isFit) {
			report.at(i).error(`${quote(name)} is no gateway; write a gateway's name, namespace/name, or mesh`);
		} else if (parts.length === 1 && name.includes(".")) {
			const [gateway, namespace] = name.split(".");
			report.at(i).warn(`using legacy gatewayName format ${quote(name)}; prefer the <namespace>/<name> format: "${namespace}/${gateway}"`);
		}
	}
}

function checkHttpRoute(report: Report, route: HTTPRoute, inDelegate: boolean): void {
	checkActions(report, route, inDelegate);
	for (const [i, match] of (route.match ?? []).entries()) checkHttpMatch(report.at("match", i), match);
	checkHeaders(report.at("headers"), route.headers);
	checkAuthorityOnce(report, route);
	if (route.route) checkWeighted(report, route.route);
	for (const [i, weighted] of (route.route ?? []).entries()) checkHeaders(report.at("route", i, "headers"), weighted.headers);
	if (route.redirect) checkRedirect(report.at("redirect"), route.redirect);
	if (route.directResponse) checkDirectResponse(report.at("directResponse"), route.directResponse);
	if (route.rewrite) checkRewrite(report.at("rewrite"), route.rewrite);
	if (route.fault) checkFault(report.at("fault"), route.fault);
	if (route.corsPolicy) checkCors(report.at("corsPolicy"), route.corsPolicy);
	checkDuration(report.at("timeout"), route.timeout);
	checkRetries(report.at("retries"), route.retries);
	checkMirrors(report, route);
}

/** The authority is rewritten in one place: `rewrite.authority`, or one header operation. */
function checkAuthorityOnce(report: Report, { rewrite, headers }: HTTPRoute): void {
	const names = [...Object.keys(headers?.request?.set ?? {}), ...Object.keys(headers?.request?.add ?? {})];
	const count = names.filter((name) => isAuthorityHeader(name)).length + (rewrite?.authority ? 1 : 0);
	if (count > 1) report.error("the authority is set more than once (rewrite.authority, or the header host or :authority); keep one");
}

function checkActions(report: Report, route: HTTPRoute, inDelegate: boolean): void {
	const set = (["route", "redirect", "directResponse", "delegate"] as const).filter((name) => {
		const value = route[name];
		return Array.isArray(value) ? value.length > 0 : value !== undefined;
	});
	if (set.length > 1) report.error(`an HTTP route has one action, here are ${set.join(" and ")}; keep one`);
	if (set.length === 0) report.error("HTTP route, redirect or directResponse is required; add one");
	if (inDelegate && route.delegate) report.at("delegate").error("a delegate must not delegate further; write the route here");
	for (const action of ["redirect", "directResponse"] as const) {
		if (route[action] === undefined) continue;
		for (const other of ["fault", "rewrite"] as const) {
			if (route[other] !== undefined) report.at(other).error(`an HTTP route cannot have both ${other} and ${action}; remove one`);
		}
	}
}

function checkHttpMatch(report: Report, match: HTTPMatchRequest): void {
	// The empty prefix of a path is Envoy's way to match any.
	if (match.uri?.prefix !== "") checkStringMatch(report.at("uri"), match.uri);
	for (const field of ["scheme", "method", "authority"] as const) checkStringMatch(report.at(field), match[field]);
	for (const field of ["headers", "withoutHeaders"] as const) {
		for (const [name, value] of Object.entries(match[field] ?? {})) {
			// "@request.auth.claims[x]" is a claim of the request's token, not a header.
			if (!name.startsWith("@request.auth.claims")) checkHeaderName(report.at(field, name), name);
			checkStringMatch(report.at(field, name), value);
		}
	}
	for (const [name, value] of Object.entries(match.queryParams ?? {})) checkStringMatch(report.at("queryParams", name), value);
	if (match.port !== undefined && match.port !== 0) checkPort(report.at("port"), match.port);
	checkLabels(report.at("sourceLabels"), match.sourceLabels);
	checkGatewayNames(report.at("gateways"), match.gateways);
	if (match.sourceNamespace && !isDnsLabel(match.sourceNamespace)) report.at("sourceNamespace").error(`${quote(match.sourceNamespace)} is no namespace`);
}

function checkL4Match(report: Report, match: Omit<L4MatchAttributes, "sourceSubnet"> & { readonly sourceSubnet?: string | undefined }): void {
	checkSubnets(report.at("destinationSubnets"), match.destinationSubnets);
	if (match.sourceSubnet) report.at("sourceSubnet").warn("sourceSubnet has no effect (nor in Istio): connections from anywhere match; remove it");
	if (match.port !== undefined && match.port !== 0) checkPort(report.at("port"), match.port);
	checkLabels(report.at("sourceLabels"), match.sourceLabels);
	checkGatewayNames(report.at("gateways"), match.gateways);
}

function checkSniHosts(report: Report, sniHosts: readonly string[], hosts: readonly string[]): void {
	if (sniHosts.length === 0) report.error("a TLS match needs at least one SNI host");
	for (const [i, sni] of sniHosts.entries()) {
		if (isIpAddress(sni)) {
			report.at(i).warn(`${quote(sni)} is an IP address, which goes against SNI's specification: most clients send none`);
			continue;
		}
		const problem = wildcardDomainProblem(sni);
		if (problem) report.at(i).error(problem);
		else if (!hosts.some((host) => covers(host, sni))) {
			report.at(i).error(`the SNI host ${quote(sni)} is not a compatible subset of any of the virtual service's hosts; add it to hosts`);
		}
	}
}

const covers = (host: string, sni: string) => host === sni || (host.startsWith("*") && sni.replace(/^\*/, "").endsWith(host.slice(1)));

function checkWeighted(report: Report, routes: readonly RouteDestination[]): void {
	if (routes.length === 0) report.at("route").error("a route needs at least one destination");
	let sum = 0;
	for (const [i, { destination, weight = 0 }] of routes.entries()) {
		checkDestination(report.at("route", i, "destination"), destination);
		if (weight < 0) report.at("route", i, "weight").error(`${weight} must not be negative`);
		sum += weight;
	}
	if (routes.length < 2) return;
	if (sum === 0) report.at("route").error("the total weight of the destinations is 0; give them weights");
	else if (sum !== 100) report.at("route").warn(`the weights sum to ${sum}, not 100; each destination gets its share of ${sum}`, diagnosticCodes.weightSum);
}

function checkMirrors(report: Report, route: HTTPRoute): void {
	if (route.mirror && route.mirrors?.length) report.at("mirrors").error("a route cannot have both mirror and mirrors; move the mirror into mirrors");
	if (route.mirror) checkDestination(report.at("mirror"), route.mirror);
	checkPercent(report.at("mirrorPercentage"), route.mirrorPercentage);
	checkPercentNumber(report.at("mirrorPercent"), route.mirrorPercent);
	checkPercentNumber(report.at("mirror_percent"), route.mirror_percent);
	for (const [i, mirror] of (route.mirrors ?? []).entries()) {
		checkDestination(report.at("mirrors", i, "destination"), mirror.destination);
		checkPercent(report.at("mirrors", i, "percentage"), mirror.percentage);
	}
}
