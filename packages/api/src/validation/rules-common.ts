import { parseDurationMs } from "../duration.ts";
import type { Destination, Headers, HTTPRetry, Percent, StringMatch } from "../schema/common.ts";
import { isDnsLabel, isHttpHeaderName, isPort, isSubnet, labelProblem, wildcardDomainProblem } from "./names.ts";
import type { Report } from "./report.ts";
import { quote } from "./suggestion.ts";

// Rules that several kinds share. They restate Istio's own (pkg/config/validation); each message says how to mend it.

export type Labels = Readonly<Record<string, string>>;

export function checkPort(report: Report, port: number | undefined): void {
	if (port !== undefined && !isPort(port)) report.error(`${port} is no valid port; write one from 1 to 65535`);
}

/** Istio's durations have a millisecond as their smallest step. */
export function checkDuration(report: Report, text: string | undefined, minimumMs = 1): void {
	if (text === undefined) return;
	const ms = parseDurationMs(text);
	if (ms === undefined) return;
	if (ms < minimumMs)
		report.error(`${quote(text)} is too short: it must be at least ${minimumMs}ms${ms === 0 ? "; leave the field out to have no limit" : ""}`);
	else if (!Number.isInteger(ms)) report.error(`${quote(text)} is finer than a millisecond; round it`);
}

/** Where Istio hands a duration on as it is, it may be as fine as it likes, and 0. */
export function checkFineDuration(report: Report, text: string | undefined): void {
	if (text !== undefined && (parseDurationMs(text) ?? 0) < 0) report.error(`${quote(text)} must not be negative`);
}

export function checkNonNegative(report: Report, value: number | undefined): void {
	if (value !== undefined && value < 0) report.error(`${value} must not be negative`);
}

export function checkPercent(report: Report, percent: Percent | undefined): void {
	const value = percent?.value;
	if (value !== undefined && (value < 0 || value > 100)) report.at("value").error(`${value} must be from 0 to 100`);
}

export function checkPercentNumber(report: Report, value: number | undefined): void {
	if (value !== undefined && (value < 0 || value > 100)) report.error(`${value} must be from 0 to 100`);
}

export function checkLabels(report: Report, labels: Labels | undefined): void {
	for (const [key, value] of Object.entries(labels ?? {})) {
		const problem = labelProblem(key, value);
		if (problem) report.at(key).error(problem);
	}
}

/** The name of a port, where it may have one. */
export function checkPortName(report: Report, name: string | undefined): void {
	if (name && !isDnsLabel(name)) report.error(`${quote(name)} is no valid port name; use letters, digits and "-"`);
}

/** A selector without labels picks everything in the namespace, which is seldom meant. */
export function checkSelectorSet(report: Report, selector: object | undefined, labels: Labels | undefined): void {
	if (selector && Object.keys(labels ?? {}).length === 0) report.warn("workload selector specified without labels: it picks every workload of the namespace");
}

export function checkSelectorLabels(report: Report, labels: Labels | undefined): void {
	for (const [key, value] of Object.entries(labels ?? {})) {
		if (key === "") report.at(key).error("a selector's key must not be empty");
		else if (key.includes("*") || value.includes("*")) report.at(key).error("wildcards are not supported in selectors; write the label out");
		else warnOfNoLabel(report.at(key), key, value);
	}
}

/** What no workload can be labelled with selects none, which Istio lets pass. */
export function warnOfNoLabel(report: Report, key: string, value: string): void {
	const problem = labelProblem(key, value);
	if (problem) report.warn(`${problem}, so no workload is selected`);
}

export function checkSubnets(report: Report, subnets: readonly string[] | undefined): void {
	for (const [i, subnet] of (subnets ?? []).entries()) {
		if (!isSubnet(subnet)) report.at(i).error(`${quote(subnet)} is no IP address or CIDR, like 10.1.0.0/16`);
	}
}

export function checkSubsetName(report: Report, name: string): void {
	if (name === "") report.error("the subset's name is empty");
	else if (!isDnsLabel(name)) report.error(`${quote(name)} is no valid subset name; use letters, digits and "-", at most 63`);
}

export function checkDestination(report: Report, destination: Destination): void {
	if (destination.host === "*") report.at("host").error(`"*" is no destination; name one service`);
	else {
		const problem = wildcardDomainProblem(destination.host);
		if (problem) report.at("host").error(problem);
	}
	if (destination.subset) checkSubsetName(report.at("subset"), destination.subset);
	if (destination.port) {
		if (destination.port.number === undefined) report.at("port").error("the port needs a number");
		checkPort(report.at("port", "number"), destination.port.number);
	}
}

export function checkStringMatch(report: Report, match: StringMatch | undefined): void {
	if (match?.prefix === "") report.at("prefix").error("the prefix is empty; leave the match out to match anything");
	if (match?.regex === "") report.at("regex").error("the regex is empty; leave the match out to match anything");
}

export function checkHeaderName(report: Report, name: string): void {
	if (name === "") report.error("the header's name is empty");
	else if (!isHttpHeaderName(name)) report.error(`${quote(name)} is no valid HTTP header name`);
}

