import { spawn } from "node:child_process";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { text } from "node:stream/consumers";

/** The cluster of KUBECONFIG, by `kubectl proxy`: it has the credentials, and adds a fraction of a millisecond. */
export interface ClusterApi {
	/** Rejects with what the API server says where the status is not 2xx. */
	call<T>(method: "DELETE" | "GET" | "PATCH" | "POST", path: string, body?: object): Promise<T>;
	/** A page of a pod's own HTTP server, as text. */
	podPage(namespace: string, pod: string, port: number, path: string): Promise<string>;
	close(): void;
}

const connectionsMax = 32;

export async function openClusterApi(): Promise<ClusterApi> {
	const proxy = spawn("kubectl", ["proxy", "--port=0"], { stdio: ["ignore", "pipe", "inherit"] });
	const [line] = (await once(proxy.stdout, "data")) as [Buffer];
	const port = Number(/:(\d+)\s*$/.exec(line.toString().trim())?.[1]);
	if (!Number.isInteger(port)) throw new Error(`kubectl proxy said ${line.toString()}`);
	const agent = new Agent({ keepAlive: true, maxSockets: connectionsMax });
	const send = (method: string, path: string, body?: object) =>
		new Promise<string>((resolve, reject) => {
			const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
			const sent = request({ host: "127.0.0.1", port, method, path, agent, headers: body === undefined ? {} : { "content-type": type } }, (response) => {
				const status = response.statusCode ?? 0;
				text(response).then(
					(answer) => (status >= 200 && status < 300 ? resolve(answer) : reject(new Error(`${method} ${path}: ${status} ${answer}`))),
					reject,
				);
			});
			sent.on("error", reject);
			sent.end(body === undefined ? undefined : JSON.stringify(body));
		});
	return {
		call: async (method, path, body) => JSON.parse(await send(method, path, body)),
		podPage: (namespace, pod, of, path) => send("GET", `/api/v1/namespaces/${namespace}/pods/${pod}:${of}/proxy${path}`),
		close: () => {
			agent.destroy();
			proxy.kill();
		},
	};
}

export interface PodObject {
	readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
	readonly status: {
		readonly phase?: string;
		readonly conditions?: readonly { readonly type: string; readonly status: string }[];
		readonly initContainerStatuses?: readonly ContainerState[];
		readonly containerStatuses?: readonly ContainerState[];
	};
}

interface ContainerState {
	readonly name: string;
	readonly ready: boolean;
	readonly started?: boolean;
}

export async function podsOf(api: ClusterApi, namespace: string, labelSelector = ""): Promise<readonly PodObject[]> {
	const query = labelSelector === "" ? "" : `?labelSelector=${encodeURIComponent(labelSelector)}`;
	const { items } = await api.call<{ readonly items: readonly PodObject[] }>("GET", `/api/v1/namespaces/${namespace}/pods${query}`);
	return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

export const isReady = ({ status }: PodObject): boolean => status.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false;

export function isProxyReady({ status }: PodObject): boolean {
	const all = [...(status.containerStatuses ?? []), ...(status.initContainerStatuses ?? [])];
	return all.some(({ name, ready, started }) => name === "istio-proxy" && (ready || started === true));
}
