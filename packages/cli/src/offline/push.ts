import { type AnyConfig, hasErrors } from "@weft/api";
import { admitObjects, createStore, decodeYaml } from "@weft/galley";
import { buildPush, decodeNode, objectChecks, type ProxyNode, type PushSnapshot } from "@weft/pilot";
import { Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { readMeshConfig, readMeshNetworks } from "../commands/mesh-config.ts";
import { readSources } from "../local/mesh-client.ts";
import { CommandError, printDiagnostics } from "../output/errors.ts";

/**
 * The mesh that files describe, without any control plane running. What a later path says of an object replaces what an earlier one says,
 * as if they were applied in turn. Throws a CommandError when some part of them is refused.
 */
export function pushOfFiles(filename: readonly string[], meshConfig: string | undefined, meshNetworks?: string): PushSnapshot {
	const paths = filename.map((path) => readSources([path]).map(({ file, text }) => decodeYaml(text, file)));
	const decoded = paths.flat();
	const store = createStore();
	const objects = paths.map((files) => files.flatMap((d) => d.objects)).reduce(replaceByName, []);
	const admitted = admitObjects(objects, store.snapshot(), objectChecks);
	const diagnostics = [...decoded.flatMap((d) => d.diagnostics), ...admitted.diagnostics];
	printDiagnostics(diagnostics);
	if (hasErrors(diagnostics)) throw new CommandError("the configuration is refused");
	store.apply({ source: "files", upsert: admitted.accepted, remove: [] });
	const networks = readMeshNetworks(meshNetworks);
	const input = { snapshot: store.snapshot(), meshConfig: readMeshConfig(meshConfig), clusterId: "Kubernetes" };
	// Names are not looked up here: what is behind them is as it is until a control plane has an answer.
	const push = buildPush({ ...input, ...(networks && { meshNetworks: networks }), gatewayAddresses: new Map() });
	const { names = [] } = push.mesh.networks ?? {};
	if (names.length > 0) process.stderr.write(`gateways by name are not looked up offline, and what is behind them is left out: ${names.join(", ")}\n`);
	return push;
}

function replaceByName(earlier: readonly AnyConfig[], later: readonly AnyConfig[]): readonly AnyConfig[] {
	const nameOf = ({ kind, metadata }: AnyConfig) => `${kind}/${metadata.namespace}/${metadata.name}`;
	const replaced = new Set(later.map(nameOf));
	return [...earlier.filter((object) => !replaced.has(nameOf(object))), ...later];
}

/** What an imagined proxy is told apart by. */
export interface ImaginedPod {
	readonly name: string;
	readonly namespace: string;
	readonly ips: readonly string[];
	readonly labels: Readonly<Record<string, string>>;
	readonly serviceAccount: string;
	readonly workloadName: string;
	readonly nodeName: string;
}

/** The proxy of a pod, as it would introduce itself: a gateway's if the pod is one. */
export function proxyNodeOf(pod: ImaginedPod, push: PushSnapshot): ProxyNode {
	const { name, namespace, ips, labels, serviceAccount, workloadName, nodeName } = pod;
	const isGateway = isGatewayPod(pod, push);
	const id = `${isGateway ? "router" : "sidecar"}~${ips[0] ?? "0.0.0.0"}~${name}.${namespace}~${namespace}.svc.cluster.local`;
	const network = labels["topology.istio.io/network"];
	const metadata = {
		NAME: name,
		NAMESPACE: namespace,
		CLUSTER_ID: "Kubernetes",
		MESH_ID: "cluster.local",
		ISTIO_VERSION: "1.30.3",
		...(!isGateway && { INTERCEPTION_MODE: "REDIRECT" }),
		INSTANCE_IPS: ips.join(","),
		LABELS: labels,
		SERVICE_ACCOUNT: serviceAccount,
		WORKLOAD_NAME: workloadName,
		NODE_NAME: nodeName,
		// As injection writes it.
		...(network !== undefined && { NETWORK: network }),
	};
	return decodeNode(Node.fromPartial({ id, cluster: `${labels["app"] ?? workloadName}.${namespace}`, metadata }), push);
}

/** The values of the label `istio` on the gateways that Istio's own charts and samples install. */
const installedGateways: ReadonlySet<string | undefined> = new Set(["ingressgateway", "egressgateway", "eastwestgateway"]);

/** A pod does not say so itself unless it was injected; its labels do: those of Istio's installations, of the Gateway API, or that a Gateway selects. */
function isGatewayPod({ labels }: ImaginedPod, { gateways }: PushSnapshot): boolean {
	if (installedGateways.has(labels["istio"]) || labels["gateway.networking.k8s.io/gateway-name"] !== undefined) return true;
	return gateways.some(({ selector }) => {
		const wanted = Object.entries(selector ?? {});
		return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
	});
}
