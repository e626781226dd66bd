import type { AllowedRoutes, ConfigObject, NamespaceSelector } from "@weft/api";

const nameLabel = "kubernetes.io/metadata.name";

/** The namespaces whose routes may bind: `*` for all, else names in order. */
export function allowedNamespaces(allowed: AllowedRoutes["namespaces"], own: string, namespaces: readonly ConfigObject<"Namespace">[]): readonly string[] {
	switch (allowed?.from ?? "Same") {
		case "All":
			return ["*"];
		case "None":
			return [];
		case "Selector": {
			const { selector } = allowed ?? {};
			if (selector === undefined) return ["*"];
			return namespaces
				.filter((object) => selects(selector, labelsOf(object)))
				.map(({ metadata }) => metadata.name)
				.sort();
		}
		default:
			return [own];
	}
}

function labelsOf({ metadata }: ConfigObject<"Namespace">): Readonly<Record<string, string>> {
	return { ...metadata.labels, [nameLabel]: metadata.name };
}

/** Namespaces that the mesh looks at (MeshConfig.discoverySelectors); undefined: all. */
export function discoveredNamespaces(
	selectors: readonly NamespaceSelector[],
	namespaces: readonly ConfigObject<"Namespace">[],
): ReadonlySet<string> | undefined {
	if (selectors.length === 0) return undefined;
	const found = namespaces.filter((object) => selectors.some((selector) => selects(selector, labelsOf(object))));
	return new Set(found.map(({ metadata }) => metadata.name));
}

function selects({ matchLabels, matchExpressions }: NamespaceSelector, labels: Readonly<Record<string, string>>): boolean {
	if (Object.entries(matchLabels ?? {}).some(([key, value]) => labels[key] !== value)) return false;
	return (matchExpressions ?? []).every(({ key, operator, values }) => {
		const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
		switch (operator) {
			case "In":
				return value !== undefined && (values ?? []).includes(value);
			case "NotIn":
				return value === undefined || !(values ?? []).includes(value);
			case "Exists":
				return value !== undefined;
			case "DoesNotExist":
				return value === undefined;
		}
	});
}
