import type { ConfigObject, ProxyConfig } from "@weft/api";
import type { StringMap } from "./json.ts";
import { mergeProxyConfig } from "./proxy-config.ts";

/** What ProxyConfig resources say of one pod's proxy. https://istio.io/latest/docs/reference/config/networking/proxy-config/ */
export interface SelectedProxyConfig {
	/** For all pods: of the root namespace, then of the pod's own. */
	readonly general: ProxyConfig;
	/** Of those that select the pod by its labels; stands over its annotation. */
	readonly own: ProxyConfig;
}

type Resource = ConfigObject<"ProxyConfig">;

export function selectProxyConfig(resources: readonly Resource[], namespace: string, labels: StringMap, rootNamespace: string): SelectedProxyConfig {
	const of = (place: string) => resources.filter((resource) => resource.metadata.namespace === place);
	const forAll = (resource: Resource) => Object.keys(resource.spec.selector?.matchLabels ?? {}).length === 0;
	const general = of(namespace === rootNamespace ? "" : rootNamespace).filter(forAll);
	const local = of(namespace);
	const selects = ({ spec }: Resource) => Object.entries(spec.selector?.matchLabels ?? {}).every(([name, value]) => labels[name] === value);
	return {
		general: mergeProxyConfig(merged(general), merged(local.filter(forAll))),
		own: merged(local.filter((resource) => !forAll(resource) && selects(resource))),
	};
}

/** Where two say different things the older counts. */
function merged(resources: readonly Resource[]): ProxyConfig {
	const oldestLast = resources.toSorted((a, b) => createdOf(b) - createdOf(a) || (a.metadata.name < b.metadata.name ? 1 : -1));
	return oldestLast.reduce<ProxyConfig>((config, { spec }) => mergeProxyConfig(config, proxyConfigOf(spec)), {});
}

const createdOf = ({ metadata }: Resource): number => Date.parse(metadata.creationTimestamp ?? "") || 0;

function proxyConfigOf({ concurrency, environmentVariables, image }: Resource["spec"]): ProxyConfig {
	return {
		...(concurrency !== undefined && { concurrency }),
		...(environmentVariables && { proxyMetadata: environmentVariables }),
		...(image && { image }),
	};
}
