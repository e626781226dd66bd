import type { Store } from "@weft/galley";
import { type KubeClient, type KubeObject, resources, runLeaderElection, watchResource } from "@weft/kube";
import { type Clock, createBackoff, type Logger } from "@weft/runtime";
import type { TrustedRoots } from "../trusted-roots.ts";

/** Where every workload finds the roots. Istio's name and key. */
export const rootConfigMap = "istio-ca-root-cert";
const rootKey = "root-cert.pem";
const fieldManager = "weft-citadel";

/** System namespaces have no workloads of the mesh. */
const withoutRoots: ReadonlySet<string> = new Set(["kube-system", "kube-public", "kube-node-lease"]);

export interface RootCertificatesOptions {
	readonly client: KubeClient;
	readonly store: Store;
	/** Of the control plane; the lease is there. */
	readonly namespace: string;
	readonly podName: string;
	readonly roots: TrustedRoots;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

/** Writes the ConfigMap `istio-ca-root-cert` into every namespace and mends it: one of all replicas, chosen by a lease that Istio's share. */
export function runRootCertificates(options: RootCertificatesOptions): Promise<void> {
	return runLeaderElection({
		client: options.client,
		namespace: options.namespace,
		name: "istio-namespace-controller-election",
		identity: options.podName,
		clock: options.clock,
		logger: options.logger,
		signal: options.signal,
		lead: (signal) => lead({ ...options, signal }),
	});
}

async function lead(options: RootCertificatesOptions): Promise<void> {
	const { client, store, clock, logger, signal } = options;
	/** What each namespace has, as the watch tells. */
	const present = new Map<string, string | undefined>();
	const queue = createQueue(options, present);
	const unsubscribe = store.subscribe(({ changed }) => {
		for (const { kind, name } of changed) if (kind === "Namespace") queue.add(name);
	});
	const all = () =>
		store
			.snapshot()
			.all("Namespace")
			.forEach(({ metadata }) => queue.add(metadata.name));
	const leave = options.roots.onChanged(all);
	const watch = watchResource(client, resources.configMaps, {
		fieldSelector: `metadata.name=${rootConfigMap}`,
		signal,
		clock,
		logger,
		onList(objects) {
			present.clear();
			for (const object of objects) present.set(object.metadata.namespace ?? "", rootOf(object));
			all();
		},
		onEvents(events) {
			for (const { type, object } of events) {
				const namespace = object.metadata.namespace ?? "";
				present.set(namespace, type === "delete" ? undefined : rootOf(object));
				queue.add(namespace);
			}
		},
	});
	await Promise.all([watch.done, queue.done]);
	unsubscribe();
	leave();
}

const rootOf = ({ data }: KubeObject): string | undefined => (data as Readonly<Record<string, string>> | undefined)?.[rootKey];

/** At most once in the queue each; a few are written at one time, failures come again later. */
function createQueue(options: RootCertificatesOptions, present: Map<string, string | undefined>) {
	const { client, store, roots, clock, logger, signal } = options;
	const waiting = new Set<string>();
	let wake = () => {};
	const backoff = createBackoff({ minMs: 200, maxMs: 30_000 });
	const isWanted = (namespace: string) => {
		const phase = (store.snapshot().get("Namespace", "", namespace)?.status as { readonly phase?: string } | undefined)?.phase;
		return store.snapshot().get("Namespace", "", namespace) !== undefined && phase !== "Terminating" && !withoutRoots.has(namespace);
	};
	const write = async (namespace: string): Promise<void> => {
		const rootsPem = roots.pem();
		if (!isWanted(namespace) || present.get(namespace) === rootsPem) return;
		const metadata = { name: rootConfigMap, namespace, labels: { "istio.io/config": "true" } };
		await client.apply(resources.configMaps, namespace, { metadata, data: { [rootKey]: rootsPem } }, { fieldManager, force: true, signal });
		present.set(namespace, rootsPem);
		logger.info("root certificate written", { namespace });
	};
	const worker = async (): Promise<void> => {
		while (!signal.aborted) {
			const next = waiting.values().next().value;
			if (next === undefined) {
				await new Promise<void>((resolve) => {
					const before = wake;
					wake = () => {
						before();
						resolve();
					};
				});
				continue;
			}
			waiting.delete(next);
			try {
				await write(next);
				backoff.reset();
			} catch (error) {
				if (signal.aborted) return;
				// A namespace that is just going away refuses new objects; the next event of it, if any, tells.
				logger.warn("root certificate not written", { namespace: next, error });
				waiting.add(next);
				await clock.sleep(backoff.nextMs(), signal);
			}
		}
	};
	signal.addEventListener("abort", () => wake(), { once: true });
	return {
		add(namespace: string) {
			waiting.add(namespace);
			const now = wake;
			wake = () => {};
			now();
		},
		done: Promise.all(Array.from({ length: 4 }, worker)),
	};
}
