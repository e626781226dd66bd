import { hasErrors } from "@weft/api";
import { admitObjects, createStore, decodeYaml } from "@weft/galley";
import { buildPush, decodeNode, objectChecks, type ProxyNode, type PushSnapshot } from "@weft/pilot";
import { Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { readMeshConfig, readMeshNetworks } from "../commands/mesh-config.ts";
import { readSources } from "../local/mesh-client.ts";
import { CommandError, printDiagnostics } from "../output/errors.ts";

/** The mesh that files describe, without any control plane running. Throws a CommandError when some part of them is refused. */
export function pushOfFiles(filename: readonly string[], meshConfig: string | undefined, meshNetworks?: string): PushSnapshot {
	const decoded = readSources(filename).map(({ file, text }) => decodeYaml(text, file));
	const store = createStore();
	const admitted = admitObjects(
		decoded.flatMap((d) => d.objects),
		store.snapshot(),
		objectChecks,
	);
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

/** What an imagined sidecar is told apart by. */
export interface ImaginedPod {
	readonly name: string;
	readonly namespace: string;
	readonly ips: readonly string[];
	readonly labels: Readonly<Record<string, string>>;
	readonly serviceAccount: string;
	readonly workloadName: string;
	readonly nodeName: string;
}

/** The sidecar of a pod, as it would introduce itself. */
export function sidecarNodeOf({ name, namespace, ips, labels, serviceAccount, workloadName, nodeName }: ImaginedPod, push: PushSnapshot): ProxyNode {
	const id = `sidecar~${ips[0] ?? "0.0.0.0"}~${name}.${namespace}~${namespace}.svc.cluster.local`;
	const network = labels["topology.istio.io/network"];
	const metadata = {
		NAME: name,
		NAMESPACE: namespace,
		CLUSTER_ID: "Kubernetes",
		MESH_ID: "cluster.local",
		ISTIO_VERSION: "1.30.3",
		INTERCEPTION_MODE: "REDIRECT",
		INSTANCE_IPS: ips.join(","),
		LABELS: labels,
		SERVICE_ACCOUNT: serviceAccount,
		WORKLOAD_NAME: workloadName,
		NODE_NAME: nodeName,
		// As injection writes it.
		...(network !== undefined && { NETWORK: network }),
	};
	return decodeNode(Node.fromPartial({ id, cluster: `${name}.${namespace}`, metadata }), push);
}
