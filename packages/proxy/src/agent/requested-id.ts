import { checkSpiffeId, formatSpiffeId } from "@weft/pki";

/** The name that a workload may expect, as Istio's agent asks for it; undefined where its parts are not known. */
export function requestedIdOf(trustDomain: string | undefined, namespace: unknown, serviceAccount: unknown): string | undefined {
	if (typeof namespace !== "string" || typeof serviceAccount !== "string") return undefined;
	const id = checkSpiffeId({ trustDomain: trustDomain || "cluster.local", namespace, serviceAccount });
	return id.ok ? formatSpiffeId(id.value) : undefined;
}

/** ISTIO_META_CERT_SIGNER in the node's metadata. */
export function certSignerOf({ CERT_SIGNER: name }: Readonly<Record<string, unknown>>): string | undefined {
	return typeof name === "string" && name !== "" ? name : undefined;
}
