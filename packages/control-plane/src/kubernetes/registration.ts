import type { Store } from "@weft/galley";
import { type KubeClient, runLeaderElection } from "@weft/kube";
import type { AutoRegistration, Registrations } from "@weft/pilot";
import type { Clock, Logger } from "@weft/runtime";

/** How often what is not heard of any more is looked for. */
const sweepMs = 1_000;

export interface RegistrationSweepOptions {
	readonly client: KubeClient;
	readonly store: Store;
	readonly autoRegistration: Pick<AutoRegistration, "sweep">;
	readonly registrations: Pick<Registrations, "sweep">;
	/** The control plane's. */
	readonly namespace: string;
	readonly podName: string;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

/** One of all replicas removes the entries of workloads that are gone, also those of replicas that are gone themselves. Ends with `signal`. */
export function runRegistrationSweep(options: RegistrationSweepOptions): Promise<void> {
	const { client, namespace, podName, clock, logger, signal } = options;
	const lead = async (leading: AbortSignal) => {
		while (!leading.aborted) {
			await sweep(options);
			await clock.sleep(sweepMs, leading);
		}
	};
	return runLeaderElection({ client, namespace, name: "weft-registration-leader", identity: podName, clock, logger, signal, lead });
}

async function sweep({ store, autoRegistration, registrations, namespace, podName }: RegistrationSweepOptions): Promise<void> {
	const snapshot = store.snapshot();
	const isThere = (pod: string) => snapshot.get("Pod", namespace, pod) !== undefined;
	// A control plane outside of the cluster has no pod: nothing can be said of its replicas.
	const isGone = (instance: string) => isThere(podName) && !isThere(instance);
	await autoRegistration.sweep(snapshot.all("WorkloadEntry"), isGone);
	await registrations.sweep();
}
