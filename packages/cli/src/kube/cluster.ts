import {
	createKubeClient,
	createKubeTransport,
	forwardPort,
	type KubeClient,
	type KubeObject,
	kubeconfigConnection,
	type ResourceType,
	resourceOf,
} from "@weft/kube";
import { systemClock } from "@weft/runtime";
import { CommandError } from "../output/errors.ts";

export interface ClusterOptions {
	readonly kubeconfig?: string;
	readonly context?: string;
}

export interface PodName {
	readonly name: string;
	readonly namespace: string;
}

/** The cluster that kubeconfig names, for commands that look into it. */
export interface Cluster {
	readonly client: KubeClient;
	/** The namespace of the kubeconfig's context. */
	readonly namespace: string;
	/** GET of a port inside a pod, over a port-forward that ends with it. Rejects with the pod's name in the message. */
	get(pod: PodName, port: number, path: string): Promise<string>;
}

export const deployments: ResourceType = resourceOf("Deployment");
export const pods: ResourceType = resourceOf("Pod");

const timeoutMs = 30_000;

/** Rejects with a CommandError where there is no usable kubeconfig. */
export async function openCluster({ kubeconfig, context }: ClusterOptions): Promise<Cluster> {
	const options = { ...(kubeconfig !== undefined && { file: kubeconfig }), ...(context !== undefined && { context }) };
	const connection = await kubeconfigConnection({ ...options, clock: systemClock }).catch((error: unknown) => {
		throw new CommandError(`kubeconfig: ${error instanceof Error ? error.message : String(error)}`);
	});
	return {
		client: createKubeClient(createKubeTransport(connection)),
		namespace: connection.namespace,
		async get({ name, namespace }, port, path) {
			const ended = new AbortController();
			const failures: string[] = [];
			const forward = { ...(kubeconfig !== undefined && { kubeconfig }), ...(context !== undefined && { context }) };
			try {
				const localPort = await forwardPort({ ...forward, namespace, pod: name, port, signal: ended.signal, onError: (error) => failures.push(error.message) });
				const response = await fetch(`http://127.0.0.1:${localPort}${path}`, { signal: AbortSignal.timeout(timeoutMs), headers: { connection: "close" } });
				const body = await response.text();
				if (response.status !== 200) throw new CommandError(`${name}.${namespace}:${port}${path} answers ${response.status}: ${body.slice(0, 200).trim()}`);
				return body;
			} catch (error) {
				if (error instanceof CommandError) throw error;
				throw new CommandError(`${name}.${namespace}:${port}${path}: ${failures[0] ?? String((error as Error).cause ?? error)}`);
			} finally {
				ended.abort();
			}
		},
	};
}

/** `POD`, `POD.NAMESPACE` or `deployment/NAME[.NAMESPACE]`, as istioctl takes them. */
export async function resolvePod(cluster: Cluster, argument: string, namespace = cluster.namespace): Promise<PodName> {
	const [, kind = "pod", rest = argument] = /^(?:(\w+)\/)?(.+)$/.exec(argument) ?? [];
	const dot = rest.indexOf(".");
	const [name, home] = dot < 0 ? [rest, namespace] : [rest.slice(0, dot), rest.slice(dot + 1)];
	if (/^(pods?|po)$/.test(kind)) return { name, namespace: home };
	if (!/^(deployments?|deploy)$/.test(kind)) throw new CommandError(`${argument}: write POD, POD.NAMESPACE or deployment/NAME`);
	const deployment = await cluster.client.get(deployments, home, name);
	if (!deployment) throw new CommandError(`there is no Deployment ${home}/${name}`);
	const labels =
		(deployment as { readonly spec?: { readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> } } }).spec?.selector?.matchLabels ?? {};
	const labelSelector = Object.entries(labels)
		.map(([key, value]) => `${key}=${value}`)
		.join(",");
	const [pod] = await runningPods(cluster, home, labelSelector);
	if (!pod) throw new CommandError(`Deployment ${home}/${name} has no running pod`);
	return pod;
}

export async function runningPods({ client }: Cluster, namespace: string, labelSelector: string): Promise<readonly PodName[]> {
	const { items } = await client.list(pods, { namespace, labelSelector });
	return items
		.filter((pod) => phaseOf(pod) === "Running" && pod.metadata.deletionTimestamp === undefined)
		.map(({ metadata }) => ({ name: metadata.name, namespace: metadata.namespace ?? namespace }));
}

function phaseOf(pod: KubeObject): string | undefined {
	return (pod["status"] as { readonly phase?: string } | undefined)?.phase;
}
