import type { ConfigObject } from "@weft/api";
import type { TrafficDistribution } from "./service.ts";

// https://kubernetes.io/docs/concepts/services-networking/service/#traffic-distribution, and the annotation that does the same for
// ServiceEntries and for all services of a namespace.

const annotation = "networking.istio.io/traffic-distribution";

const byText: ReadonlyMap<string, TrafficDistribution> = new Map([
	["preferclose", "PreferSameZone"],
	["prefersamezone", "PreferSameZone"],
	["prefersamenode", "PreferSameNode"],
]);

type Annotations = Readonly<Record<string, string>>;

/** The field, else the annotation (in any case; one that says nothing known says "any"), else what the namespace has. */
export function trafficDistributionOf(field: string | undefined, annotations: Annotations, inherited: TrafficDistribution | undefined) {
	const byField = byText.get(field?.toLowerCase() ?? "");
	if (byField) return byField;
	const text = annotations[annotation] ?? "";
	return text === "" ? inherited : byText.get(text.toLowerCase());
}

export function namespaceDistributions(namespaces: readonly ConfigObject<"Namespace">[]): ReadonlyMap<string, TrafficDistribution> {
	return new Map(
		namespaces.flatMap(({ metadata }) => {
			const own = trafficDistributionOf(undefined, metadata.annotations, undefined);
			return own ? [[metadata.name, own] as const] : [];
		}),
	);
}
