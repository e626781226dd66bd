import type { Clock } from "@weft/runtime";
import type { LifetimeOptions } from "../main/lifetime.ts";
import { podListenerStats } from "./pod-bootstrap.ts";
import type { PodOptions } from "./pod-options.ts";

const pollMs = 1_000;

/**
 * As Istio's agent ends: not ready at once, then served as before for a while, since others learn only now that this pod
 * goes; connections are closed as they answer. Ends after the drain duration, or once no connection is left.
 */
export function drainInPod(pod: PodOptions, clock: Clock): LifetimeOptions["drain"] {
	const { exitsOnZeroConnections, listenersMs, minimumMs, terminationMs } = pod.drain;
	return async (server, signal) => {
		server.markDraining();
		server.drainGradually(exitsOnZeroConnections ? listenersMs : terminationMs, pod.isSidecar);
		if (!exitsOnZeroConnections) return clock.sleep(terminationMs, signal);
		await clock.sleep(minimumMs, signal);
		const own = podListenerStats(pod);
		while (!signal.aborted && (await server.connections(own)) > 0) await clock.sleep(pollMs, signal);
	};
}
