import { at, type Rendered } from "./render.ts";

type Labels = Readonly<Record<string, string>>;
interface Expression {
	readonly key: string;
	readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
	readonly values?: readonly string[];
}

/** As the API server reads a LabelSelector: NotIn holds where the label is absent. */
export function matchesSelector(selector: unknown, labels: Labels): boolean {
	const { matchLabels = {}, matchExpressions = [] } = selector as { readonly matchLabels?: Labels; readonly matchExpressions?: readonly Expression[] };
	return (
		Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
		matchExpressions.every(({ key, operator, values = [] }) => {
			const value = labels[key];
			if (operator === "Exists") return value !== undefined;
			if (operator === "DoesNotExist") return value === undefined;
			return operator === "In" ? value !== undefined && values.includes(value) : value === undefined || !values.includes(value);
		})
	);
}

/** The entries of all webhook configurations that the API server would call for a pod. */
export function webhooksFor(configurations: readonly Rendered[], namespace: string, namespaceLabels: Labels, podLabels: Labels): string[] {
	const all = { "kubernetes.io/metadata.name": namespace, ...namespaceLabels };
	return configurations.flatMap((configuration) =>
		(configuration["webhooks"] as readonly unknown[])
			.filter((webhook) => matchesSelector(at(webhook, "namespaceSelector"), all) && matchesSelector(at(webhook, "objectSelector"), podLabels))
			.map((webhook) => `${configuration.metadata.name} ${String(at(webhook, "name"))}`),
	);
}
