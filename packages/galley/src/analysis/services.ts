import { type ConfigObject, type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import type { MeshView } from "./mesh-view.ts";

/** https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/ */
const protocols = ["grpc-web", "grpc", "http2", "https", "http", "hbone", "mongo", "mysql", "redis", "tcp", "tls", "udp"];
const systemNamespaces: ReadonlySet<string> = new Set(["kube-system", "kube-public", "kube-node-lease", "local-path-storage"]);
/** Here the server speaks first (SMTP, DNS, MySQL, MongoDB): without a name they are plain TCP. */
const serverFirstPorts: ReadonlySet<number> = new Set([25, 53, 3306, 27017]);
/** Protocols that Kubernetes itself names. */
const kubernetesProtocols: ReadonlySet<string> = new Set(["kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"]);

function protocolOf(name: string): string | undefined {
	const lower = name.toLowerCase();
	return protocols.find((protocol) => lower === protocol || lower.startsWith(`${protocol}-`));
}

/** The name of a Service's port says its protocol; without one it is sniffed. */
export function analyzePortNames(view: MeshView): readonly Diagnostic[] {
	return view.concerned("Service").flatMap((object) => {
		if (systemNamespaces.has(object.metadata.namespace) || isOfIstio(object)) return [];
		return (object.spec.ports ?? []).flatMap((port, i): readonly Diagnostic[] => {
			const name = port.name ?? "";
			// What the application says of itself is read first.
			const said = port.appProtocol ?? name;
			const protocol = kubernetesProtocols.has(said) ? "http2" : protocolOf(said);
			const path = ["spec", "ports", i];
			if (object.spec.type === "ExternalName") {
				if (name !== "tcp" && isClear(protocol, port)) return [];
				const message =
					"Port name for ExternalName service is invalid. Proxy may prevent tcp named ports and unmatched traffic for ports serving TCP protocol from being forwarded correctly; name it by its protocol, like http";
				return [diagnosticAt(object, "warning", diagnosticCodes.externalNameServicePort, path, message)];
			}
			if (isClear(protocol, port)) return [];
			const message = `Port name ${name} (port: ${port.port}, targetPort: ${port.targetPort ?? 0}) doesn't follow the naming convention of Istio port; its protocol is detected by its first bytes`;
			return [diagnosticAt(object, "info", diagnosticCodes.portNameNotUnderConvention, path, message)];
		});
	});
}

function isClear(protocol: string | undefined, port: { readonly port: number; readonly protocol?: string | undefined }): boolean {
	return protocol !== undefined || port.protocol === "UDP" || serverFirstPorts.has(port.port);
}

/** The control plane's own and those of gateways that it deploys. */
function isOfIstio({ metadata: { labels } }: ConfigObject<"Service">): boolean {
	const manager = labels["gateway.istio.io/managed"];
	return labels["istio"] !== undefined || labels["release"] === "istio" || (manager !== undefined && manager.startsWith("istio.io-"));
}
