import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Agent } from "node:https";
import type { Clock } from "@weft/runtime";

/** What a request to the API server carries besides its content. */
export interface KubeCredentials {
	readonly headers: Readonly<Record<string, string>>;
	readonly ca?: string;
	readonly cert?: string;
	readonly key?: string;
	readonly servername?: string;
	readonly rejectUnauthorized?: boolean;
	/** Where a kubeconfig names a proxy. */
	readonly agent?: Agent;
}

/** An API server, and how to show who one is. */
export interface KubeConnection {
	readonly server: URL;
	/** The namespace that the kubeconfig's context or the pod is in. */
	readonly namespace: string;
	/** Read again from file or exec plugin as they are renewed. Rejects when they cannot be read. */
	credentials(): Promise<KubeCredentials>;
}

/** Credentials are read again after so long: kubelet renews a pod's token at 80 % of an hour. */
const credentialsAgeMsMax = 10_000;
const serviceAccountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount";

export interface InClusterOptions {
	readonly clock: Clock;
	readonly environment?: Readonly<Record<string, string | undefined>>;
	/** Where kubelet puts token, ca.crt and namespace. */
	readonly directory?: string;
}

/** The pod's own service account, or undefined outside a cluster. https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ */
export async function inClusterConnection(options: InClusterOptions): Promise<KubeConnection | undefined> {
	const { environment = process.env, directory = serviceAccountDirectory, clock } = options;
	const host = environment["KUBERNETES_SERVICE_HOST"];
	const port = environment["KUBERNETES_SERVICE_PORT"];
	if (!host || !port) return undefined;
	const read = (name: string) => readFile(join(directory, name), "utf8");
	const namespace = await read("namespace").catch(() => environment["POD_NAMESPACE"] ?? "default");
	return {
		server: new URL(`https://${host.includes(":") ? `[${host}]` : host}:${port}`),
		namespace: namespace.trim(),
		credentials: cached(clock, async () => {
			const [token, ca] = await Promise.all([read("token"), read("ca.crt")]);
			return { headers: { authorization: `Bearer ${token.trim()}` }, ca };
		}),
	};
}

export interface KubeconfigOptions {
	readonly clock: Clock;
	/** Undefined: $KUBECONFIG, then ~/.kube/config. */
	readonly file?: string;
	readonly context?: string;
}

/** A kubeconfig with everything that it may say, exec plugins included. Rejects with a message that names the file or context. */
export async function kubeconfigConnection({ file, context, clock }: KubeconfigOptions): Promise<KubeConnection> {
	const config = await loadKubeConfig(file, context);
	const cluster = config.getCurrentCluster();
	if (!cluster) throw new Error(`kubeconfig ${file ?? ""}: context "${config.getCurrentContext()}" names no cluster`);
	// What the library makes up where there is nothing to read.
	if (config.getCurrentContext() === "loaded-context" && cluster.server === "http://localhost:8080")
		throw new Error("no cluster is configured; set KUBECONFIG, or name a file");
	return {
		server: new URL(cluster.server),
		namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? "default",
		credentials: cached(clock, async () => {
			const options: Record<string, unknown> = {};
			await config.applyToHTTPSOptions(options);
			return decodeCredentials(options, cluster.proxyUrl !== undefined);
		}),
	};
}

/** @kubernetes/client-node costs 80 MB: it is loaded only where a kubeconfig is used. */
export async function loadKubeConfig(file: string | undefined, context: string | undefined) {
	const { KubeConfig } = await import("@kubernetes/client-node");
	const config = new KubeConfig();
	if (file === undefined) config.loadFromDefault();
	else config.loadFromFile(file);
	if (context !== undefined) {
		if (!config.getContextObject(context)) throw new Error(`kubeconfig ${file ?? ""}: there is no context "${context}"`);
		config.setCurrentContext(context);
	}
	return config;
}

function decodeCredentials(options: Readonly<Record<string, unknown>>, isProxied: boolean): KubeCredentials {
	const text = (name: string) => {
		const value = options[name];
		if (value === undefined || value === null) return {};
		return { [name]: Buffer.isBuffer(value) ? value.toString("utf8") : String(value) };
	};
	const { auth, headers, rejectUnauthorized, agent } = options;
	return {
		headers: {
			...(headers as Readonly<Record<string, string>> | undefined),
			...(typeof auth === "string" && { authorization: `Basic ${Buffer.from(auth).toString("base64")}` }),
		},
		...text("ca"),
		...text("cert"),
		...text("key"),
		...text("servername"),
		...(typeof rejectUnauthorized === "boolean" && { rejectUnauthorized }),
		...(isProxied && agent !== undefined && { agent: agent as Agent }),
	};
}

/** Reads at most once in ten seconds, and once for all who ask together; what was read last serves on while a reading fails. */
function cached(clock: Clock, read: () => Promise<KubeCredentials>): () => Promise<KubeCredentials> {
	let value: KubeCredentials | undefined;
	let readAtMs = 0;
	let reading: Promise<KubeCredentials> | undefined;
	return () => {
		if (value !== undefined && clock.monotonicMs() - readAtMs < credentialsAgeMsMax) return Promise.resolve(value);
		reading ??= read()
			.then(
				(fresh) => {
					value = fresh;
					readAtMs = clock.monotonicMs();
					return fresh;
				},
				(error: unknown) => {
					if (value === undefined) throw error;
					return value;
				},
			)
			.finally(() => {
				reading = undefined;
			});
		return reading;
	};
}
