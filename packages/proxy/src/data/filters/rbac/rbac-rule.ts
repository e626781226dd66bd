import type { RbacRule } from "../../../config/http-filters.ts";
import { parseUriTemplate } from "../../../config/uri-template.ts";
import { parseIpPort } from "../../lb/host-entry.ts";
import { filterStateOf } from "../../log/filter-state.ts";
import type { StreamInfo, TlsInfo } from "../../log/stream-info.ts";
import { type IpBytes, matchCidr, parseCidr, parseIp } from "../../match/cidr.ts";
import type { CompileContext } from "../../match/compile-context.ts";
import { compileHeaderMatch } from "../../match/header-match.ts";
import { compileMetadataMatch } from "../../match/metadata-match.ts";
import { compileStringMatch, type StringPredicate } from "../../match/string-match.ts";
import { guardOf, noHead, pathOf } from "./rule-guard.ts";
import { createRuleIndex } from "./rule-index.ts";

/** Of a request, or of a connection, which has no head. */
export type RbacPredicate = (info: StreamInfo) => boolean;

export function compileRbacRule(rule: RbacRule, context: CompileContext): RbacPredicate {
	switch (rule.kind) {
		case "any":
			return () => true;
		case "and":
			return allOf(rule.rules.map((inner) => compileRbacRule(inner, context)));
		case "or":
			return compileAnyOf(rule.rules, context);
		case "not": {
			const inner = compileRbacRule(rule.rule, context);
			return (info) => !inner(info);
		}
		case "header": {
			const test = compileHeaderMatch(rule.header, context);
			return ({ request }) => test(request ?? noHead);
		}
		case "urlPath":
			return onPath(compileStringMatch(rule.match, context));
		case "uriTemplate": {
			const parsed = parseUriTemplate(rule.template);
			return parsed.kind === "template" ? onPath(context.regex(parsed.regex).matches) : () => false;
		}
		case "destinationIp":
			return onAddress(rule.cidr, ({ connection }) => connection.localAddress);
		case "sourceIp":
		case "directRemoteIp":
			return onAddress(rule.cidr, ({ connection }) => connection.directRemoteAddress);
		case "remoteIp":
			return onAddress(rule.cidr, ({ connection }) => connection.remoteAddress);
		case "destinationPort":
			return ({ connection }) => {
				const port = portOf(connection.localAddress);
				return port >= rule.start && port < rule.end;
			};
		case "metadata": {
			const test = compileMetadataMatch(rule.match, context);
			return ({ dynamicMetadata }) => test(dynamicMetadata);
		}
		case "requestedServerName": {
			const test = compileStringMatch(rule.match, context);
			return ({ connection }) => test(connection.requestedServerName);
		}
		case "authenticated": {
			const test = rule.name && compileStringMatch(rule.name, context);
			return ({ connection }) => connection.tls !== undefined && (test === undefined || isPrincipal(connection.tls, test));
		}
		case "filterState": {
			const test = compileStringMatch(rule.match, context);
			return (info) => {
				const value = filterStateOf(info, rule.key);
				return value !== undefined && test(value);
			};
		}
	}
}

/** Whether one of the rules matches; of many, those alone are tried that the request's texts lead to. */
export function compileAnyOf(rules: readonly RbacRule[], context: CompileContext): RbacPredicate {
	const tests = rules.map((rule) => compileRbacRule(rule, context));
	const [only] = tests;
	if (tests.length === 1 && only !== undefined) return only;
	const index = createRuleIndex(rules.map((rule) => guardOf([[rule]])));
	if (index !== undefined) return (info) => index.first(info, (at) => tests[at]?.(info) === true) >= 0;
	return (info) => {
		for (const test of tests) if (test(info)) return true;
		return false;
	};
}

function allOf(tests: readonly RbacPredicate[]): RbacPredicate {
	const [only] = tests;
	if (tests.length === 1 && only !== undefined) return only;
	return (info) => {
		for (const test of tests) if (!test(info)) return false;
		return true;
	};
}

function onPath(test: StringPredicate): RbacPredicate {
	return (info) => {
		const path = pathOf(info);
		return path !== undefined && test(path);
	};
}

/** Names in the order in which Envoy tries them: URIs, DNS names, the subject. */
function isPrincipal(tls: TlsInfo, test: StringPredicate): boolean {
	for (const uri of tls.peerUriSans) if (test(uri)) return true;
	for (const name of tls.peerDnsSans) if (test(name)) return true;
	return test(tls.peerSubject);
}

function portOf(address: string): number {
	return Number(address.slice(address.lastIndexOf(":") + 1));
}

function onAddress(cidr: string, read: (info: StreamInfo) => string): RbacPredicate {
	const range = parseCidr(cidr);
	if (range === undefined) return () => false;
	return (info) => {
		const ip = ipOf(read(info));
		return ip !== undefined && matchCidr(range, ip);
	};
}

const knownIpsMax = 1024;
const knownIps = new Map<string, IpBytes | undefined>();

/** Clients come back: most addresses have been read before. */
function ipOf(address: string): IpBytes | undefined {
	const found = knownIps.get(address);
	if (found !== undefined) return found;
	const ip = parseIp(parseIpPort(address)?.address ?? address);
	if (knownIps.size >= knownIpsMax) knownIps.clear();
	knownIps.set(address, ip);
	return ip;
}
