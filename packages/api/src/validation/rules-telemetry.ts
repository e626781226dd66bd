import type { TelemetrySpec } from "../schema/telemetry.ts";
import type { Report } from "./report.ts";
import { checkDuration, checkHeaderName, checkPercentNumber } from "./rules-common.ts";
import { checkPolicyTarget } from "./rules-policy-target.ts";

// https://istio.io/latest/docs/reference/config/telemetry/

export function checkTelemetry(report: Report, spec: TelemetrySpec): void {
	checkPolicyTarget(report, spec);
	if ((spec.tracing?.length ?? 0) > 1) report.at("tracing").warn("multiple tracing is not currently supported: the first entry of each mode counts");
	for (const [i, tracing] of (spec.tracing ?? []).entries()) {
		const at = report.at("tracing", i);
		if ((tracing.providers?.length ?? 0) > 1) at.at("providers").warn("multiple providers is not currently supported: the first counts");
		checkProviders(at, tracing.providers);
		checkPercentNumber(at.at("randomSamplingPercentage"), tracing.randomSamplingPercentage);
		for (const [name, tag] of Object.entries(tracing.customTags ?? {})) checkCustomTag(at.at("customTags", name), name, tag);
	}
	for (const [i, metrics] of (spec.metrics ?? []).entries()) {
		checkProviders(report.at("metrics", i), metrics.providers);
		checkDuration(report.at("metrics", i, "reportingInterval"), metrics.reportingInterval);
		for (const [j, { match, tagOverrides }] of (metrics.overrides ?? []).entries()) {
			const at = report.at("metrics", i, "overrides", j);
			if (match?.customMetric === "") at.at("match", "customMetric").error("the metric's name is empty");
			for (const [name, { operation = "UPSERT", value = "" }] of Object.entries(tagOverrides ?? {})) {
				const tag = at.at("tagOverrides", name);
				if (operation === "UPSERT" && value === "") tag.at("value").error("value must be set for the operation UPSERT; write a CEL expression");
				if (operation === "REMOVE" && value !== "") tag.at("value").error("value must not be set for the operation REMOVE; remove it");
			}
		}
	}
	for (const [i, logging] of (spec.accessLogging ?? []).entries()) {
		checkProviders(report.at("accessLogging", i), logging.providers);
		const expression = logging.filter?.expression ?? "";
		if (logging.filter && expression === "")
			report.at("accessLogging", i, "filter", "expression").error("the filter's expression is empty; remove the filter to log everything");
		const problem = balanceProblem(expression);
		if (problem) report.at("accessLogging", i, "filter", "expression").error(`${problem} in the CEL expression`);
	}
}

function checkProviders(report: Report, providers: readonly { readonly name: string }[] | undefined): void {
	for (const [i, { name }] of (providers ?? []).entries()) if (name === "") report.at("providers", i, "name").error("providers must have a name");
}

type CustomTag = NonNullable<NonNullable<NonNullable<TelemetrySpec["tracing"]>[number]["customTags"]>[string]>;

function checkCustomTag(report: Report, name: string, { literal, environment, header, formatter }: CustomTag): void {
	if (name === "") report.error("tag names may not be empty");
	if (literal?.value === "") report.at("literal", "value").error("literal tag value may not be empty");
	if (environment?.name === "") report.at("environment", "name").error("environment tag name may not be empty");
	if (header) checkHeaderName(report.at("header", "name"), header.name);
	if (formatter && !formatter.value) report.at("formatter", "value").error("formatter tag value may not be empty");
	if (!literal && !environment && !header && !formatter) report.error("the tag has no value; write literal, environment, header or formatter");
}

const closing: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

/** What every CEL parser refuses: strings and brackets that do not end. */
function balanceProblem(expression: string): string | undefined {
	const open: string[] = [];
	for (let i = 0; i < expression.length; i++) {
		const char = expression[i] as string;
		if (char === "'" || char === '"') {
			const end = stringEnd(expression, i, char);
			if (end < 0) return `the string at ${i + 1} does not end`;
			i = end;
		} else if (Object.hasOwn(closing, char)) open.push(closing[char] as string);
		else if ((char === ")" || char === "]" || char === "}") && open.pop() !== char) return `${char} at ${i + 1} closes nothing`;
	}
	return open.length > 0 ? `a ${open.at(-1)} is missing` : undefined;
}

function stringEnd(expression: string, start: number, quoteMark: string): number {
	const raw = /[rR]$/.test(expression.slice(0, start));
	for (let i = start + 1; i < expression.length; i++) {
		if (expression[i] === "\\" && !raw) i++;
		else if (expression[i] === quoteMark) return i;
	}
	return -1;
}
