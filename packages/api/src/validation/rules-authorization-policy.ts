import type {
	AuthorizationCondition,
	AuthorizationOperation,
	AuthorizationPolicySpec,
	AuthorizationRule,
	AuthorizationSource,
} from "../schema/authorization-policy.ts";
import { isSubnet } from "./names.ts";
import type { Report } from "./report.ts";
import { checkPolicyTarget } from "./rules-policy-target.ts";
import { quote } from "./suggestion.ts";

// https://istio.io/latest/docs/reference/config/security/authorization-policy/

export function checkAuthorizationPolicy(report: Report, spec: AuthorizationPolicySpec): void {
	const { action = "ALLOW", rules } = spec;
	checkPolicyTarget(report, spec);
	if (!rules?.length && (action === "CUSTOM" || action === "DENY")) {
		report.at("rules").error(`${action} action without rules is meaningless, as it will never be triggered; add an empty rule {} to have it for every request`);
	}
	if (action === "CUSTOM") {
		if (rules?.length && !spec.provider?.name) report.at("provider", "name").error("provider.name must not be empty for the action CUSTOM");
	} else if (spec.provider) report.at("provider").error(`provider must not be set for the action ${action}, only for CUSTOM; remove it`);
	for (const [i, rule] of (rules ?? []).entries()) {
		const at = report.at("rules", i);
		checkRule(at, rule);
		if (action === "CUSTOM") checkCustomRule(at, rule);
		if (action === "DENY") warnOfTcp(at, rule);
	}
}

const dryRun = "istio.io/dry-run";

