import { Worker } from "node:worker_threads";
import type { Signer } from "@weft/pki";
import type { Logger } from "@weft/runtime";
import { issueLeaf, type LeafJob, type LeafOutcome } from "./issue-leaf.ts";

/** Where leaves are signed. */
export interface LeafSigner {
	sign(signer: Signer, job: LeafJob): Promise<LeafOutcome>;
	close(): Promise<void>;
}

/** On the caller's own thread: for tests, and for the handful that a control plane issues to itself. */
export const inlineLeafSigner: LeafSigner = {
	sign: async (signer, job) => issueLeaf(signer, job),
	close: async () => undefined,
};

/** Signers that a thread knows: the present one, and the one before while its last jobs are under way. */
export const signersMax = 2;

export type ToSigningThread =
	| { readonly kind: "signer"; readonly signerId: number; readonly signer: Signer }
	| { readonly kind: "job"; readonly id: number; readonly signerId: number; readonly job: LeafJob };

export interface FromSigningThread {
	readonly id: number;
	readonly outcome: LeafOutcome;
}

export interface SigningPoolOptions {
	readonly threads: number;
	/** Jobs that are signed or wait for it; more are told to come back. */
	readonly queueMax: number;
	readonly logger: Logger;
}

interface Thread {
	readonly worker: Worker;
	readonly known: Set<number>;
	readonly jobs: Map<number, (outcome: LeafOutcome) => void>;
}

const busy = (reason: string): LeafOutcome => ({ ok: false, reason, cause: "busy" });

/**
 * Threads that do nothing but sign, so that a mesh that starts at once does not hold up pushes. A thread is made with the first
 * job it gets, and again after it died; what it was doing then is refused, and asked for again by its caller.
 */
export function createSigningPool({ threads, queueMax, logger }: SigningPoolOptions): LeafSigner {
	const pool: (Thread | undefined)[] = Array.from({ length: threads }, () => undefined);
	const signerIds = new WeakMap<Signer, number>();
	let lastSigner = 0;
	let lastJob = 0;
	let pending = 0;

	const start = (index: number): Thread => {
		const worker = new Worker(entryFile(), { name: `ca:${index}`, execArgv: ["--disable-warning=ExperimentalWarning"] });
		const thread: Thread = { worker, known: new Set(), jobs: new Map() };
		worker.on("message", ({ id, outcome }: FromSigningThread) => {
			const done = thread.jobs.get(id);
			thread.jobs.delete(id);
			if (thread.jobs.size === 0) worker.unref();
			done?.(outcome);
		});
		worker.on("error", (error) => logger.error("signing thread died", { error }));
		worker.on("exit", () => {
			if (pool[index] === thread) pool[index] = undefined;
			for (const done of thread.jobs.values()) done(busy("the signing thread died"));
			thread.jobs.clear();
		});
		worker.unref();
		pool[index] = thread;
		return thread;
	};

	const leastBusy = (): Thread => {
		let best = 0;
		for (let i = 1; i < pool.length; i++) if ((pool[i]?.jobs.size ?? 0) < (pool[best]?.jobs.size ?? 0)) best = i;
		return pool[best] ?? start(best);
	};

	const post = ({ worker }: Thread, message: ToSigningThread) => worker.postMessage(message);

	return {
		sign(signer, job) {
			if (pending >= queueMax) return Promise.resolve(busy(`${queueMax} certificates wait to be signed`));
			const signerId = signerIds.get(signer) ?? ++lastSigner;
			signerIds.set(signer, signerId);
			const thread = leastBusy();
			if (!thread.known.has(signerId)) {
				thread.known.add(signerId);
				post(thread, { kind: "signer", signerId, signer });
			}
			const id = ++lastJob;
			pending++;
			return new Promise<LeafOutcome>((resolve) => {
				thread.jobs.set(id, resolve);
				thread.worker.ref();
				post(thread, { kind: "job", id, signerId, job });
			}).finally(() => {
				pending--;
			});
		},
		async close() {
			await Promise.all(pool.flatMap((thread) => (thread === undefined ? [] : [thread.worker.terminate()])));
		},
	};
}

/** Beside this file: as source, or in the bundle. */
function entryFile(): URL {
	return new URL(import.meta.url.endsWith(".ts") ? "./signing-worker.ts" : "./signing-worker.mjs", import.meta.url);
}
