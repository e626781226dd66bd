import type { AnyConfig, Kind } from "@weft/api";
import type { Store } from "@weft/galley";
import { type KubeClient, type KubeObject, resources, watchResource } from "@weft/kube";
import { addSpreads, type Discovery, noSpread, type Spread } from "@weft/pilot";
import type { Clock, Logger } from "@weft/runtime";

// A proxy is connected to one replica: each tells the one that writes status of its proxies, by a ConfigMap of its own, as istiod's did.

/** Istio's label for them. */
const reportLabel = "internal.istio.io/distribution-report";
const fieldManager = "weft-distribution";
const dataKey = "distribution-report";
/** Between two reports of one replica. */
const reportMs = 5_000;
/** An object of the API server holds 1 MiB or a little more. */
const reportBytesMax = 900_000;

export interface DistributionReportOptions {
	readonly client: KubeClient;
	readonly store: Store;
	readonly kinds: readonly Kind[];
	readonly discovery: Pick<Discovery, "push" | "distribution" | "revision">;
	/** Of the control plane. */
	readonly namespace: string;
	readonly podName: string;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

/** `[seeing, inForce, refusal]`: objects that no proxy of the replica sees are left out. */
type ReportedSpread = readonly [seeing: number, inForce: number, refusal?: string];

/** Writes this replica's report while it is not silent: whoever leads knows its own proxies. Ends when `signal` aborts; never rejects. */
export async function runDistributionReports(options: DistributionReportOptions & { readonly isSilent: () => boolean }): Promise<void> {
	const { discovery, clock, logger, signal, isSilent } = options;
	let seen: readonly unknown[] = [];
	let written = "{}";
	while (!signal.aborted) {
		await clock.sleep(reportMs, signal);
		const state = [discovery.push, discovery.revision];
		if (signal.aborted || isSilent() || state.every((part, i) => part === seen[i])) continue;
		const report = reportOf(options);
		if (report !== written) {
			try {
				await writeReport(options, report);
				written = report;
			} catch (error) {
				if (!signal.aborted) logger.warn("distribution report not written", { error });
				continue;
			}
		}
		seen = state;
	}
}

function reportOf({ kinds, discovery, logger }: DistributionReportOptions): string {
	const distribution = discovery.distribution();
	const parts: string[] = [];
	let bytes = 0;
	for (const kind of kinds) {
		for (const object of discovery.push.config.all(kind) as readonly AnyConfig[]) {
			const spread = distribution.of(object);
			if (spread === undefined || spread.seeing === 0) continue;
			const { seeing, inForce, refusal } = spread;
			const value: ReportedSpread = refusal === undefined ? [seeing, inForce] : [seeing, inForce, refusal];
			const part = `${JSON.stringify(`${kind}/${object.metadata.namespace}/${object.metadata.name}`)}:${JSON.stringify(value)}`;
			bytes += Buffer.byteLength(part) + 1;
			if (bytes > reportBytesMax) {
				logger.warn("the mesh has more objects than a distribution report holds: status counts the proxies of this replica for the first of them alone", {
					kind,
				});
				return `{${parts.join(",")}}`;
			}
			parts.push(part);
		}
	}
	return `{${parts.join(",")}}`;
}

const reportName = (podName: string): string => `${podName}-distribution`;

async function writeReport({ client, store, namespace, podName, signal }: DistributionReportOptions, report: string): Promise<void> {
	const uid = store.snapshot().get("Pod", namespace, podName)?.metadata.uid;
	const metadata = {
		name: reportName(podName),
		namespace,
		labels: { [reportLabel]: "true" },
		// It goes with its replica.
		...(uid !== undefined && { ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: podName, uid }] }),
	};
	await client.apply(resources.configMaps, namespace, { metadata, data: { pod: podName, [dataKey]: report } }, { fieldManager, force: true, signal });
}

export interface DistributionReports {
	/** The sum over all other replicas that are there, by `kind/namespace/name`. */
	of(key: string): Spread;
	/** Another number whenever that may have changed. */
	readonly revision: number;
	readonly done: Promise<void>;
}

/** Reads what the other replicas report. A report without its pod is of one that is gone. */
export function watchDistributionReports(options: Omit<DistributionReportOptions, "kinds" | "discovery">): DistributionReports {
	const { client, store, namespace, podName, clock, logger, signal } = options;
	const reports = new Map<string, Readonly<Record<string, ReportedSpread>>>();
	let revision = 0;
	const take = (object: KubeObject): void => {
		const report = decodeReport(object);
		if (report === undefined || report.pod === podName) reports.delete(object.metadata.name);
		else reports.set(object.metadata.name, report.spreads);
	};
	const unsubscribe = store.subscribe(({ changed }) => {
		if (changed.some(({ kind, namespace: of, name, op }) => kind === "Pod" && of === namespace && op !== "update" && reports.has(reportName(name)))) revision++;
	});
	const watch = watchResource(client, resources.configMaps, {
		namespace,
		labelSelector: `${reportLabel}=true`,
		signal,
		clock,
		logger,
		onList(objects) {
			reports.clear();
			for (const object of objects) take(object);
			revision++;
		},
		onEvents(events) {
			for (const { type, object } of events) {
				if (type === "delete") reports.delete(object.metadata.name);
				else take(object);
			}
			revision++;
		},
	});
	const isThere = (report: string): boolean => store.snapshot().get("Pod", namespace, report.slice(0, -"-distribution".length)) !== undefined;
	return {
		of(key) {
			let sum = noSpread;
			for (const [name, spreads] of reports) {
				const spread = Object.hasOwn(spreads, key) ? spreads[key] : undefined;
				if (spread !== undefined && isThere(name)) sum = addSpreads(sum, { seeing: spread[0], inForce: spread[1], refusal: spread[2] });
			}
			return sum;
		},
		get revision() {
			return revision;
		},
		done: watch.done.then(unsubscribe),
	};
}

function decodeReport({ data }: KubeObject): { readonly pod: string; readonly spreads: Readonly<Record<string, ReportedSpread>> } | undefined {
	const { pod, [dataKey]: text } = (data ?? {}) as Readonly<Record<string, unknown>>;
	if (typeof pod !== "string" || typeof text !== "string") return undefined;
	try {
		const spreads = JSON.parse(text) as unknown;
		return typeof spreads === "object" && spreads !== null ? { pod, spreads: spreads as Readonly<Record<string, ReportedSpread>> } : undefined;
	} catch {
		// Not one of ours.
		return undefined;
	}
}
