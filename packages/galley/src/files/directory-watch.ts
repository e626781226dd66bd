import { type FSWatcher, watch } from "node:fs";
import type { Diagnostic } from "@weft/api";
import type { Clock, Logger } from "@weft/runtime";
import { admitObjects, type ObjectCheck, withoutObjects } from "../admission.ts";
import { sources } from "../store/precedence.ts";
import type { Store } from "../store/store.ts";
import { createDirectoryReader, type DirectoryReader } from "./directory-reader.ts";

/** Quiet time after the last event: an editor's write and rename, or a checkout of many files, is one change. */
const settleMs = 50;
/** A directory that never rests is read at least so often. */
const settleMsMax = 1_000;
/** Events can be lost (network file systems, full queues); a look at the stamps finds what they missed. */
const sweepMs = 2_000;

export interface WatchOptions {
	readonly signal: AbortSignal;
	readonly clock: Clock;
	readonly logger: Logger;
	/** The name of the source in the store; default `files`. */
	readonly source?: string;
	/** All diagnostics of the directory as it is now, after each change; an empty list when all is well again. */
	readonly onDiagnostics?: (diagnostics: readonly Diagnostic[]) => void;
	/** What the translator has to say about each object. */
	readonly checks?: readonly ObjectCheck[];
	/** False where a file system has no events, so that only the sweep finds changes; default true. */
	readonly useEvents?: boolean;
}

export interface DirectoryWatch {
	/** The diagnostics of the first read. */
	readonly diagnostics: readonly Diagnostic[];
	/** Reads the directory now; resolves when the store holds what it says. For whoever has just written to it. */
	rescan(): Promise<void>;
	/** Resolves when `signal` has aborted and nothing is open any more. Never rejects. */
	readonly done: Promise<void>;
}

/**
 * Puts a directory's objects into the store and keeps them so, each change as one atomic batch.
 * A file with errors keeps its last good content in force. Resolves after the first read.
 */
export async function watchDirectory(directory: string, store: Store, options: WatchOptions): Promise<DirectoryWatch> {
	const events = createEvents(directory, options);
	const reload = createReload(directory, store, options);
	try {
		const diagnostics = (await reload()) ?? [];
		const rescan = async () => void (await reload());
		return { diagnostics, rescan, done: run(directory, reload, options, events) };
	} catch (error) {
		events.close();
		throw error;
	}
}

/** Reads the directory into the store; gives its diagnostics, or undefined where nothing has changed since the last read. */
type Reload = () => Promise<readonly Diagnostic[] | undefined>;

async function run(directory: string, reload: Reload, options: WatchOptions, events: Events): Promise<void> {
	const { signal, clock, logger } = options;
	while (!signal.aborted) {
		await events.next(sweepMs);
		if (signal.aborted) break;
		const wasEvent = await settle(events, clock, signal);
		if (signal.aborted) break;
		try {
			const found = await reload();
			// A change that no event told of: the directory itself was replaced, and the watch looks at the old one.
			if (found && !wasEvent) events.close();
		} catch (error) {
			logger.error("configuration directory not reloaded", { directory, error });
		}
	}
	events.close();
}

/** Waits until the events rest. Were there any? */
async function settle(events: Events, clock: Clock, signal: AbortSignal): Promise<boolean> {
	const startMs = clock.monotonicMs();
	let any = false;
	while (events.take() && !signal.aborted) {
		any = true;
		if (clock.monotonicMs() - startMs >= settleMsMax) break;
		await clock.sleep(settleMs, signal);
	}
	return any;
}

/** One read at a time: the loop and `rescan` wait for each other, so an older read never overwrites a newer one. */
function createReload(directory: string, store: Store, options: WatchOptions): Reload {
	const reader = createDirectoryReader(directory);
	let last: Promise<unknown> = Promise.resolve();
	let isFirst = true;
	return () => {
		const next = last.then(() => {
			const wanted = isFirst;
			isFirst = false;
			return readInto(reader, directory, store, options, wanted);
		});
		last = next.catch(() => undefined);
		return next;
	};
}

async function readInto(
	reader: DirectoryReader,
	directory: string,
	store: Store,
	options: WatchOptions,
	isFirst: boolean,
): Promise<readonly Diagnostic[] | undefined> {
	const content = await reader.read(options.clock.nowMs());
	if (!content.changed && !isFirst) return undefined;
	const source = options.source ?? sources.files;
	const admitted = admitObjects(content.objects, withoutObjects(store.snapshot(), store.objectsOf(source)), options.checks);
	const result = store.replaceSource(source, admitted.accepted);
	const diagnostics = [...content.diagnostics, ...admitted.diagnostics];
	options.logger.info("configuration directory read", { directory, objects: content.objects.length, changed: result.changed.length });
	options.onDiagnostics?.(diagnostics);
	return diagnostics;
}

/** Wakes the loop: by an event, by the sweep's time, or by the end. */
interface Events {
	/** Resolves on the next event, after `ms`, or when the signal aborts. */
	next(ms: number): Promise<void>;
	/** Has there been an event since the last call? */
	take(): boolean;
	close(): void;
}

function createEvents(directory: string, { signal, clock, logger, useEvents = true }: WatchOptions): Events {
	let pending = false;
	let wake = () => {};
	let watcher: FSWatcher | undefined;
	const open = () => {
		if (watcher || !useEvents || signal.aborted) return;
		try {
			watcher = watch(directory, { recursive: true, persistent: true }, () => {
				pending = true;
				wake();
			});
			watcher.on("error", (error) => {
				logger.debug("watch lost, sweeping until it is back", { directory, error });
				close();
			});
		} catch (error) {
			// Not there yet, or no watches left: the sweep goes on, and the next one tries again.
			logger.debug("no watch on the directory, sweeping", { directory, error });
		}
	};
	const close = () => {
		watcher?.close();
		watcher = undefined;
	};
	open();
	return {
		next: async (ms) => {
			open();
			if (pending) return;
			const slept = new AbortController();
			const woken = new Promise<void>((resolve) => {
				wake = resolve;
			});
			await Promise.race([woken, clock.sleep(ms, AbortSignal.any([signal, slept.signal]))]);
			slept.abort();
		},
		take: () => {
			const was = pending;
			pending = false;
			return was;
		},
		close,
	};
}
