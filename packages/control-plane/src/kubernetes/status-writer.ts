import { setImmediate as nextTurn } from "node:timers/promises";
import type { AnyConfig, Diagnostic, Kind } from "@weft/api";
import { analyzeSnapshot, type Store } from "@weft/galley";
import { hasStatus, type KubeClient, type ObservedObject, resourceOf, runLeaderElection } from "@weft/kube";
import type { Discovery, PushSnapshot, Spread } from "@weft/pilot";
import type { Clock, Logger } from "@weft/runtime";
import { runDistributionReports, watchDistributionReports } from "./distribution-reports.ts";
import { createRateLimit, StatusQueue, type StatusWrite, type WriteOutcome, writeKey } from "./status-queue.ts";
import { invalidStatus, type StatusRound, wantedStatus } from "./wanted-status.ts";
import { createWritten, type Written } from "./written-statuses.ts";

const fieldManager = "weft-status";
/** How often it is looked whether anything changed: status may come a moment after what it tells of. */
const pollMs = 250;
/** Of a round's own time: so much is left to proxies before the next one. */
const restFactor = 5;
/** Writes at one time, and istiod's limits for its requests. */
const writers = 4;
const writesPerSecond = 40;
const writesBurst = 80;

/** What the cluster says of the objects of a kind, by `namespace/name`. */
export interface ObservedKinds {
	observed(kind: Kind): ReadonlyMap<string, ObservedObject>;
	/** Another number whenever that may have changed. */
	observedRevision(): number;
}

export interface StatusWriterOptions {
	readonly client: Pick<KubeClient, "apply">;
	readonly store: Store;
	readonly source: ObservedKinds;
	/** Whose status is written. */
	readonly kinds: readonly Kind[];
	readonly discovery: Pick<Discovery, "push" | "distribution" | "revision">;
	/** PILOT_ENABLE_ANALYSIS: what `analyze` finds goes into status, too. */
	readonly analysis: boolean;
	/** What other replicas say of their proxies; `revision` as in `Discovery`. */
	readonly others: { of(key: string): Spread; readonly revision: number };
	readonly clock: Clock;
	readonly logger: Logger;
}

export type RunStatusOptions = Omit<StatusWriterOptions, "client" | "others"> & {
	readonly client: KubeClient;
	readonly namespace: string;
	readonly podName: string;
	readonly signal: AbortSignal;
};

/**
 * Writes what Pilot knows into the objects' status by server-side apply: one of all replicas, chosen by the lease that Istio's share.
 * The others tell it of their proxies.
 */
export async function runStatus(options: RunStatusOptions): Promise<void> {
	const { client, namespace, podName, clock, logger, signal } = options;
	let isLeading = false;
	const lead = async (leading: AbortSignal): Promise<void> => {
		isLeading = true;
		const others = watchDistributionReports({ ...options, signal: leading });
		await writeStatus({ ...options, others }, leading);
		await others.done;
		isLeading = false;
	};
	const election = runLeaderElection({ client, namespace, name: "istio-status-leader", identity: podName, clock, logger, signal, lead });
	await Promise.all([election, runDistributionReports({ ...options, isSilent: () => isLeading })]);
}

/** Until `signal` aborts. What fails is tried again, later and later; the newest push is what counts. */
export async function writeStatus(options: StatusWriterOptions, signal: AbortSignal): Promise<void> {
	const queue = new StatusQueue();
	const written = createWritten();
	const rate = createRateLimit({ perSecond: writesPerSecond, burst: writesBurst, clock: options.clock });
	const work = async () => {
		while (!signal.aborted) {
			const write = queue.take(options.clock.monotonicMs());
			if (write === undefined) {
				await options.clock.sleep(pollMs, signal);
				continue;
			}
			await rate(signal);
			queue.done(write, await writeOne(options, written, write, signal), options.clock.monotonicMs());
		}
	};
	await Promise.all([compare(options, queue, written, signal), ...Array.from({ length: writers }, work)]);
}

