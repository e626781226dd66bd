/** What a secret's name in xDS stands for. https://istio.io/latest/docs/tasks/traffic-management/ingress/secure-ingress/ */
export interface CredentialName {
	/** `secret`: by an Istio resource; `gateway-secret`: by a Kubernetes Gateway, which may have been granted another namespace's. */
	readonly from: "secret" | "gateway-secret" | "config-map";
	readonly namespace: string;
	/** Of the object; with `-cacert` where that is what was asked for. */
	readonly name: string;
}

const schemes: Readonly<Record<string, CredentialName["from"]>> = {
	kubernetes: "secret",
	"kubernetes-gateway": "gateway-secret",
	configmap: "config-map",
};

/** Undefined: not a name of the control plane's secrets. A name without a namespace is in the proxy's own. */
export function parseCredentialName(resource: string, ownNamespace: string): CredentialName | undefined {
	const match = /^([a-z-]+):\/\/(?:([^/]+)\/)?([^/]+)$/.exec(resource);
	const from = schemes[match?.[1] ?? ""];
	const name = match?.[3];
	if (from === undefined || name === undefined) return undefined;
	const namespace = match?.[2];
	if (namespace === undefined && from !== "secret") return undefined;
	return { from, namespace: namespace ?? ownNamespace, name };
}

const trustSuffix = "-cacert";

/** Is it the authority's certificate that is asked for, to check peers by? */
export const isTrust = ({ from, name }: CredentialName): boolean => from === "config-map" || name.endsWith(trustSuffix);

/** Without `-cacert`: one Secret may hold both. */
export const withoutTrustSuffix = (name: string): string => (name.endsWith(trustSuffix) ? name.slice(0, -trustSuffix.length) : name);
