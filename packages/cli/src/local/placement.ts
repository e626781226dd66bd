import type { ConfigObject, KubeServicePort } from "@weft/api";
import type { PortAllocator } from "./ports.ts";
import type { DesiredPod } from "./workloads.ts";

/** Where a pod's parts listen on this machine. */
export interface Placement {
	readonly podIp: string;
	/** Container port → where the sidecar takes it, and where the application was told to listen. `ip:port`. */
	readonly inbound: Readonly<Record<string, { readonly bind: string; readonly endpoint: string }>>;
	/** `host:port` of a service → `ip:port` at which this pod's sidecar offers it. */
	readonly outbound: Readonly<Record<string, string>>;
	readonly httpProxyPort: number;
	readonly adminPort: number;
}

export interface Offered {
	readonly host: string;
	readonly name: string;
	readonly namespace: string;
	readonly port: number;
	readonly portName: string;
	readonly http: boolean;
}

/** Every port of every Service, with the name under which the mesh knows it. */
export function offeredPorts(services: readonly ConfigObject<"Service">[]): Offered[] {
	return services.flatMap(({ metadata, spec }) =>
		(spec.ports ?? [])
			.filter((p) => (p.protocol ?? "TCP") === "TCP" && spec.type !== "ExternalName")
			.map((p) => ({
				host: `${metadata.name}.${metadata.namespace}.svc.cluster.local`,
				name: metadata.name,
				namespace: metadata.namespace,
				port: p.port,
				portName: p.name ?? "",
				http: speaksHttp1(p),
			})),
	);
}

/** Ports that an HTTP_PROXY reaches; all others (TCP, gRPC, unnamed) are offered on an address of their own. */
function speaksHttp1(port: KubeServicePort): boolean {
	const protocol = port.appProtocol ?? port.name ?? "";
	return /^http(-|$)/i.test(protocol);
}

/**
 * Linux has the whole of 127.0.0.0/8, so every pod gets an address of its own and keeps its ports. Elsewhere only
 * 127.0.0.1 is there, and every port gets a number of its own.
 */
export function podAddress(index: number, mesh: number, platform: NodeJS.Platform): string {
	if (platform !== "linux") return "127.0.0.1";
	return `127.${10 + (mesh % 200)}.${Math.floor(index / 250)}.${(index % 250) + 2}`;
}

export async function placePod(pod: DesiredPod, podIp: string, offered: readonly Offered[], ports: PortAllocator, everything: boolean): Promise<Placement> {
	const id = `${pod.namespace}/${pod.name}`;
	const own = podIp !== "127.0.0.1";
	const inbound: Record<string, { bind: string; endpoint: string }> = {};
	for (const { containerPort } of pod.containers.flatMap((c) => c.ports)) {
		const bind = own ? containerPort : await ports.take(`${id}/in/${containerPort}`);
		inbound[containerPort] = { bind: `${podIp}:${bind}`, endpoint: `127.0.0.1:${await ports.take(`${id}/app/${containerPort}`)}` };
	}
	const outbound: Record<string, string> = {};
	for (const { host, port, http } of offered) {
		if (!everything && http) continue;
		outbound[`${host}:${port}`] = `127.0.0.1:${await ports.take(`${id}/out/${host}:${port}`)}`;
	}
	return { podIp, inbound, outbound, httpProxyPort: await ports.take(`${id}/proxy`), adminPort: await ports.take(`${id}/admin`) };
}

/** The port at which the sidecar of a pod takes connections for a container port. */
export function boundPort(placement: Placement, containerPort: number): number | undefined {
	const bind = placement.inbound[containerPort]?.bind;
	return bind === undefined ? undefined : Number(bind.slice(bind.lastIndexOf(":") + 1));
}
