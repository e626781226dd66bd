import type { ConfigObject, ProxyConfig } from "@weft/api";
import { byAge } from "./age.ts";
import { isEmpty, type Labels, labelsMatch } from "./labels.ts";

type Resource = ConfigObject<"ProxyConfig">;

/**
 * What the ProxyConfig resources say for a workload, over the mesh's `defaultConfig`: the mesh's, then the namespace's, then the
 * workload's, the oldest of each. In Istio the annotation proxy.istio.io/config stands before the first two and behind the last.
 */
export function proxyConfigFor(
	resources: readonly Resource[],
	workload: { readonly namespace: string; readonly labels: Labels },
	rootNamespace: string,
): { readonly general: ProxyConfig; readonly own: ProxyConfig } {
	const sorted = [...resources].sort(byAge);
	const selectorOf = ({ spec }: Resource) => spec.selector?.matchLabels;
	const whole = (namespace: string) => sorted.find((resource) => resource.metadata.namespace === namespace && isEmpty(selectorOf(resource)));
	const isOwn = (resource: Resource) => resource.metadata.namespace === workload.namespace && !isEmpty(selectorOf(resource));
	const own = sorted.find((resource) => isOwn(resource) && labelsMatch(selectorOf(resource), workload.labels));
	return { general: merge(configOf(whole(rootNamespace)), configOf(whole(workload.namespace))), own: configOf(own) };
}

function configOf(resource: Resource | undefined): ProxyConfig {
	const { concurrency, environmentVariables, image } = resource?.spec ?? {};
	return {
		...(concurrency === undefined ? {} : { concurrency }),
		...(environmentVariables === undefined ? {} : { proxyMetadata: environmentVariables }),
		...(image === undefined ? {} : { image }),
	};
}

function merge(base: ProxyConfig, over: ProxyConfig): ProxyConfig {
	const proxyMetadata = { ...base.proxyMetadata, ...over.proxyMetadata };
	return { ...base, ...over, ...(Object.keys(proxyMetadata).length > 0 ? { proxyMetadata } : {}) };
}
