import { type Diagnostic, diagnosticCodes } from "@weft/api";
import { isJsonObject, isStringMap, type Json, type StringMap } from "../json.ts";

/** A label selector of Kubernetes: all parts must match. */
export interface LabelSelector {
	readonly matchLabels: StringMap;
	readonly matchExpressions: readonly Requirement[];
}
interface Requirement {
	readonly key: string;
	readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
	readonly values: readonly string[];
}

const operators = ["In", "NotIn", "Exists", "DoesNotExist"] as const;

/** A list of selectors, any of which may match. Invalid ones are reported and left out. */
export function decodeSelectors(input: Json | undefined, path: string, diagnostics: Diagnostic[]): readonly LabelSelector[] {
	const report = (at: string, message: string): void =>
		void diagnostics.push({ severity: "error", code: diagnosticCodes.schema, kind: "config", path: at, message });
	if (input === undefined || input === null) return [];
	if (!Array.isArray(input)) {
		report(path, "expected a list of label selectors");
		return [];
	}
	return input.flatMap((entry, i) => {
		const selector = decodeSelector(entry);
		if (typeof selector !== "string") return [selector];
		report(`${path}[${i}]`, selector);
		return [];
	});
}

function decodeSelector(entry: Json): LabelSelector | string {
	if (!isJsonObject(entry)) return "expected a label selector";
	const matchLabels = entry["matchLabels"] ?? {};
	if (!isStringMap(matchLabels)) return "matchLabels: expected text values";
	const expressions = entry["matchExpressions"] ?? [];
	if (!Array.isArray(expressions)) return "matchExpressions: expected a list";
	const matchExpressions: Requirement[] = [];
	for (const expression of expressions) {
		const requirement = decodeRequirement(expression);
		if (typeof requirement === "string") return `matchExpressions: ${requirement}`;
		matchExpressions.push(requirement);
	}
	return { matchLabels, matchExpressions };
}

function decodeRequirement(expression: Json): Requirement | string {
	if (!isJsonObject(expression)) return "expected objects with key and operator";
	const { key } = expression;
	const operator = operators.find((name) => name === expression["operator"]);
	const values = expression["values"] ?? [];
	if (typeof key !== "string" || key === "") return "each needs a key";
	if (operator === undefined) return `"${String(expression["operator"])}" is none of ${operators.join(", ")}`;
	if (!Array.isArray(values) || !values.every((value) => typeof value === "string")) return "values: expected a list of texts";
	const needsValues = operator === "In" || operator === "NotIn";
	if (needsValues !== values.length > 0) return needsValues ? `${operator} needs values` : `${operator} takes no values`;
	return { key, operator, values };
}

/** An empty selector matches nothing here, so that an entry without content cannot inject a whole cluster. */
export function matchSelector({ matchLabels, matchExpressions }: LabelSelector, labels: StringMap): boolean {
	if (Object.keys(matchLabels).length === 0 && matchExpressions.length === 0) return false;
	return (
		Object.entries(matchLabels).every(([key, value]) => labels[key] === value) && matchExpressions.every((requirement) => matchRequirement(requirement, labels))
	);
}

function matchRequirement({ key, operator, values }: Requirement, labels: StringMap): boolean {
	const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
	switch (operator) {
		case "Exists":
			return value !== undefined;
		case "DoesNotExist":
			return value === undefined;
		case "In":
			return value !== undefined && values.includes(value);
		case "NotIn":
			return value === undefined || !values.includes(value);
	}
}