export function checkAuthorizationPolicyAnnotations(report: Report, annotations: Readonly<Record<string, string>>, action = "ALLOW"): void {
	const text = annotations[dryRun];
	if (text === undefined) return;
	if (!/^(?:1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/.test(text)) report.at(dryRun).error(`${quote(text)} is neither "true" nor "false"`);
	if (action !== "ALLOW" && action !== "DENY") report.at(dryRun).error(`only ALLOW and DENY can be tried without effect, not ${action}; remove the annotation`);
}

function checkRule(report: Report, { from, to, when }: AuthorizationRule): void {
	for (const [i, { source }] of (from ?? []).entries()) {
		const at = report.at("from", i, "source");
		if (source === undefined || isEmpty(source)) at.error("from.source must not be empty; remove from to match every source");
		else checkSource(at, source);
	}
	for (const [i, { operation }] of (to ?? []).entries()) {
		const at = report.at("to", i, "operation");
		if (operation === undefined || isEmpty(operation)) at.error("to.operation must not be empty; remove to to match every operation");
		else checkOperation(at, operation);
	}
	for (const [i, condition] of (when ?? []).entries()) checkCondition(report.at("when", i), condition);
}

type Lists = Readonly<Record<string, readonly string[] | undefined>>;

const isEmpty = (lists: Lists): boolean => Object.values(lists).every((list) => !list || list.length === 0);

function checkTexts(report: Report, lists: Lists): void {
	for (const [field, list] of Object.entries(lists)) {
		for (const [i, text] of (list ?? []).entries()) if (text === "") report.at(field, i).error("empty values are not allowed; remove it");
	}
}

function checkSource(report: Report, source: AuthorizationSource): void {
	checkTexts(report, source);
	for (const field of ["ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks"] as const) checkAddresses(report.at(field), source[field]);
	for (const field of ["trustDomains", "notTrustDomains"] as const) {
		for (const [i, name] of (source[field] ?? []).entries()) {
			if (name.includes("/")) report.at(field, i).error(`${quote(name)} is no trust domain: it must not contain "/"`);
		}
	}
	for (const field of ["serviceAccounts", "notServiceAccounts"] as const) {
		for (const [i, account] of (source[field] ?? []).entries()) checkServiceAccount(report.at(field, i), account);
	}
	const accounts = [...(source.serviceAccounts ?? []), ...(source.notServiceAccounts ?? [])];
	const others = [source.principals, source.notPrincipals, source.namespaces, source.notNamespaces].some((list) => list && list.length > 0);
	if (accounts.length > 0 && others) report.error("serviceAccounts cannot be set together with namespaces or principals; keep one of them");
}

/** `name` or `namespace/name`, written out: a wildcard would have to become an expression. */
function checkServiceAccount(report: Report, text: string): void {
	if (text.includes("*")) report.error(`${quote(text)}: wildcards are not supported in service accounts; write the name out`);
	else if (text.split("/").length > 2) report.error(`${quote(text)} is no service account; write NAME or NAMESPACE/NAME`);
	else if (text.startsWith("/") || text.endsWith("/")) report.error(`${quote(text)} has an empty part; write NAME or NAMESPACE/NAME`);
}

function checkAddresses(report: Report, list: readonly string[] | undefined): void {
	for (const [i, text] of (list ?? []).entries()) {
		if (text !== "" && !isSubnet(text)) report.at(i).error(`${quote(text)} is no IP address or CIDR, like 10.1.0.0/16`);
	}
}

function checkPorts(report: Report, list: readonly string[] | undefined): void {
	for (const [i, text] of (list ?? []).entries()) {
		if (text !== "" && (!/^\d+$/.test(text) || Number(text) > 65_535)) report.at(i).error(`${quote(text)} is no port; write a number from 0 to 65535`);
	}
}

function checkOperation(report: Report, operation: AuthorizationOperation): void {
	checkTexts(report, operation);
	checkPorts(report.at("ports"), operation.ports);
	checkPorts(report.at("notPorts"), operation.notPorts);
	for (const field of ["paths", "notPaths"] as const) {
		for (const [i, path] of (operation[field] ?? []).entries()) {
			const problem = pathTemplateProblem(path);
			if (problem) report.at(field, i).error(`${quote(path)} is no valid path template: ${problem}`);
		}
	}
}

/** `{*}` stands for one segment, `{**}` for any number of them. */
export const isPathTemplate = (path: string): boolean => path.includes("{*}") || path.includes("{**}");

const segment = /^(?:\{\*\}|\{\*\*\}|[^{}*]*)$/;

/** What Envoy would refuse: https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/path/match/uri_template/v3/uri_template_match.proto */
function pathTemplateProblem(path: string): string | undefined {
	if (!/[{}]/.test(path)) return undefined;
	const bad = path.split("/").find((part) => !segment.test(part));
	if (bad !== undefined) return `the segment ${quote(bad)} is not {*}, {**} or plain text`;
	if (!path.startsWith("/")) return "it must begin with a slash";
	const any = path.split("{**}").length - 1;
	if (any > 1) return "{**} may stand in it once";
	return path.includes("{**}") && path.slice(path.indexOf("{**}")).includes("{*}") ? "no {*} may follow {**}" : undefined;
}

const plainKeys: ReadonlySet<string> = new Set([
	"source.namespace",
	"source.principal",
	"source.serviceAccount",
	"request.auth.principal",
	"request.auth.audiences",
	"request.auth.presenter",
	"connection.sni",
]);
const addressKeys: ReadonlySet<string> = new Set(["source.ip", "remote.ip", "destination.ip"]);
/** Keys with a name in brackets. */
const namedKeys = ["request.headers", "request.auth.claims", "experimental.envoy.filters."];
const goneKeys: Readonly<Record<string, string>> = {
	"destination.namespace": "the policy's own namespace says it",
	"destination.name": "it was part of v1alpha1 only",
	"destination.user": "it was part of v1alpha1 only",
};

function checkCondition(report: Report, { key, values, notValues }: AuthorizationCondition): void {
	if (key === "") return report.at("key").error("key must not be empty");
	if (!values?.length && !notValues?.length) report.error(`at least one of values and notValues must be set for the key ${key}`);
	checkTexts(report, { values, notValues });
	const problem = keyProblem(key);
	if (problem) report.at("key").error(problem);
	for (const [field, list] of Object.entries({ values, notValues })) {
		if (addressKeys.has(key)) checkAddresses(report.at(field), list);
		if (key === "destination.port") checkPorts(report.at(field), list);
		if (key === "source.serviceAccount") for (const [i, account] of (list ?? []).entries()) checkServiceAccount(report.at(field, i), account);
	}
}

function keyProblem(key: string): string | undefined {
	if (plainKeys.has(key) || addressKeys.has(key) || key === "destination.port") return undefined;
	if (Object.hasOwn(goneKeys, key)) return `the attribute ${key} does not exist any more: ${goneKeys[key]}`;
	if (key.startsWith("destination.labels")) return "the attribute destination.labels is replaced by the workload selector";
	if (namedKeys.some((prefix) => key.startsWith(prefix))) {
		const open = key.indexOf("[");
		return key.endsWith("]") && open > 0 && open < key.length - 2 ? undefined : `the key ${quote(key)} needs a name in brackets, like request.headers[x-user]`;
	}
	return `unknown attribute ${quote(key)}; the keys are listed at https://istio.io/latest/docs/reference/config/security/conditions/`;
}

/** What an external authorizer is asked for is decided before anything about identities is known. */
const notCustomFields = [
	"principals",
	"notPrincipals",
	"requestPrincipals",
	"notRequestPrincipals",
	"namespaces",
	"notNamespaces",
	"serviceAccounts",
	"notServiceAccounts",
	"trustDomains",
	"notTrustDomains",
] as const;

function checkCustomRule(report: Report, { from, when }: AuthorizationRule): void {
	for (const [i, { source }] of (from ?? []).entries()) {
		for (const field of notCustomFields) {
			if (source?.[field]?.length)
				report.at("from", i, "source", field).error(`${field} is not supported with the action CUSTOM; write a DENY or ALLOW policy for it`);
		}
	}
	for (const [i, { key }] of (when ?? []).entries()) {
		const isIdentity = key === "source.namespace" || key === "source.principal" || key === "source.serviceAccount" || key.startsWith("request.auth.");
		if (isIdentity) report.at("when", i, "key").error(`${key} is not supported with the action CUSTOM; write a DENY or ALLOW policy for it`);
	}
}

function warnOfTcp(report: Report, { from, to }: AuthorizationRule): void {
	const sources = (from ?? []).flatMap(({ source }) => (source ? [source] : []));
	const operations = (to ?? []).flatMap(({ operation }) => (operation ? [operation] : []));
	const tcpFrom = sources.some((source) => !isEmpty({ ...source, requestPrincipals: undefined, notRequestPrincipals: undefined }));
	const tcpTo = operations.some(({ ports, notPorts }) => ports !== undefined || notPorts !== undefined);
	if ((sources.length > 0 && operations.length === 0 && !tcpFrom) || (operations.length > 0 && !tcpTo)) {
		report.warn(
			"configured AuthorizationPolicy will deny all traffic to TCP ports under its scope, as this DENY rule uses HTTP attributes only; name the port in to.operation.ports",
		);
	}
}
