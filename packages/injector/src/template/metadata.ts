import type { StringMap } from "../json.ts";
import { annotationsOf, labelsOf } from "../pod/pod.ts";
import { appContainersOf, type TemplateInput } from "./input.ts";

/** Names under which telemetry groups pods: https://istio.io/latest/docs/reference/config/labels/#ServiceCanonicalName */
export function canonicalLabels(input: TemplateInput): StringMap {
	const labels = labelsOf(input.pod);
	const name = labels["service.istio.io/canonical-name"] || labels["app.kubernetes.io/name"] || labels["app"] || input.workload.name;
	const revision = labels["service.istio.io/canonical-revision"] || labels["app.kubernetes.io/version"] || labels["version"] || "latest";
	// The name of a workload may be longer than a label can be.
	return { "service.istio.io/canonical-name": name.slice(0, 63).replace(/-$/, ""), "service.istio.io/canonical-revision": revision };
}

/** kubectl logs and exec go to the application, not to the proxy. */
export function commonAnnotations(input: TemplateInput): StringMap {
	const annotations = annotationsOf(input.pod);
	const [app] = appContainersOf(input);
	const isFree = (name: string) => app !== undefined && !Object.hasOwn(annotations, name);
	return {
		"istio.io/rev": input.settings.revision,
		...(isFree("kubectl.kubernetes.io/default-logs-container") && { "kubectl.kubernetes.io/default-logs-container": app }),
		...(isFree("kubectl.kubernetes.io/default-container") && { "kubectl.kubernetes.io/default-container": app }),
	};
}
