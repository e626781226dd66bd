import type { GatewayParts } from "@weft/injector";
import { hasStatus, type KubeClient, type KubeObject, type ResourceType, resourceOf, resources } from "@weft/kube";

/** As istiod calls itself: it and we take over from each other what the other has deployed. */
const fieldManager = "istio.io/gateway-controller";

const types = {
	serviceAccount: resourceOf("ServiceAccount"),
	deployment: resourceOf("Deployment"),
	service: resourceOf("Service"),
	horizontalPodAutoscaler: resources.horizontalPodAutoscalers,
	podDisruptionBudget: resources.podDisruptionBudgets,
} as const satisfies Readonly<Record<keyof GatewayParts, ResourceType>>;

/** They may be missing, and go again when nothing asks for them any more. */
const optionalParts = ["horizontalPodAutoscaler", "podDisruptionBudget"] as const;

/** Whose the objects are, and how they are named. */
export interface GatewayOwner {
	readonly name: string;
	readonly namespace: string;
	readonly uid: string;
	readonly deploymentName: string;
}

export type ApplyOutcome =
	| { readonly kind: "applied"; readonly deploymentGeneration: number | undefined; readonly notOurs: readonly string[] }
	/** The Gateway is gone, or going. */
	| { readonly kind: "gone" }
	/** A Deployment of that name is somebody else's: then so are its Service and its account. */
	| { readonly kind: "foreign"; readonly message: string };

/**
 * Brings the objects of one Gateway into the cluster by server-side apply. What the Gateway does not own is left as it is.
 * Rejects where the API server refuses, or does not answer.
 */
export async function applyGateway(client: KubeClient, owner: GatewayOwner, parts: GatewayParts, signal: AbortSignal): Promise<ApplyOutcome> {
	const { namespace, deploymentName } = owner;
	const gateway = await client.get(resourceOf("KubernetesGateway"), namespace, owner.name, signal);
	// What was read may be old by now: to make objects for one that goes would keep it from going.
	if (gateway === undefined || gateway.metadata.uid !== owner.uid || gateway.metadata.deletionTimestamp !== undefined) return { kind: "gone" };
	const present = await client.get(types.deployment, namespace, deploymentName, signal);
	if (present !== undefined && !isOwned(present, owner))
		return { kind: "foreign", message: `Deployment ${namespace}/${deploymentName} is not this Gateway's; it is left as it is` };
	const notOurs: string[] = [];
	const put = async (part: keyof GatewayParts): Promise<KubeObject | undefined> => {
		const wanted = parts[part];
		if (wanted === undefined) return undefined;
		const known = part === "deployment" ? present : await client.get(types[part], namespace, deploymentName, signal);
		if (known !== undefined && !isOwned(known, owner)) {
			// A service account that was there before is one to run as.
			if (part !== "serviceAccount") notOurs.push(`${types[part].kind} ${namespace}/${deploymentName}`);
			return undefined;
		}
		// Over what was not there a moment ago no field is taken by force.
		const force = known !== undefined;
		return client.apply(types[part], namespace, wanted as KubeObject & typeof wanted, { fieldManager, force, signal });
	};
	await put("serviceAccount");
	const deployment = await put("deployment");
	await put("service");
	for (const part of optionalParts) {
		if (parts[part] === undefined) await removeOwned(client, types[part], owner, signal);
		else await put(part);
	}
	const generation = deployment?.metadata["generation"];
	return { kind: "applied", deploymentGeneration: typeof generation === "number" ? generation : undefined, notOurs };
}

function isOwned({ metadata }: KubeObject, { uid }: GatewayOwner): boolean {
	const owners = metadata["ownerReferences"] as readonly { readonly uid?: string }[] | undefined;
	return owners?.some((owner) => owner.uid === uid) ?? false;
}

async function removeOwned(client: KubeClient, type: ResourceType, owner: GatewayOwner, signal: AbortSignal): Promise<void> {
	const present = await client.get(type, owner.namespace, owner.deploymentName, signal);
	if (present === undefined || !isOwned(present, owner)) return;
	try {
		await client.remove(type, owner.namespace, owner.deploymentName, { signal });
	} catch (error) {
		if (!hasStatus(error, 404)) throw error;
	}
}
