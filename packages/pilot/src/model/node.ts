import { registeredEntryName } from "./entry-registration.ts";
import type { LocalBinding, ProxyNode } from "./proxy-node.ts";
import type { PushSnapshot } from "./push.ts";
import type { Locality } from "./service.ts";
import { localityOfLabels, noLocality } from "./workloads.ts";

/** `node` of the first xDS request, as far as it is read. https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/base.proto#config-core-v3-node */
export interface XdsNode {
	readonly id: string;
	readonly cluster?: string | undefined;
	readonly metadata?: Readonly<Record<string, unknown>> | undefined;
	readonly locality?: Partial<Locality> | undefined;
	readonly userAgentName?: string | undefined;
	readonly clientFeatures?: readonly string[] | undefined;
	readonly extensions?: readonly { readonly name: string }[] | undefined;
}

const dynamicForwardProxyCluster = "envoy.clusters.dynamic_forward_proxy";

/** In the manner of Envoy's own client features (`node.client_features`). */
const vhdsFeature = "weft.xds.vhds";

export class NodeError extends Error {}

const kinds: Readonly<Record<string, ProxyNode["kind"]>> = { sidecar: "sidecar", router: "router" };

/** `sidecar~<ip>~<name>.<namespace>~<dns domain>`; throws a NodeError that says what is wrong with it. */
export function decodeNode(node: XdsNode, push: PushSnapshot): ProxyNode {
	const parts = node.id.split("~");
	const [type = "", ip = "", fullName = "", dnsDomain = ""] = parts;
	const kind = Object.hasOwn(kinds, type) ? kinds[type] : undefined;
	if (parts.length !== 4 || !kind) throw new NodeError(`node id ${JSON.stringify(node.id)} is not of the form sidecar~ip~name.namespace~domain`);
	const metadata = node.metadata ?? {};
	const dot = fullName.lastIndexOf(".");
	const name = dot < 0 ? fullName : fullName.slice(0, dot);
	const namespace = text(metadata["NAMESPACE"]) || (dot < 0 ? "" : fullName.slice(dot + 1));
	const pod = push.workloads.podByName.get(`${namespace}/${name}`);
	const ips = addresses(metadata["INSTANCE_IPS"], ip);
	const entryName = pod === undefined ? registeredEntryName(metadata, ips) : undefined;
	const registered = entryName === undefined ? undefined : push.workloads.registeredLabels.get(`${namespace}/${entryName}`);
	const labels = pod?.labels ?? registered ?? stringRecord(metadata["LABELS"]);
	const nodeName = text(metadata["NODE_NAME"]) || (pod?.nodeName ?? "");
	return {
		id: node.id,
		cluster: node.cluster ?? "",
		kind,
		ip,
		ips,
		name,
		namespace,
		dnsDomain,
		labels,
		serviceAccount: text(metadata["SERVICE_ACCOUNT"]) || (pod?.serviceAccount ?? ""),
		workloadName: text(metadata["WORKLOAD_NAME"]) || (pod?.workloadName ?? name),
		clusterId: text(metadata["CLUSTER_ID"]) || push.mesh.clusterId,
		network: text(metadata["NETWORK"]),
		locality: localityOf(node, labels, nodeName, push),
		nodeName,
		interceptionMode: interceptionModeOf(metadata["INTERCEPTION_MODE"]),
		istioVersion: text(metadata["ISTIO_VERSION"]),
		istioExtensions: knowsIstio(node, metadata),
		dynamicForwardProxy: forwardsDynamically(node),
		vhds: isTrue(metadata["VHDS"]) || (node.clientFeatures ?? []).includes(vhdsFeature),
		dnsCapture: isTrue(metadata["DNS_CAPTURE"]),
		httpProxyPort: portOf(metadata["HTTP_PROXY_PORT"] ?? push.meshConfig.proxyHttpPort),
		local: decodeLocal(metadata["WEFT_LOCAL"]),
		metadata,
	};
}

/** What a node was read from beside the client's own words: as long as these are the same, reading it again gives the same. */
export function nodeInputs({ namespace, name, nodeName }: ProxyNode, { workloads, mesh }: PushSnapshot): readonly unknown[] {
	return [mesh, workloads.podByName.get(`${namespace}/${name}`), workloads.registeredLabels, workloads.localityOfNode(nodeName)];
}

const isTrue = (value: unknown): boolean => value === true || value === "true";

const text = (value: unknown): string => (typeof value === "string" ? value : "");

function stringRecord(value: unknown): Readonly<Record<string, string>> {
	const record: Record<string, string> = Object.create(null);
	if (!isRecord(value)) return record;
	for (const [key, entry] of Object.entries(value)) if (typeof entry === "string") record[key] = entry;
	return record;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** INSTANCE_IPS is a list with commas; the address in the id counts where it is missing. */
function addresses(value: unknown, ip: string): readonly string[] {
	const list = text(value).split(",").filter(Boolean);
	return list.length > 0 ? list : ip === "" ? [] : [ip];
}

/** What Kubernetes knows counts, the pod's own label before its node; then what the client says of itself. */
function localityOf(node: XdsNode, labels: Readonly<Record<string, string>>, nodeName: string, push: PushSnapshot): Locality {
	const known = localityOfLabels(labels) ?? push.workloads.localityOfNode(nodeName);
	if (known && known.region !== "") return known;
	const { region = "", zone = "", subZone = "" } = node.locality ?? noLocality;
	return { region, zone, subZone };
}

function interceptionModeOf(value: unknown): ProxyNode["interceptionMode"] {
	return value === "TPROXY" || value === "NONE" ? value : "REDIRECT";
}

function knowsIstio(node: XdsNode, metadata: Readonly<Record<string, unknown>>): boolean {
	const extensions = node.extensions ?? [];
	if (extensions.length > 0) return extensions.some(({ name }) => name.startsWith("istio."));
	return text(metadata["ISTIO_VERSION"]) !== "";
}

/** Envoy lists its extensions; istio-proxy of a mesh without such a list has this one; weft-proxy has not. */
function forwardsDynamically({ extensions = [], userAgentName }: XdsNode): boolean {
	if (extensions.length > 0) return extensions.some(({ name }) => name === dynamicForwardProxyCluster);
	return userAgentName !== "weft-proxy";
}

function portOf(value: unknown): number {
	const port = typeof value === "string" ? Number(value) : value;
	return typeof port === "number" && Number.isInteger(port) && port > 0 && port < 65_536 ? port : 0;
}

function decodeLocal(value: unknown): LocalBinding | undefined {
	const json = typeof value === "string" ? parseJson(value) : value;
	if (!isRecord(json)) return undefined;
	const inbound: Record<string, { bind: string; endpoint: string }> = Object.create(null);
	for (const [port, entry] of Object.entries(isRecord(json["inbound"]) ? json["inbound"] : {})) {
		if (isRecord(entry) && typeof entry["bind"] === "string" && typeof entry["endpoint"] === "string") {
			inbound[port] = { bind: entry["bind"], endpoint: entry["endpoint"] };
		}
	}
	return { inbound, outbound: stringRecord(json["outbound"]) };
}

function parseJson(json: string): unknown {
	try {
		return JSON.parse(json);
	} catch {
		// Not JSON: the same as not sent; the proxy then gets no local listeners, which its log shows.
		return undefined;
	}
}
