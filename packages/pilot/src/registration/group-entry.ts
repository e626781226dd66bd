import type { ConfigObject } from "@weft/api";
import type { Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { entryAnnotations, registeredEntryName } from "../model/entry-registration.ts";
import type { EntryRef, WorkloadEntry } from "./workload-entries.ts";

/** A proxy that asks to be registered, read from its node. */
export interface RegisteringProxy extends EntryRef {
	/** Undefined: its entry is there already, and only the health in it is the proxy's. */
	readonly group: string | undefined;
	readonly address: string;
	readonly network: string;
	readonly labels: Readonly<Record<string, string>>;
	/** `region/zone/subzone`; empty where the proxy does not say. */
	readonly locality: string;
	/** Its agent probes the workload and tells of it. */
	readonly isProbed: boolean;
}

/** Undefined: it asks for nothing. A text: why it cannot be registered. */
export function registeringProxy(node: Node): RegisteringProxy | string | undefined {
	const metadata = (node.metadata ?? {}) as Readonly<Record<string, unknown>>;
	const group = textOf(metadata["AUTO_REGISTER_GROUP"]) || undefined;
	const own = textOf(metadata["WORKLOAD_ENTRY"]);
	if (group === undefined && own === "") return undefined;
	const namespace = textOf(metadata["NAMESPACE"]);
	if (namespace === "") return "the node's metadata has no NAMESPACE";
	const given = textOf(metadata["INSTANCE_IPS"]).split(",").filter(Boolean);
	const ips = given.length > 0 ? given : [node.id.split("~")[1] ?? ""].filter(Boolean);
	const name = group === undefined ? own : registeredEntryName(metadata, ips);
	if (name === undefined) return "the node's metadata has no INSTANCE_IPS";
	const { region = "", zone = "", subZone = "" } = node.locality ?? {};
	return {
		group,
		namespace,
		name,
		address: ips[0] ?? "",
		network: textOf(metadata["NETWORK"]),
		labels: textsOf(metadata["LABELS"]),
		locality: [region, zone, subZone].join("/").replace(/\/+$/, ""),
		isProbed: isRecord(recordOf(metadata["PROXY_CONFIG"])["readinessProbe"]),
	};
}

/**
 * The WorkloadEntry of a proxy, as istiod makes it of the group's template: labels of the node over those of the group's metadata
 * over those of the template, and the node's own address, network and locality. Pure.
 */
export function entryOfGroup(proxy: RegisteringProxy, group: ConfigObject<"WorkloadGroup">): WorkloadEntry {
	const { metadata, spec } = group;
	const labels = { ...spec.template.labels, ...spec.metadata?.labels, ...proxy.labels };
	const owner = { apiVersion: group.apiVersion, kind: "WorkloadGroup", name: metadata.name, controller: true };
	return {
		apiVersion: group.apiVersion,
		kind: "WorkloadEntry",
		metadata: {
			name: proxy.name,
			namespace: proxy.namespace,
			labels,
			annotations: {
				[entryAnnotations.group]: metadata.name,
				...spec.metadata?.annotations,
				...(proxy.isProbed && { [entryAnnotations.healthChecks]: "true" }),
			},
			// An owner without its uid is none to Kubernetes.
			...(metadata.uid !== undefined && { ownerReferences: [{ ...owner, uid: metadata.uid }] }),
		},
		spec: {
			...spec.template,
			address: proxy.address,
			...(Object.keys(labels).length > 0 && { labels }),
			...(proxy.network !== "" && { network: proxy.network }),
			...(proxy.locality !== "" && { locality: proxy.locality }),
		},
	};
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

type Fields = Readonly<Record<string, unknown>>;

const isRecord = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);
const recordOf = (value: unknown): Fields => (isRecord(value) ? value : {});

function textsOf(value: unknown): Readonly<Record<string, string>> {
	return Object.fromEntries(Object.entries(recordOf(value)).filter((pair): pair is [string, string] => typeof pair[1] === "string"));
}
