import type { ConfigObject, WorkloadEntrySpec } from "@weft/api";
import type { Labels } from "./labels.ts";
import type { Endpoint } from "./service.ts";

type WorkloadEntry = ConfigObject<"WorkloadEntry">;

/** What Istio writes into the WorkloadEntries of workloads that register themselves, so that either control plane understands the other's. */
export const entryAnnotations = {
	/** Name of the WorkloadGroup. */
	group: "istio.io/autoRegistrationGroup",
	/** The control plane's replica that the workload is or was connected to. */
	controller: "istio.io/workloadController",
	/** RFC 3339; there while the workload is connected. */
	connectedAt: "istio.io/connectedAt",
	/** RFC 3339; there once it is not. */
	disconnectedAt: "istio.io/disconnectedAt",
	/** Without a word about its health the workload is not healthy. */
	healthChecks: "proxy.istio.io/health-checks-enabled",
	/** Weft's own: the SPIFFE ID that registered the instance over HTTPS, and renews it. */
	registeredBy: "weft.dev/registered-by",
	/** Weft's own: the service that it was registered for. */
	service: "weft.dev/registered-service",
	/** Weft's own: after so long without a heartbeat the instance drains, after as long again it is removed. A duration, such as 30s. */
	ttl: "weft.dev/registration-ttl",
	/** Weft's own: when the last heartbeat came, RFC 3339. Of no interest to the mesh, and so not kept in the store. */
	heartbeatAt: "weft.dev/heartbeat-at",
} as const;

/** https://istio.io/latest/docs/reference/config/meta/v1beta1/istio-status/#IstioCondition */
export interface EntryCondition {
	/** `Draining` is Weft's own: no heartbeat came in time. */
	readonly type: "Healthy" | "Draining";
	readonly status: "True" | "False";
	/** RFC 3339. */
	readonly lastProbeTime: string;
	readonly lastTransitionTime: string;
	readonly message?: string;
}

/** `status.conditions` of the entry, as far as they have the form of conditions. */
export function conditionsOf({ status }: Pick<WorkloadEntry, "status">): readonly Partial<EntryCondition>[] {
	const conditions = (status as { readonly conditions?: unknown } | null | undefined)?.conditions;
	return Array.isArray(conditions) ? conditions.filter((one): one is Partial<EntryCondition> => typeof one === "object" && one !== null) : [];
}

/** Go's strconv.ParseBool, by which istiod reads the annotation. */
const truths: ReadonlySet<string> = new Set(["1", "t", "T", "TRUE", "true", "True"]);

/** What is known of an entry's health. One that nobody checks is healthy; one that is checked and has not been heard of is not. */
export function entryHealth(entry: Pick<WorkloadEntry, "metadata" | "status">): Endpoint["health"] {
	const conditions = conditionsOf(entry);
	const isTrue = (type: EntryCondition["type"]) => conditions.some((one) => one.type === type && one.status === "True");
	if (isTrue("Draining")) return "DRAINING";
	if (!truths.has(entry.metadata.annotations[entryAnnotations.healthChecks] ?? "")) return "HEALTHY";
	return isTrue("Healthy") ? "HEALTHY" : "UNHEALTHY";
}

/** Labels by which an entry is selected: the object's own, and those of its spec over them. */
export function entryLabels({ metadata, spec }: Pick<WorkloadEntry, "metadata"> & { readonly spec: WorkloadEntrySpec }): Labels {
	return { ...metadata.labels, ...spec.labels };
}

const nameLengthMax = 253;

/**
 * The name that istiod gives the entry of a proxy that registers itself: `GROUP-IP`, or `GROUP-IP-NETWORK`. Undefined where the
 * proxy asks for no registration, or says no address.
 */
export function registeredEntryName(metadata: Readonly<Record<string, unknown>>, ips: readonly string[]): string | undefined {
	const group = metadata["AUTO_REGISTER_GROUP"];
	const [ip] = ips;
	if (typeof group !== "string" || group === "" || ip === undefined) return undefined;
	const network = metadata["NETWORK"];
	const name = [group, ip.replaceAll(":", "-"), ...(typeof network === "string" && network !== "" ? [network] : [])].join("-");
	return name.slice(-nameLengthMax);
}

/** Labels of the entries that proxies have registered for themselves, by `namespace/name`: a proxy without a pod is selected by them. */
export function registeredLabels(entries: readonly WorkloadEntry[]): ReadonlyMap<string, Labels> {
	const registered = entries.filter(({ metadata }) => metadata.annotations[entryAnnotations.group] !== undefined);
	return new Map(registered.map((entry) => [`${entry.metadata.namespace}/${entry.metadata.name}`, entryLabels(entry)]));
}
