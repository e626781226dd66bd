import { join } from "node:path";

/** Kubernetes and Istio YAML for the tests, as small as it can be written. */

export interface WorkloadYaml {
	readonly name: string;
	readonly version?: string;
	/** A file of `apps/`. */
	readonly app: string;
	readonly ports: readonly number[];
	readonly replicas?: number;
	readonly namespace?: string;
	readonly env?: Readonly<Record<string, string>>;
	/** false: runs without a sidecar. */
	readonly sidecar?: boolean;
}

/** A Deployment `name-version` whose pods carry the labels `app` and `version` and run as service account `name`. */
export function workload({ name, version = "v1", app, ports, replicas = 1, namespace = "default", env = {}, sidecar = true }: WorkloadYaml): string {
	const labels = { app: name, version };
	const annotations = { "weft.dev/command": `node ${join(import.meta.dirname, "apps", app)}`, ...(sidecar ? {} : { "sidecar.istio.io/inject": "false" }) };
	const container = {
		name: "app",
		image: `nobody/${name}`,
		env: Object.entries({ VERSION: version, ...env }).map(([key, value]) => ({ name: key, value })),
		ports: ports.map((containerPort) => ({ containerPort })),
	};
	return document({
		apiVersion: "apps/v1",
		kind: "Deployment",
		metadata: { name: `${name}-${version}`, namespace },
		spec: {
			replicas,
			selector: { matchLabels: labels },
			template: { metadata: { labels, annotations }, spec: { serviceAccountName: name, containers: [container] } },
		},
	});
}

export interface PortYaml {
	readonly name?: string;
	readonly port: number;
	readonly appProtocol?: string;
}

/** A Service for the pods labelled `app: APP`; `app` is the service's own name unless given. */
export function service(
	name: string,
	ports: readonly PortYaml[],
	{ namespace = "default", app = name }: { readonly namespace?: string; readonly app?: string } = {},
): string {
	return document({ apiVersion: "v1", kind: "Service", metadata: { name, namespace }, spec: { selector: { app }, ports } });
}

type NetworkingKind = "VirtualService" | "DestinationRule" | "ServiceEntry" | "Sidecar";

export function networking(kind: NetworkingKind, name: string, spec: object, namespace = "default"): string {
	return document({ apiVersion: "networking.istio.io/v1", kind, metadata: { name, namespace }, spec });
}

export function peerAuthentication(mode: "STRICT" | "PERMISSIVE" | "DISABLE", namespace = "default"): string {
	return document({ apiVersion: "security.istio.io/v1", kind: "PeerAuthentication", metadata: { name: "default", namespace }, spec: { mtls: { mode } } });
}

// JSON is YAML.
function document(object: object): string {
	return `${JSON.stringify(object)}\n---\n`;
}