async function writeOne(options: StatusWriterOptions, written: Written, write: StatusWrite, signal: AbortSignal): Promise<WriteOutcome> {
	const { kind, namespace, name, uid, status } = write;
	const { client, source, logger } = options;
	const observed = source.observed(kind).get(`${namespace}/${name}`);
	// Gone while it waited.
	if (signal.aborted || observed === undefined || observed.uid !== uid) return "settled";
	written.set(write, observed);
	try {
		const metadata = { name, ...(namespace !== "" && { namespace }), ...(uid !== undefined && { uid }) };
		await client.apply(observed.type, namespace, { metadata, status }, { fieldManager, force: true, subresource: "status", signal });
		return "settled";
	} catch (error) {
		// Gone meanwhile, or another has its name: that one is seen soon.
		written.delete(write);
		if (signal.aborted || hasStatus(error, 404) || hasStatus(error, 409)) return "settled";
		logger.warn("status not written", { kind, namespace, name, error });
		return "failed";
	}
}

/** Whenever something changed, puts what differs from the cluster into the queue. */
async function compare(options: StatusWriterOptions, queue: StatusQueue, written: Written, signal: AbortSignal): Promise<void> {
	const { discovery, source, others, clock } = options;
	const round = { ...options, queue, written, findings: createFindings(options) };
	let seen: readonly unknown[] = [];
	while (!signal.aborted) {
		const state = [discovery.push, discovery.revision, source.observedRevision(), others.revision];
		const startedMs = clock.monotonicMs();
		if (state.some((part, i) => part !== seen[i])) {
			seen = state;
			await runRound(round, signal);
		}
		await clock.sleep(Math.max(pollMs, restFactor * (clock.monotonicMs() - startedMs)), signal);
	}
}

const objectsATurn = 200;

interface RoundOptions extends StatusWriterOptions {
	readonly queue: StatusQueue;
	readonly written: Written;
	readonly findings: (push: PushSnapshot) => StatusRound["findings"];
}

async function runRound({ kinds, source, discovery, others, clock, queue, written, findings }: RoundOptions, signal: AbortSignal): Promise<void> {
	const { push } = discovery;
	const now = new Date(clock.nowMs()).toISOString().replace(/\.\d+Z$/, "Z");
	const round: StatusRound = { push, distribution: discovery.distribution(), others: (key) => others.of(key), findings: findings(push), now };
	const nowMs = clock.monotonicMs();
	const open = new Set<string>();
	const offer = (wanted: ReturnType<typeof wantedStatus>) => {
		if (wanted === undefined) return;
		open.add(writeKey(wanted.write));
		queue.offer(wanted.write, nowMs, wanted.delayMs);
	};
	let turn = 0;
	for (const kind of kinds) {
		const observed = source.observed(kind);
		const valid = new Set<string>();
		for (const object of push.config.all(kind) as readonly AnyConfig[]) {
			const key = `${object.metadata.namespace}/${object.metadata.name}`;
			const there = observed.get(key);
			valid.add(key);
			if (there !== undefined) offer(wantedStatus(round, object, written.seen(kind, there)));
			if (++turn % objectsATurn === 0) await nextTurn();
			if (signal.aborted) return;
		}
		for (const [key, there] of observed)
			if (!valid.has(key) && there.diagnostics.some(({ severity }) => severity === "error")) offer(invalidOf(round, kind, written.seen(kind, there)));
	}
	queue.retain((key) => open.has(key));
	written.retain(({ kind, namespace, name }) => source.observed(kind).get(`${namespace}/${name}`));
}

/** The Gateway API's conditions are of what was compiled: for what was not there are none. */
const invalidOf = (round: StatusRound, kind: Kind, there: ObservedObject) =>
	resourceOf(kind).group === "gateway.networking.k8s.io" ? undefined : invalidStatus(round, kind, there);

/** Analysis is of the whole mesh: once a push. */
function createFindings({ store, analysis }: StatusWriterOptions): (push: PushSnapshot) => StatusRound["findings"] {
	let of: PushSnapshot | undefined;
	let found = new Map<string, Diagnostic[]>();
	return (push) => {
		if (!analysis) return () => [];
		if (of !== push) {
			of = push;
			found = Map.groupBy(analyzeSnapshot(store.snapshot()), ({ kind, namespace = "", name }) => `${kind}/${namespace}/${name}`);
		}
		return ({ kind, metadata: { namespace, name } }) => found.get(`${kind}/${namespace}/${name}`) ?? [];
	};
}
