import type { RateLimitKey, RateLimitMatch, RateLimitSpec } from "../schema/rate-limit.ts";
import type { Report } from "./report.ts";
import { checkPolicyTarget } from "./rules-policy-target.ts";
import { quote } from "./suggestion.ts";

/** Each limit is a filter that every request passes. */
const limitsMax = 32;
const keysMax = 4;

export function checkRateLimit(report: Report, spec: RateLimitSpec): void {
	checkPolicyTarget(report, spec);
	if (spec.limits.length === 0) report.at("limits").error("there is no limit; write at least one, such as {requests: 100, unit: MINUTE}");
	if (spec.limits.length > limitsMax)
		report.at("limits").error(`there are ${spec.limits.length} limits, at most ${limitsMax} are allowed; split the policy by workload`);
	for (const [i, { requests, burst, match, per = [] }] of spec.limits.entries()) {
		const at = report.at("limits", i);
		if (requests === 0) at.at("requests").error("requests must be at least 1; to let nothing through, write an AuthorizationPolicy that denies");
		if (burst !== undefined && burst < requests)
			at.at("burst").error(`burst ${burst} is less than requests ${requests}: they could never be made use of; raise it, or leave it out`);
		if (match) checkMatch(at.at("match"), match);
		if (per.length > keysMax) at.at("per").error(`at most ${keysMax} keys are allowed`);
		for (const [j, key] of per.entries()) checkKey(at.at("per", j), key);
	}
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

function checkMatch(report: Report, { paths = [], methods = [], headers = [] }: RateLimitMatch): void {
	for (const [i, path] of paths.entries()) if (Object.keys(path).length === 0) report.at("paths", i).error("write one of exact, prefix and regex");
	for (const [i, method] of methods.entries()) if (!token.test(method)) report.at("methods", i).error(`${quote(method)} is no method`);
	for (const [i, { name }] of headers.entries()) if (!token.test(name)) report.at("headers", i, "name").error(`${quote(name)} is no header name`);
}

function checkKey(report: Report, { header, claim, clientAddress }: RateLimitKey): void {
	if (header !== undefined && !token.test(header)) report.at("header").error(`${quote(header)} is no header name`);
	if (claim === "") report.at("claim").error("the claim has no name");
	if (clientAddress === false) report.at("clientAddress").error("clientAddress false counts nothing apart; write true, or remove the entry");
	if (header === undefined && claim === undefined && clientAddress === undefined) report.error("write one of header, claim and clientAddress");
}