export const isAuthorityHeader = (name: string): boolean => /^(?::authority|host)$/i.test(name);

/** Pseudo-headers and `host` are Envoy's own; only a request's authority may be set or added, as a rewrite. */
function checkOperationName(report: Report, name: string, mayBeAuthority: boolean): void {
	checkHeaderName(report, name);
	const isInternal = name.startsWith(":") || name.toLowerCase() === "host";
	if (isInternal && !(mayBeAuthority && isAuthorityHeader(name))) report.error(`${quote(name)} cannot be changed by a header operation`);
}

/** Envoy refuses a whole route table for one value that it cannot read: `%%`, `%NAME%`, `%NAME(ARGUMENTS)%` and `%NAME(ARGUMENTS):LENGTH%`. */
function checkHeaderValue(report: Report, value: string): void {
	if (!/^(?:[^%]|%%|%[^%()]+(?:\(.*?\))?(?::\d+)?%)*$/s.test(value)) {
		report.error(`${quote(value)} has a % that neither begins nor ends a variable; write %% for the character itself`);
	}
}

export function checkHeaders(report: Report, headers: Headers | undefined): void {
	for (const side of ["request", "response"] as const) {
		const operations = headers?.[side];
		for (const verb of ["set", "add"] as const) {
			for (const [name, value] of Object.entries(operations?.[verb] ?? {})) {
				checkOperationName(report.at(side, verb, name), name, side === "request");
				checkHeaderValue(report.at(side, verb, name), value);
			}
		}
		for (const [i, name] of (operations?.remove ?? []).entries()) checkOperationName(report.at(side, "remove", i), name, false);
	}
}

/** https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter#x-envoy-retry-on and x-envoy-retry-grpc-on */
const retryConditions: ReadonlySet<string> = new Set([
	"5xx",
	"gateway-error",
	"reset",
	"reset-before-request",
	"connect-failure",
	"envoy-ratelimited",
	"retriable-4xx",
	"refused-stream",
	"retriable-status-codes",
	"retriable-headers",
	"http3-post-connect-failure",
	"cancelled",
	"deadline-exceeded",
	"internal",
	"resource-exhausted",
	"unavailable",
]);

export function checkRetries(report: Report, retries: HTTPRetry | undefined): void {
	if (!retries) return;
	const attempts = retries.attempts ?? 0;
	if (attempts < 0) report.at("attempts").error(`${attempts} must not be negative; 0 switches retries off`);
	if (attempts === 0 && (retries.perTryTimeout !== undefined || retries.retryOn || retries.retryRemoteLocalities !== undefined)) {
		report.error("retries are configured, but attempts is 0, which switches them off; set attempts, or remove the rest");
	}
	checkDuration(report.at("perTryTimeout"), retries.perTryTimeout);
	checkDuration(report.at("backoff"), retries.backoff);
	for (const token of retries.retryOn ? retries.retryOn.split(",") : []) {
		if (!isRegisteredStatus(token) && !retryConditions.has(token)) {
			report.at("retryOn").error(`${quote(token)} is no known retry condition; write one of ${[...retryConditions].join(", ")}, or a status code`);
		}
	}
}

/** The codes that Go's net/http has a text for, as Istio knows them: one that nobody has registered is a slip. */
const statusRanges: readonly (readonly [first: number, last: number])[] = [
	[100, 103],
	[200, 208],
	[226, 226],
	[300, 305],
	[307, 308],
	[400, 418],
	[421, 426],
	[428, 429],
	[431, 431],
	[451, 451],
	[500, 508],
	[510, 511],
];

const isRegisteredStatus = (text: string): boolean => /^\d+$/.test(text) && statusRanges.some(([first, last]) => Number(text) >= first && Number(text) <= last);

export interface ExportToOptions {
	readonly namespace: string;
	/** Only a ServiceEntry may be exported to nobody (`~`). */
	readonly isServiceEntry?: boolean;
	readonly hasWorkloadSelector?: boolean;
}

export function checkExportTo(report: Report, exportTo: readonly string[] | undefined, options: ExportToOptions): void {
	if (!exportTo || exportTo.length === 0) return;
	const seen = new Set<string>();
	for (const [i, entry] of exportTo.entries()) {
		const key = entry === "." ? options.namespace : entry;
		if (seen.has(key)) report.at(i).error(`${quote(entry)} stands in exportTo twice ("." is the own namespace); remove one`);
		seen.add(key);
		const special = entry === "." || entry === "*" || (entry === "~" && options.isServiceEntry === true);
		if (!special && !isDnsLabel(entry)) report.at(i).error(`${quote(entry)} is no namespace; write ".", "*" or a namespace's name`);
	}
	if (exportTo.length > 1 && seen.has("*")) report.error(`"*" already exports to all namespaces; remove the others, or the "*"`);
	if (exportTo.length > 1 && seen.has("~")) report.error(`"~" exports to nobody; remove it, or the others`);
	if (options.hasWorkloadSelector && (exportTo.length > 1 || !seen.has(options.namespace))) {
		report.error(`a rule with a workloadSelector holds in its own namespace only; write exportTo: ["."]`);
	}
}
