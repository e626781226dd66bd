import type { Service } from "../../model/service.ts";
import { outboundClusterName } from "../routes/cluster-name.ts";

/** Where an extension provider is reached: the cluster that every proxy has for its service. */
export interface ProviderService {
	readonly hostname: string;
	readonly cluster: string;
}

export type ServicesByHost = ReadonlyMap<string, readonly Service[]>;

/** `[namespace/]host`. Undefined where there is no such service, or several and the namespace does not say which. */
export function resolveProviderService(services: ServicesByHost, service: string, port: number): ProviderService | undefined {
	const slash = service.indexOf("/");
	const host = service.slice(slash + 1);
	const found = services.get(host) ?? [];
	const namespaces = new Set(found.map(({ namespace }) => namespace));
	const known = slash < 0 ? namespaces.size === 1 : namespaces.has(service.slice(0, slash));
	if (!known || port < 1 || port > 65_535) return undefined;
	return { hostname: host, cluster: outboundClusterName(port, "", host) };
}

/** A gRPC service that Envoy calls through that cluster. */
export function envoyGrpc({ hostname, cluster }: ProviderService, options: object = {}): object {
	return { envoyGrpc: { clusterName: cluster, authority: hostname }, ...options };
}
