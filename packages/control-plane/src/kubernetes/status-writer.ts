import type { AnyConfig, Kind } from "@weft/api";
import type { Store } from "@weft/galley";
import { hasStatus, type KubeClient, resourceOf, runLeaderElection } from "@weft/kube";
import { computedStatus, type Discovery } from "@weft/pilot";
import { type Clock, createBackoff, type Logger } from "@weft/runtime";
import { mergeStatus } from "./merge-status.ts";

const kinds = [
	"GatewayClass",
	"KubernetesGateway",
	"HTTPRoute",
	"GRPCRoute",
	"TLSRoute",
	"TCPRoute",
	"BackendTLSPolicy",
	"ServiceEntry",
] as const satisfies readonly Kind[];
const fieldManager = "weft-status";
/** How often a new push is looked for: status may come a moment after what it tells of. */
const pollMs = 250;

export interface StatusWriterOptions {
	readonly client: Pick<KubeClient, "apply">;
	readonly store: Store;
	readonly discovery: Pick<Discovery, "push">;
	readonly clock: Clock;
	readonly logger: Logger;
}

/** Writes what Pilot computes into the objects' status by server-side apply: one of all replicas, chosen by the lease that Istio's share. */
export function runStatus(
	options: StatusWriterOptions & { readonly client: KubeClient; readonly namespace: string; readonly podName: string; readonly signal: AbortSignal },
): Promise<void> {
	const { client, namespace, podName, clock, logger, signal } = options;
	const lead = (leading: AbortSignal) => writeStatus(options, leading);
	return runLeaderElection({ client, namespace, name: "istio-status-leader", identity: podName, clock, logger, signal, lead });
}

/** Until `signal` aborts. What fails is tried again, later and later; the newest push is what counts. */
export async function writeStatus(options: StatusWriterOptions, signal: AbortSignal): Promise<void> {
	const { discovery, clock } = options;
	const backoff = createBackoff({ minMs: 500, maxMs: 60_000 });
	let written: object | undefined;
	while (!signal.aborted) {
		const { push } = discovery;
		if (push !== written) {
			const failed = await writeAll(options, signal);
			if (failed === 0) {
				written = push;
				backoff.reset();
			} else await clock.sleep(backoff.nextMs(), signal);
		}
		await clock.sleep(pollMs, signal);
	}
}

async function writeAll(options: StatusWriterOptions, signal: AbortSignal): Promise<number> {
	const { client, store, discovery, clock, logger } = options;
	let failed = 0;
	for (const kind of kinds) {
		for (const object of store.snapshot().all(kind) as readonly AnyConfig[]) {
			if (signal.aborted) return failed;
			const computed = computedStatus(discovery.push, object);
			const status = computed && mergeStatus(computed, object.status, new Date(clock.nowMs()).toISOString().replace(/\.\d+Z$/, "Z"));
			if (status === undefined) continue;
			const { name, namespace } = object.metadata;
			try {
				const metadata = { name, ...(namespace !== "" && { namespace }) };
				await client.apply(resourceOf(kind), namespace, { metadata, status }, { fieldManager, force: true, subresource: "status", signal });
			} catch (error) {
				// Gone meanwhile.
				if (signal.aborted || hasStatus(error, 404)) continue;
				failed++;
				logger.warn("status not written", { kind, namespace, name, error });
			}
		}
	}
	return failed;
}
