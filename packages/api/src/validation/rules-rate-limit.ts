import type { GlobalRateLimit, RateLimitEntrySpec, RateLimitKey, RateLimitMatch, RateLimitSpec } from "../schema/rate-limit.ts";
import type { Report } from "./report.ts";
import { checkPolicyTarget } from "./rules-policy-target.ts";
import { checkDuration, checkPort } from "./rules-common.ts";
import { quote } from "./suggestion.ts";

/** Each limit is a filter that every request passes. */
const limitsMax = 32;
const keysMax = 4;

export function checkRateLimit(report: Report, spec: RateLimitSpec): void {
	checkPolicyTarget(report, spec);
	const { limits = [], global } = spec;
	if (limits.length === 0 && global === undefined)
		report.at("limits").error("there is no limit; write at least one, such as {requests: 100, unit: MINUTE}, or global with a rate limit service");
	if (limits.length > limitsMax) report.at("limits").error(`there are ${limits.length} limits, at most ${limitsMax} are allowed; split the policy by workload`);
	if (global !== undefined) checkGlobal(report.at("global"), global);
	for (const [i, { requests, burst, match, per = [] }] of limits.entries()) {
		const at = report.at("limits", i);
		if (requests === 0) at.at("requests").error("requests must be at least 1; to let nothing through, write an AuthorizationPolicy that denies");
		if (burst !== undefined && burst < requests)
			at.at("burst").error(`burst ${burst} is less than requests ${requests}: they could never be made use of; raise it, or leave it out`);
		if (match) checkMatch(at.at("match"), match);
		if (per.length > keysMax) at.at("per").error(`at most ${keysMax} keys are allowed`);
		for (const [j, key] of per.entries()) checkKey(at.at("per", j), key);
	}
}

const descriptorsMax = 32;
const entriesMax = 8;

function checkGlobal(report: Report, { host, port, domain, descriptors, timeout }: GlobalRateLimit): void {
	if (host === "") report.at("host").error("the rate limit service has no name; write its host, such as rate-limit.default.svc.cluster.local");
	if (host.includes("*")) report.at("host").error(`${quote(host)}: a wildcard is no service`);
	checkPort(report.at("port"), port);
	if (domain === "") report.at("domain").error("the domain has no name; write the one under which the service keeps its limits");
	checkDuration(report.at("timeout"), timeout);
	if (descriptors.length === 0) report.at("descriptors").error("there is nothing to ask the service about; write at least one descriptor");
	if (descriptors.length > descriptorsMax) report.at("descriptors").error(`there are ${descriptors.length} descriptors, at most ${descriptorsMax} are allowed`);
	for (const [i, { entries }] of descriptors.entries()) {
		const at = report.at("descriptors", i).at("entries");
		if (entries.length === 0 || entries.length > entriesMax) at.error(`a descriptor has 1 to ${entriesMax} entries`);
		for (const [j, entry] of entries.entries()) checkEntry(at.at(j), entry);
	}
}

function checkEntry(report: Report, { key, value, match, ...from }: RateLimitEntrySpec): void {
	const { header, claim, clientAddress } = from;
	if (value === undefined) checkKey(report, from);
	else if (value === "") report.at("value").error("the value is empty; write what the service knows it by");
	if (clientAddress === true && key !== undefined && key !== "remote_address")
		report.at("key").error("the key of clientAddress is remote_address; leave it out");
	if (key === "" || (key === undefined && (header !== undefined || claim !== undefined || value !== undefined)))
		report.at("key").error("the entry has no key; write what the service knows it by");
	if (match === undefined) return;
	if (value === undefined) report.at("match").error("match goes with value: an entry for those requests that match");
	checkMatch(report.at("match"), match);
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
