import { resourceOf } from "@weft/kube";
import { type Cluster, pods as podType, runningPods } from "../kube/cluster.ts";
import { CommandError } from "../output/errors.ts";
import { parseDump, type ProxyDump } from "../proxy-config/dump.ts";

export interface ClusterTarget {
	readonly hostname: string;
	readonly port: number;
	readonly pods: readonly { readonly name: string; readonly ip: string; readonly dump: ProxyDump }[];
}

interface ServiceSpec {
	readonly selector?: Readonly<Record<string, string>>;
	readonly ports?: readonly { readonly port: number; readonly targetPort?: number | string }[];
}

interface PodParts {
	readonly spec?: { readonly containers?: readonly { readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[] }[] };
	readonly status?: { readonly podIP?: string };
}

const services = resourceOf("Service");
const adminPort = 15_000;
/** Pods of one Deployment run the same policies: a few are enough, several because subsets may differ. */
const podsMax = 10;

/** The pods behind a Service of a cluster, with what their proxies run now. */
export async function clusterTarget(
	cluster: Cluster,
	asked: { readonly host: string; readonly servicePort: number; readonly namespace: string },
): Promise<ClusterTarget> {
	const [name = "", namespace = asked.namespace] = asked.host.split(".");
	const service = await cluster.client.get(services, namespace, name);
	if (!service) throw new CommandError(`there is no Service ${namespace}/${name}`);
	const { selector, ports = [] } = ((service as { readonly spec?: ServiceSpec }).spec ?? {}) satisfies ServiceSpec;
	const port = ports.find((each) => each.port === asked.servicePort);
	if (port === undefined)
		throw new CommandError(`Service ${namespace}/${name} has no port ${asked.servicePort}; it has ${ports.map((each) => each.port).join(", ") || "none"}`);
	const labels = Object.entries(selector ?? {}).map(([key, value]) => `${key}=${value}`);
	if (labels.length === 0) throw new CommandError(`Service ${namespace}/${name} has no selector: which pods it leads to is not known`);
	const found = (await runningPods(cluster, namespace, labels.join(","))).slice(0, podsMax);
	if (found.length === 0) throw new CommandError(`Service ${namespace}/${name} has no running pod`);
	const first = (await cluster.client.get(podType, namespace, found[0]?.name ?? "")) as PodParts | undefined;
	const named = first?.spec?.containers?.flatMap((container) => container.ports ?? []).find((each) => each.name === port.targetPort)?.containerPort;
	const pods = await Promise.all(
		found.map(async (pod) => {
			const parts = (await cluster.client.get(podType, pod.namespace, pod.name)) as PodParts | undefined;
			const dump = parseDump(await cluster.get(pod, adminPort, "/config_dump"), pod.name);
			return { name: `${pod.name}.${pod.namespace}`, ip: parts?.status?.podIP ?? "", dump };
		}),
	);
	const target = typeof port.targetPort === "number" ? port.targetPort : (named ?? port.port);
	return { hostname: `${name}.${namespace}.svc.cluster.local`, port: target, pods };
}
