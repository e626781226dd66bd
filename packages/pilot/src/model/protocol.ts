import type { Protocol } from "./service.ts";

// https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/

const byPrefix: ReadonlyMap<string, Protocol> = new Map([
	["http", "HTTP"],
	["http2", "HTTP2"],
	["grpc", "GRPC"],
	["grpc-web", "GRPC-Web"],
	["https", "HTTPS"],
	["tcp", "TCP"],
	["tls", "TLS"],
	["udp", "UDP"],
	["mongo", "Mongo"],
	["redis", "Redis"],
	["mysql", "MySQL"],
]);

/** Ports whose protocol lets the server speak first, so that sniffing them would hang. */
const serverFirstPorts: ReadonlySet<number> = new Set([25, 53, 3306, 27017]);

/** `http-web` → HTTP, whatever begins with `grpc-web` → GRPC-Web; undefined when the name says nothing. */
function protocolOfName(name: string): Protocol | undefined {
	const lower = name.toLowerCase();
	if (lower.startsWith("grpc-web")) return "GRPC-Web";
	const dash = lower.indexOf("-");
	return byPrefix.get(dash < 0 ? lower : lower.slice(0, dash));
}

function protocolOfAppProtocol(appProtocol: string): Protocol | undefined {
	const lower = appProtocol.toLowerCase();
	if (lower === "kubernetes.io/h2c") return "HTTP2";
	if (lower === "kubernetes.io/ws") return "HTTP";
	if (lower === "kubernetes.io/wss") return "HTTPS";
	return byPrefix.get(lower);
}

/** Protocol of a Kubernetes Service port: appProtocol where it is known, then the port's name, then well-known ports. */
export function kubernetesProtocol(port: number, name: string, transport: string, appProtocol: string | undefined): Protocol {
	if (transport === "UDP") return "UDP";
	const declared = appProtocol === undefined ? undefined : protocolOfAppProtocol(appProtocol);
	return declared ?? protocolOfName(appProtocol ?? name) ?? (serverFirstPorts.has(port) ? "TCP" : "Auto");
}

/** Protocol of a port of a ServiceEntry or a Sidecar (`protocol: HTTP`): unlike a Service's, its name says nothing. */
export function declaredProtocol(protocol: string | undefined): Protocol {
	return byPrefix.get(protocol?.toLowerCase() ?? "") ?? "Auto";
}

export const isHttp = (protocol: Protocol): boolean => protocol === "HTTP" || isHttp2(protocol) || protocol === "GRPC-Web";
/** Protocols whose upstream connections are always HTTP/2. */
export const isHttp2 = (protocol: Protocol): boolean => protocol === "HTTP2" || protocol === "GRPC" || protocol === "GRPC-Web";
export const isGrpc = (protocol: Protocol): boolean => protocol === "GRPC" || protocol === "GRPC-Web";
export const isTls = (protocol: Protocol): boolean => protocol === "TLS" || protocol === "HTTPS";
