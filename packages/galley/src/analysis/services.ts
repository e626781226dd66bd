import { type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import type { MeshView } from "./mesh-view.ts";

/** https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/ */
const protocols = ["grpc-web", "grpc", "http2", "https", "http", "hbone", "mongo", "mysql", "redis", "tcp", "tls", "udp"];
const systemNamespaces: ReadonlySet<string> = new Set(["kube-system", "kube-public", "kube-node-lease", "istio-system", "local-path-storage"]);

function protocolOf(name: string): string | undefined {
	const lower = name.toLowerCase();
	return protocols.find((protocol) => lower === protocol || lower.startsWith(`${protocol}-`));
}

/** The name of a Service's port says its protocol; without one it is sniffed. */
export function analyzePortNames(view: MeshView): readonly Diagnostic[] {
	return view.concerned("Service").flatMap((object) => {
		if (systemNamespaces.has(object.metadata.namespace)) return [];
		return (object.spec.ports ?? []).flatMap((port, i): readonly Diagnostic[] => {
			const name = port.name ?? "";
			const protocol = protocolOf(name);
			const path = ["spec", "ports", i];
			if (object.spec.type === "ExternalName") {
				if (protocol !== undefined && protocol !== "tcp") return [];
				const message =
					"Port name for ExternalName service is invalid. Proxy may prevent tcp named ports and unmatched traffic for ports serving TCP protocol from being forwarded correctly; name it by its protocol, like http";
				return [diagnosticAt(object, "warning", diagnosticCodes.externalNameServicePort, path, message)];
			}
			if (protocol !== undefined || port.appProtocol || port.protocol === "UDP") return [];
			const message = `Port name ${name} (port: ${port.port}, targetPort: ${port.targetPort ?? 0}) doesn't follow the naming convention of Istio port; its protocol is detected by its first bytes`;
			return [diagnosticAt(object, "info", diagnosticCodes.portNameNotUnderConvention, path, message)];
		});
	});
}
