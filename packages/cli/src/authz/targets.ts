import { endpointsOf, type PushSnapshot, type Service } from "@weft/pilot";
import type { ImaginedPod } from "../offline/push.ts";
import { CommandError } from "../output/errors.ts";

/** A service port, and the workloads behind it that policies can tell apart. */
export interface Target {
	readonly service: Service;
	/** Container port. */
	readonly port: number;
	readonly pods: readonly ImaginedPod[];
}

/** How a client in `namespace` may write the host. */
function spellings(host: string, namespace: string): readonly string[] {
	return [host, `${host}.${namespace}.svc.cluster.local`, `${host}.svc.cluster.local`, `${host}.cluster.local`].map((name) => name.replace(/\.$/, ""));
}

/** Throws a CommandError that lists what there is when the host or its port is not known. */
export function resolveTarget(push: PushSnapshot, host: string, port: number, namespace: string): Target {
	const service = spellings(host, namespace).flatMap((name) => push.servicesByHost.get(name) ?? [])[0];
	if (service === undefined) {
		const known = push.services.map(({ hostname }) => hostname).slice(0, 10);
		throw new CommandError(`no service ${host} is known to a client in namespace ${namespace}; services: ${known.join(", ") || "none"}`);
	}
	const served = service.ports.find((each) => each.port === port);
	if (served === undefined)
		throw new CommandError(`${service.hostname} has no port ${port}; it has ${service.ports.map((each) => each.port).join(", ") || "none"}`);
	const endpoints = endpointsOf(push, service, served.name);
	const pods = endpoints.map(({ podName, workloadName, namespace: home, labels, address, serviceAccount, nodeName }) => ({
		name: podName || workloadName || service.name,
		namespace: home,
		ips: [address],
		labels,
		serviceAccount,
		workloadName,
		nodeName,
	}));
	const target = Number(served.targetPort);
	const containerPort = endpoints[0]?.port ?? (target > 0 ? target : served.port);
	return { service, port: containerPort, pods: pods.length > 0 ? pods : [unknownPod(service)] };
}

/** Files often hold a Service and its policies, and no pods: then the Service's selector is what is known of their labels. */
function unknownPod({ name, namespace, selector }: Service): ImaginedPod {
	return { name, namespace, ips: ["192.0.2.1"], labels: selector ?? {}, serviceAccount: "default", workloadName: name, nodeName: "" };
}
