import { mergeMessages } from "@weft/xds";
import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { Patch, PatchContext } from "../../model/envoy-filters.ts";
import type { EncodedResource } from "../context.ts";
import { encodeResource } from "../encode.ts";
import { createMemo } from "../memo.ts";
import { mergeOptions } from "./list-patches.ts";
import type { PatchSet } from "./patch-set.ts";
import { mergeSocket } from "./transport-sockets.ts";

const clusterType = "envoy.config.cluster.v3.Cluster";
const patched = createMemo<{ readonly resource: EncodedResource | undefined }>();
const added = createMemo<readonly EncodedResource[]>();

/** All clusters of a proxy after its patches. */
export function patchClusters(clusters: Iterable<EncodedResource>, set: PatchSet, isGateway: boolean): readonly EncodedResource[] {
	const contexts: readonly PatchContext[] = isGateway ? ["GATEWAY"] : ["SIDECAR_OUTBOUND", "SIDECAR_INBOUND"];
	const own = [...clusters].flatMap((resource) => patchCluster(resource, set, contextOf(resource.name, isGateway)) ?? []);
	const names = new Set(own.map(({ name }) => name));
	const extra = contexts.flatMap((context) => addedClusters(set, context)).filter(({ name }) => !names.has(name) && Boolean(names.add(name)));
	return [...own, ...extra];
}

function contextOf(name: string, isGateway: boolean): PatchContext {
	if (isGateway) return "GATEWAY";
	return name.startsWith("inbound|") || name.startsWith("InboundPassthroughCluster") ? "SIDECAR_INBOUND" : "SIDECAR_OUTBOUND";
}

function addedClusters(set: PatchSet, context: PatchContext): readonly EncodedResource[] {
	return added.get([set], context, () =>
		set
			.of("CLUSTER", context)
			.filter(({ operation }) => operation === "ADD")
			.map(({ value }) => encodeResource("cds", (value as Cluster).name, Cluster, value as Cluster)),
	);
}

function patchCluster(resource: EncodedResource, set: PatchSet, context: PatchContext): EncodedResource | undefined {
	const patches = set.of("CLUSTER", context);
	return patched.get([resource, set], context, () => ({ resource: applyPatches(resource, patches) })).resource;
}

/** Undefined: removed. */
function applyPatches(resource: EncodedResource, patches: readonly Patch[]): EncodedResource | undefined {
	let cluster: Cluster | undefined;
	const original = Cluster.decode(resource.bytes);
	for (const patch of patches) {
		if (patch.operation === "ADD" || !clusterMatches(original, patch)) continue;
		if (patch.operation === "REMOVE") return undefined;
		if (patch.operation === "MERGE" || patch.operation === "MERGE_AND_REPLACE_LIST") cluster = mergeCluster(cluster ?? original, patch);
	}
	return cluster === undefined ? resource : encodeResource("cds", cluster.name, Cluster, cluster);
}

function clusterMatches({ name, metadata }: Cluster, { match: { cluster: match } }: Patch): boolean {
	if (match === undefined) return true;
	if (match.name) return match.name === name;
	const [, port = "", subset = "", host = ""] = name.split("|");
	if (match.subset && match.subset !== subset) return false;
	if (match.portNumber && match.portNumber !== Number(port)) return false;
	return !match.service || match.service === host || servicesOf(metadata).includes(match.service);
}

/** An inbound cluster has no host in its name; its metadata says whom it serves. */
function servicesOf(metadata: Cluster["metadata"]): readonly string[] {
	const services: unknown = metadata?.filterMetadata["istio"]?.["services"];
	return Array.isArray(services) ? services.map((service: { readonly host?: unknown }) => String(service.host ?? "")) : [];
}

/** The configuration of a transport socket is merged into the socket of that kind, wherever the cluster keeps it. */
function mergeCluster(cluster: Cluster, patch: Patch): Cluster {
	const value = patch.value as Cluster;
	const options = mergeOptions(patch);
	const own = mergeSocket(cluster.transportSocket, value.transportSocket, options);
	const matches = cluster.transportSocketMatches.map((match) => ({
		...match,
		transportSocket: mergeSocket(match.transportSocket, value.transportSocket, options) ?? match.transportSocket,
	}));
	const isPlaced = own !== undefined || matches.some(({ transportSocket }, i) => transportSocket !== cluster.transportSocketMatches[i]?.transportSocket);
	const rest = isPlaced ? { ...value, transportSocket: undefined } : value;
	const placed = { ...cluster, transportSocket: own ?? cluster.transportSocket, transportSocketMatches: matches };
	return mergeMessages(clusterType, placed, rest, options);
}
