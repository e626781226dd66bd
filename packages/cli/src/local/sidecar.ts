import { join } from "node:path";
import { issueLocalToken } from "@weft/citadel";
import type { ChildSpec } from "./child.ts";
import type { Placement } from "./placement.ts";
import { proxyEnvironment, proxyProgram } from "./programs.ts";
import { type StatePaths, workloadSocket, writeSecret } from "./state.ts";
import type { DesiredPod } from "./workloads.ts";

/** Tokens of local workloads outlive any session on a laptop; the launcher issues new ones at every start. */
const tokenLifetimeS = 30 * 24 * 3600;

export interface SidecarContext {
	readonly paths: StatePaths;
	readonly tokenKey: Uint8Array;
	readonly discoveryAddress: string;
	readonly nowMs: number;
	readonly concurrency: number;
	/** Lifetime that sidecars ask for, as Istio's agent takes it (SECRET_TTL); undefined: 24 h. */
	readonly certificateTtl: string | undefined;
	/** Path of an Envoy binary for pods that ask for one. */
	readonly envoy: string | undefined;
}

/** What Istio's agent puts into the node metadata, and where this sidecar listens instead of capturing. */
function nodeMetadata(pod: DesiredPod, placement: Placement): Record<string, unknown> {
	return {
		NAME: pod.name,
		NAMESPACE: pod.namespace,
		CLUSTER_ID: "Kubernetes",
		MESH_ID: "cluster.local",
		ISTIO_VERSION: "1.30.3",
		INSTANCE_IPS: placement.podIp,
		INTERCEPTION_MODE: "NONE",
		HTTP_PROXY_PORT: String(placement.httpProxyPort),
		LABELS: pod.labels,
		SERVICE_ACCOUNT: pod.serviceAccount,
		WORKLOAD_NAME: pod.workload,
		OWNER: `kubernetes://apis/apps/v1/namespaces/${pod.namespace}/deployments/${pod.workload}`,
		WEFT_LOCAL: { inbound: placement.inbound, outbound: placement.outbound },
	};
}

export function nodeId(pod: DesiredPod, placement: Placement): string {
	return `sidecar~${placement.podIp}~${pod.name}.${pod.namespace}~${pod.namespace}.svc.cluster.local`;
}

/** Writes the pod's token and metadata, and says how its sidecar is started. */
export function sidecarSpec(pod: DesiredPod, placement: Placement, context: SidecarContext): ChildSpec {
	const { paths, discoveryAddress } = context;
	const file = `${pod.namespace}.${pod.name}`;
	const exp = Math.floor(context.nowMs / 1000) + tokenLifetimeS;
	const token = join(paths.tokens, file);
	writeSecret(token, issueLocalToken(context.tokenKey, { ns: pod.namespace, sa: pod.serviceAccount, pod: pod.name, exp }));
	const metadata = join(paths.tokens, `${file}.metadata.json`);
	writeSecret(metadata, JSON.stringify(nodeMetadata(pod, placement)));
	const socket = workloadSocket(paths, pod);
	const common = [
		"--discovery-address",
		discoveryAddress,
		"--ca-address",
		discoveryAddress,
		"--root-cert",
		join(paths.root, "root-cert.pem"),
		"--token-file",
		token,
		// Who plugs a CA in there may keep revocation lists beside it, as in the Secret cacerts.
		"--crl-file",
		join(paths.ca, "ca-crl.pem"),
		...(socket === undefined ? [] : ["--workload-socket", socket]),
	];
	const node = ["--node-id", nodeId(pod, placement), "--node-metadata", `@${metadata}`];
	const cluster = `${pod.workload}.${pod.namespace}`;
	const place = ["--admin-port", String(placement.adminPort), "--state-dir", join(paths.root, "proxies", file)];
	const command = pod.foreignEnvoy
		? [
				...proxyProgram(),
				"agent",
				...common,
				...node,
				"--service-cluster",
				cluster,
				...place,
				"--envoy",
				context.envoy ?? "",
				"--",
				"--concurrency",
				String(context.concurrency),
				"-l",
				"warning",
			]
		: [...proxyProgram(), "sidecar", ...common, ...node, "--node-cluster", cluster, ...place, "--concurrency", String(context.concurrency)];
	return {
		name: `sidecar ${pod.name}`,
		command,
		env: { ...proxyEnvironment(), ...(context.certificateTtl === undefined ? {} : { SECRET_TTL: context.certificateTtl }) },
		workingDir: paths.root,
		logFile: join(paths.logs, `${file}.proxy.log`),
	};
}
