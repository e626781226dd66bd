import type { Clock } from "@weft/runtime";
import type { LifetimeOptions } from "../main/lifetime.ts";
import type { PodOptions } from "./pod-options.ts";

/** The longest that a timer takes, 24 days: whoever sent SIGTERM loses patience first. */
const neverMs = 2 ** 31 - 1;

/**
 * As Istio's agent ends: not ready at once, then served as before for a while, since others learn only now that this pod
 * goes; connections are closed as they answer. Ends after the drain duration, or once nothing is under way: connections
 * that are merely kept open by clients are closed then, since they would never go by themselves.
 */
export function drainInPod(pod: PodOptions, clock: Clock): LifetimeOptions["drain"] {
	const { exitsOnZeroConnections, listenersMs, minimumMs, terminationMs } = pod.drain;
	return async (server, signal) => {
		server.markDraining();
		// At its deadline a drain stops accepting: not before the next one has taken its place.
		server.drainGradually(exitsOnZeroConnections ? Math.max(listenersMs, 2 * minimumMs) : terminationMs, pod.isSidecar);
		await clock.sleep(exitsOnZeroConnections ? minimumMs : terminationMs, signal);
		if (exitsOnZeroConnections) await server.drain(neverMs, pod.isSidecar);
	};
}
