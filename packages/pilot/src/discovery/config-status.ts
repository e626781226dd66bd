import type { AnyConfig } from "@weft/api";
import type { XdsType } from "@weft/xds";
import type { StreamState } from "@weft/xds/server";
import { labelsMatch } from "../model/labels.ts";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { PushSnapshot } from "../model/push.ts";
import { scopeOf } from "../model/scope.ts";

/** A connected proxy, as far as the status of what it was sent is concerned. */
export interface ProxyState {
	readonly node: ProxyNode;
	/** It has the newest push whole. */
	readonly isSynced: boolean;
	readonly states: readonly StreamState[];
}

export interface ConfigCondition {
	/** Istio's `Reconciled`, and `PassedValidation`: an object that is invalid in itself never gets so far. */
	readonly type: "Reconciled" | "PassedValidation";
	readonly status: "True" | "False" | "Unknown";
	readonly reason: string;
	readonly message: string;
}

/** `status` of an Istio resource: https://istio.io/latest/docs/reference/config/config-status/. Times are for who writes it. */
export interface ConfigStatus {
	readonly conditions: readonly ConfigCondition[];
}

/** The types of xDS resources that a kind shapes. */
const shapes: Readonly<Record<string, readonly XdsType[]>> = {
	VirtualService: ["rds", "vhds", "lds"],
	DestinationRule: ["cds", "eds", "rds", "vhds"],
	AuthorizationPolicy: ["lds", "ecds"],
	RequestAuthentication: ["lds", "ecds"],
	PeerAuthentication: ["lds", "cds", "eds"],
	Telemetry: ["lds"],
	WasmPlugin: ["lds", "ecds"],
	EnvoyFilter: ["lds", "cds", "rds", "vhds", "ecds"],
};

/** Whether an object is valid, and how many of the proxies that see it have it in force; undefined for kinds without such a status. Pure. */
export function configStatus(push: PushSnapshot, proxies: readonly ProxyState[], object: AnyConfig): ConfigStatus | undefined {
	const types = Object.hasOwn(shapes, object.kind) ? shapes[object.kind] : undefined;
	if (types === undefined) return undefined;
	return { conditions: [validation(push, object), reconciliation(push, proxies, object, types)] };
}

function validation({ heldVirtualServices }: PushSnapshot, { kind, metadata: { namespace, name } }: AnyConfig): ConfigCondition {
	const held = kind === "VirtualService" ? heldVirtualServices.get(`${namespace}/${name}`) : undefined;
	if (held !== undefined) return { type: "PassedValidation", status: "False", reason: "SubsetNotFound", message: held };
	return { type: "PassedValidation", status: "True", reason: "Valid", message: "" };
}

function reconciliation(push: PushSnapshot, proxies: readonly ProxyState[], object: AnyConfig, types: readonly XdsType[]): ConfigCondition {
	const seeing = proxies.filter(({ node }) => isSeen(push, node, object));
	const refusalOf = ({ states }: ProxyState) => states.find(({ type, nack }) => nack !== undefined && types.includes(type));
	const inForce = seeing.filter((proxy) => proxy.isSynced && refusalOf(proxy) === undefined);
	const message = `${inForce.length}/${seeing.length} proxies up to date.`;
	const held = push.heldVirtualServices.has(`${object.metadata.namespace}/${object.metadata.name}`) && object.kind === "VirtualService";
	if (held) return { type: "Reconciled", status: "False", reason: "Held", message };
	const refusing = seeing.find((proxy) => refusalOf(proxy) !== undefined);
	if (refusing !== undefined) {
		const { type = "", nack } = refusalOf(refusing) ?? {};
		const resources = nack?.names.slice(0, 5).join(", ") ?? "";
		return {
			type: "Reconciled",
			status: "False",
			reason: "Rejected",
			message: `${message} ${proxyName(refusing)} refused ${type} ${resources}: ${nack?.message ?? ""}`,
		};
	}
	if (inForce.length < seeing.length) return { type: "Reconciled", status: "False", reason: "Progressing", message };
	return { type: "Reconciled", status: "True", reason: "UpToDate", message };
}

const proxyName = ({ node }: ProxyState) => `${node.name}.${node.namespace}`;

/** Whether the proxy's configuration is made of the object. */
function isSeen(push: PushSnapshot, node: ProxyNode, object: AnyConfig): boolean {
	switch (object.kind) {
		case "VirtualService":
			return seesVirtualService(push, node, object.metadata);
		case "DestinationRule": {
			const { services, destinationRule } = scopeOf(push, node);
			return services.some(({ hostname }) => destinationRule(hostname)?.sources.includes(object.spec));
		}
		default:
			return isSelected(push, node, object);
	}
}

type Named = Pick<AnyConfig["metadata"], "namespace" | "name">;

function seesVirtualService(push: PushSnapshot, node: ProxyNode, { namespace, name }: Named): boolean {
	const isIt = (vs: Named) => vs.namespace === namespace && vs.name === name;
	if (node.kind === "sidecar") return scopeOf(push, node).egress.some(({ virtualServices }) => virtualServices.some(isIt));
	const gateways = push.virtualServices.find(isIt)?.gateways ?? [];
	return push.gateways.some((gateway) => gateways.includes(`${gateway.namespace}/${gateway.name}`) && labelsMatch(gateway.selector ?? {}, node.labels));
}

/** Policies name workloads of their own namespace, or of all when they stand in the root namespace. */
function isSelected({ mesh }: PushSnapshot, node: ProxyNode, { metadata, spec }: AnyConfig): boolean {
	if (metadata.namespace !== node.namespace && metadata.namespace !== mesh.rootNamespace) return false;
	const { selector, workloadSelector } = spec as {
		readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> };
		readonly workloadSelector?: { readonly labels?: Readonly<Record<string, string>> };
	};
	return labelsMatch(selector?.matchLabels ?? workloadSelector?.labels ?? {}, node.labels);
}
