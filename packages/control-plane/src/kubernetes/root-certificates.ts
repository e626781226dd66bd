import type { CertificateAuthority } from "@weft/citadel";
import type { Store } from "@weft/galley";
import { type KubeClient, type KubeObject, resources, runLeaderElection, watchResource } from "@weft/kube";
import { type Clock, createBackoff, type Logger } from "@weft/runtime";
import type { TrustedRoots } from "../trusted-roots.ts";

/** A text that every workload finds in a ConfigMap of its namespace; empty: nothing is written. */
export interface HandedOut {
	readonly configMap: string;
	readonly key: string;
	pem(): string;
	/** Returns the way to stop. */
	onChanged(listener: () => void): () => void;
}

/** Istio's names and keys. */
export const handOutRoots = ({ pem, onChanged }: TrustedRoots): HandedOut => ({ configMap: "istio-ca-root-cert", key: "root-cert.pem", pem, onChanged });

export const handOutRevocations = (authority: CertificateAuthority): HandedOut => ({
	configMap: "istio-ca-crl",
	key: "ca-crl.pem",
	pem: () => authority.state.slots.current.crlPem ?? "",
	onChanged: (listener) => authority.onChanged(({ crl }) => crl && listener()),
});
const fieldManager = "weft-citadel";

/** System namespaces have no workloads of the mesh. */
const withoutRoots: ReadonlySet<string> = new Set(["kube-system", "kube-public", "kube-node-lease"]);

export interface RootCertificatesOptions {
	readonly client: KubeClient;
	readonly store: Store;
	/** Of the control plane; the lease is there. */
	readonly namespace: string;
	readonly podName: string;
	readonly texts: readonly HandedOut[];
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

/** Writes the ConfigMaps into every namespace and mends them: one of all replicas, chosen by a lease that Istio's share. */
export function runRootCertificates(options: RootCertificatesOptions): Promise<void> {
	return runLeaderElection({
		client: options.client,
		namespace: options.namespace,
		name: "istio-namespace-controller-election",
		identity: options.podName,
		clock: options.clock,
		logger: options.logger,
		signal: options.signal,
		lead: async (signal) => void (await Promise.all(options.texts.map((text) => lead({ ...options, signal }, text)))),
	});
}

async function lead(options: RootCertificatesOptions, text: HandedOut): Promise<void> {
	const { client, store, clock, logger, signal } = options;
	/** What each namespace has, as the watch tells. */
	const present = new Map<string, string | undefined>();
	const queue = createQueue(options, text, present);
	const unsubscribe = store.subscribe(({ changed }) => {
		for (const { kind, name } of changed) if (kind === "Namespace") queue.add(name);
	});
	const all = () =>
		store
			.snapshot()
			.all("Namespace")
			.forEach(({ metadata }) => queue.add(metadata.name));
	const leave = text.onChanged(all);
	const watch = watchResource(client, resources.configMaps, {
		fieldSelector: `metadata.name=${text.configMap}`,
		signal,
		clock,
		logger,
		onList(objects) {
			present.clear();
			for (const object of objects) present.set(object.metadata.namespace ?? "", textOf(object, text.key));
			all();
		},
		onEvents(events) {
			for (const { type, object } of events) {
				const namespace = object.metadata.namespace ?? "";
				present.set(namespace, type === "delete" ? undefined : textOf(object, text.key));
				queue.add(namespace);
			}
		},
	});
	await Promise.all([watch.done, queue.done]);
	unsubscribe();
	leave();
}

const textOf = ({ data }: KubeObject, key: string): string | undefined => (data as Readonly<Record<string, string>> | undefined)?.[key];

/** At most once in the queue each; a few are written at one time, failures come again later. */
function createQueue(options: RootCertificatesOptions, text: HandedOut, present: Map<string, string | undefined>) {
	const { client, store, clock, logger, signal } = options;
	const waiting = new Set<string>();
	let wake = () => {};
	const backoff = createBackoff({ minMs: 200, maxMs: 30_000 });
	const isWanted = (namespace: string) => {
		const phase = (store.snapshot().get("Namespace", "", namespace)?.status as { readonly phase?: string } | undefined)?.phase;
		return store.snapshot().get("Namespace", "", namespace) !== undefined && phase !== "Terminating" && !withoutRoots.has(namespace);
	};
	const write = async (namespace: string): Promise<void> => {
		const pem = text.pem();
		if (pem === "" || !isWanted(namespace) || present.get(namespace) === pem) return;
		const metadata = { name: text.configMap, namespace, labels: { "istio.io/config": "true" } };
		await client.apply(resources.configMaps, namespace, { metadata, data: { [text.key]: pem } }, { fieldManager, force: true, signal });
		logger.info("root certificate written", { namespace, configMap: text.configMap });
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
