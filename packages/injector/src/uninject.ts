import { isJsonObject, isSameJson, type Json, type JsonObject, omit, type StringMap } from "./json.ts";
import { overridesAnnotation, readOverrides } from "./inject/overrides.ts";
import { hookPath, hookPaths, parseProbers, probePath, probePaths, probersVariable } from "./inject/probes.ts";
import { agentAnnotations, partOf, scrapeVariable } from "./inject/prometheus.ts";
import { readStatus, statusAnnotation } from "./inject/status.ts";
import { annotationsOf, type Container, findProxy, labelsOf, type Pod, proxyContainerName } from "./pod/pod.ts";
import { gatewaySecurityContext } from "./template/gateway.ts";

/**
 * The pod before its injection, from what the injection left in it: status, the proxy's environment, overrides.
 * Undefined: it was not injected. Throws InjectionError on a broken overrides annotation.
 * A named port of a probe comes back as its number, and labels that say what they would say anyway are removed.
 */
export function uninjectPod(pod: Pod): Pod | undefined {
	const status = readStatus(pod);
	if (!status) return undefined;
	const env = findProxy(pod)?.env ?? [];
	const variable = (name: string): string | undefined => env.find((entry) => entry.name === name)?.value;
	const originals = parseProbers(variable(probersVariable) ?? "{}");
	const kept = readOverrides(pod);
	const own = (containers: readonly Container[], injected: readonly string[]): readonly Container[] =>
		containers.filter(({ name }) => !injected.includes(name)).map((container) => restoreProbes(container, originals));
	const { spec } = pod;
	const { securityContext } = spec as typeof spec & JsonObject;
	const containers = [...own(spec.containers, status.containers), ...kept.containers.map(withImage), ...kept.initContainers.filter(isProxy).map(withImage)];
	const initContainers = [...own(spec.initContainers ?? [], status.initContainers), ...kept.initContainers.filter((container) => !isProxy(container))];
	const left = (items: readonly { readonly name?: string }[] | undefined, injected: readonly string[]) =>
		items?.filter(({ name }) => !injected.includes(name ?? ""));
	return {
		...pod,
		metadata: compact({
			...pod.metadata,
			labels: restoreLabels(pod, variable("ISTIO_META_WORKLOAD_NAME") ?? ""),
			annotations: restoreAnnotations(pod, containers, variable(scrapeVariable)),
		}),
		spec: compact({
			...spec,
			containers,
			initContainers,
			volumes: left(spec.volumes, status.volumes),
			imagePullSecrets: left(spec.imagePullSecrets, status.imagePullSecrets),
			securityContext: isGateway(pod) && isSameJson(securityContext, gatewaySecurityContext) ? undefined : securityContext,
		}),
	} as Pod;
}

const isGateway = (pod: Pod): boolean => (findProxy(pod)?.["args"] as readonly unknown[] | undefined)?.includes("router") ?? false;
const isProxy = ({ name }: Container): boolean => name === proxyContainerName;

function withImage(container: Container): Container {
	const restored = { ...container, image: container.image ?? "auto" };
	return isJsonObject(restored.resources) && Object.keys(restored.resources).length === 0 ? omit(restored, ["resources"]) : restored;
}

/** Without fields that are empty or absent: what was not there before must not be there after. */
function compact<T extends object>(object: T): T {
	const isEmpty = (value: unknown) => value === undefined || (typeof value === "object" && value !== null && Object.keys(value).length === 0);
	return Object.fromEntries(Object.entries(object).filter(([, value]) => !isEmpty(value))) as T;
}

function restoreProbes(container: Container, originals: JsonObject): Container {
	const restored = probePaths.flatMap(([field, name]) => restoreHandler(field, container[field], originals[probePath(container.name, name)]));
	const hooks = hookPaths.flatMap(([field, name]) => restoreHandler(field, container.lifecycle?.[field], originals[hookPath(container.name, name)]));
	return { ...container, ...Object.fromEntries(restored), ...(hooks.length > 0 && { lifecycle: { ...container.lifecycle, ...Object.fromEntries(hooks) } }) };
}

function restoreHandler(field: string, handler: object | undefined, original: Json | undefined): readonly [string, object][] {
	if (!handler || !isJsonObject(original)) return [];
	const { grpc } = original;
	const action = isJsonObject(grpc) && grpc["service"] === null ? { ...original, grpc: omit(grpc, ["service"]) } : original;
	return [[field, { ...omit(handler, ["httpGet"]), ...action }]];
}

function restoreLabels(pod: Pod, workload: string): StringMap {
	const labels = labelsOf(pod);
	const name = labels["app.kubernetes.io/name"] || labels["app"] || workload;
	const derived: StringMap = {
		"security.istio.io/tlsMode": "istio",
		"service.istio.io/canonical-name": name.slice(0, 63).replace(/-$/, ""),
		"service.istio.io/canonical-revision": labels["app.kubernetes.io/version"] || labels["version"] || "latest",
	};
	return Object.fromEntries(Object.entries(labels).filter(([label, value]) => derived[label] !== value));
}

function restoreAnnotations(pod: Pod, containers: readonly Container[], scrape: string | undefined): StringMap {
	const annotations = annotationsOf(pod);
	const app = containers.find((container) => !isProxy(container))?.name;
	const removed = new Set([statusAnnotation, overridesAnnotation, "istio.io/rev"]);
	for (const name of ["kubectl.kubernetes.io/default-container", "kubectl.kubernetes.io/default-logs-container"])
		if (annotations[name] === app) removed.add(name);
	const port = annotations["prometheus.io/port"] ?? "";
	const isMerged = Object.entries(agentAnnotations(port)).every(([name, value]) => annotations[name] === value);
	const own = Object.entries(annotations).filter(([name]) => !removed.has(name) && !(isMerged && partOf(name) !== undefined));
	return { ...Object.fromEntries(own), ...(isMerged && scrape !== undefined ? restoreScrape(scrape) : {}) };
}

function restoreScrape(text: string): StringMap {
	const parsed = parseProbers(text);
	return Object.fromEntries(
		["scrape", "path", "port"].flatMap((part) => {
			const value = parsed[part];
			return typeof value === "string" && value !== "" ? [[`prometheus.io/${part}`, value]] : [];
		}),
	);
}
