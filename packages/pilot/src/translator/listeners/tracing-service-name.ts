import type { ProxyNode } from "../../model/proxy-node.ts";

const annotation = "resource.opentelemetry.io/service.name";

/** `service.name` of a workload by OpenTelemetry's rules: https://opentelemetry.io/docs/specs/semconv/non-normative/k8s-attributes/#service-attributes */
export function semanticServiceName({ metadata, labels, workloadName, name }: ProxyNode): string {
	const { ANNOTATIONS: annotations } = metadata;
	const annotated: unknown = typeof annotations === "object" && annotations !== null ? Reflect.get(annotations, annotation) : undefined;
	if (typeof annotated === "string" && annotated !== "") return annotated;
	return labels["app.kubernetes.io/instance"] || labels["app.kubernetes.io/name"] || workloadName || name || "unknown_service";
}

/** All names under which a proxy's spans can be told from those of another: listeners of proxies that differ in them are not shared. */
export const spanNames = (node: ProxyNode): string => JSON.stringify([node.cluster, semanticServiceName(node)]);
