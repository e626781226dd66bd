import type { Store } from "@weft/galley";
import { hasStatus, type KubeClient, resourceOf } from "@weft/kube";
import { controllerName } from "@weft/pilot";
import type { Clock, Logger } from "@weft/runtime";

const className = "istio";
const retryMs = 15_000;

export interface GatewayClassOptions {
	readonly client: Pick<KubeClient, "create">;
	readonly store: Store;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

/** Keeps a GatewayClass `istio` where the Gateway API is installed, so that Gateways have one to name. One that is there is left as it is. */
export async function keepGatewayClass({ client, store, clock, logger, signal }: GatewayClassOptions): Promise<void> {
	const type = resourceOf("GatewayClass");
	const spec = { controllerName, description: "The default Istio GatewayClass" };
	while (!signal.aborted) {
		if (store.snapshot().get("GatewayClass", "", className) === undefined) {
			try {
				await client.create(type, "", { metadata: { name: className }, spec }, { signal });
				logger.info("GatewayClass created", { name: className });
			} catch (error) {
				// There already, or the Gateway API is not installed.
				if (!signal.aborted && !hasStatus(error, 409) && !hasStatus(error, 404)) logger.warn("GatewayClass not created", { name: className, error });
			}
		}
		await clock.sleep(retryMs, signal);
	}
}
