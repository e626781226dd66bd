import type { Kind } from "@weft/api";
import type { KubeObject } from "./resource.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Written by machines at every turn, and read by nobody here. */
const ignoredAnnotations: ReadonlySet<string> = new Set([
	"kubectl.kubernetes.io/last-applied-configuration",
	"endpoints.kubernetes.io/last-change-trigger-time",
	"control-plane.alpha.kubernetes.io/leader",
	"deployment.kubernetes.io/revision",
	"volumes.kubernetes.io/controller-managed-attach-detach",
	"node.alpha.kubernetes.io/ttl",
	"weft.dev/heartbeat-at",
]);

/**
 * The object without what the mesh never reads. A large cluster holds ten times as much, and most updates (heartbeats,
 * managed fields) then change nothing: an equal object keeps its identity in the store.
 */
export function trimObject(kind: Kind, object: KubeObject): KubeObject {
	const { metadata, spec, status, ...rest } = object;
	const trimmed = { ...rest, metadata: trimMetadata(metadata) };
	switch (kind) {
		case "Pod":
			return { ...trimmed, spec: trimPodSpec(spec as Fields), status: pick(status, ["phase", "podIP", "podIPs", "hostIP", "conditions"], trimPodStatus) };
		case "Node":
			return { ...trimmed, spec: {}, status: pick(status, ["addresses", "nodeInfo"], trimNodeStatus) };
		case "ServiceAccount":
			return { ...pick(rest, ["apiVersion", "kind"]), metadata: trimmed.metadata };
		case "Namespace":
			return { ...trimmed, status: pick(status, ["phase"]) };
		case "Service":
			return { ...trimmed, spec, status: pick(status, ["loadBalancer"]) };
		default:
			return { ...trimmed, ...(spec !== undefined && { spec }), ...(status !== undefined && { status }) };
	}
}

function trimMetadata(metadata: KubeObject["metadata"]): KubeObject["metadata"] {
	const { managedFields: _, resourceVersion: _version, selfLink: _link, annotations, ...rest } = metadata;
	const kept = Object.entries(annotations ?? {}).filter(([name]) => !ignoredAnnotations.has(name));
	return { ...rest, ...(kept.length > 0 && { annotations: Object.fromEntries(kept) }) };
}

function pick(value: unknown, names: readonly string[], refine: (fields: Fields) => Fields = (fields) => fields): Fields {
	if (typeof value !== "object" || value === null) return {};
	return refine(Object.fromEntries(names.filter((name) => Object.hasOwn(value, name)).map((name) => [name, Reflect.get(value, name) as unknown])));
}

const podSpecFields = ["serviceAccountName", "nodeName", "hostNetwork", "hostname", "subdomain", "restartPolicy"];

function trimPodSpec(spec: Fields | undefined): Fields {
	const containers = (list: unknown) =>
		Array.isArray(list) ? list.map((container) => pick(container, ["name", "image", "ports", "restartPolicy"])) : undefined;
	const [main, init] = [containers(spec?.["containers"]), containers(spec?.["initContainers"])];
	return { ...pick(spec, podSpecFields), containers: main ?? [], ...(init && { initContainers: init }) };
}

/** Times of probes change with every heartbeat. */
const trimPodStatus = (status: Fields): Fields => ({
	...status,
	...(Array.isArray(status["conditions"]) && { conditions: status["conditions"].map((condition) => pick(condition, ["type", "status"])) }),
});

const trimNodeStatus = (status: Fields): Fields => ({ ...status, nodeInfo: pick(status["nodeInfo"], ["kubeletVersion"]) });
