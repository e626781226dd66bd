import { type Backoff, type Clock, createBackoff, type Logger } from "@weft/runtime";
import type { KubeClient } from "./client.ts";
import { errorOfResponse, errorOfStatus, KubeError } from "./errors.ts";
import { jsonLines } from "./json-lines.ts";
import { type KubeObject, pathOf, type ResourceType } from "./resource.ts";

/**
 *   starting ──LIST──▶ synced ◀──LIST or watch works again── failing      (no answer, or an error of the server)
 *       │                 │                                     ▲
 *       └──404──▶ missing └── 403, 401 ──▶ forbidden            └── from every state
 *
 * What was read stays in force in every state: only a LIST or a DELETED event takes something away.
 */
export type WatchState = "starting" | "synced" | "missing" | "forbidden" | "failing";

export interface ResourceEvent {
	readonly type: "upsert" | "delete";
	readonly object: KubeObject;
}

export interface ResourceWatchOptions {
	readonly namespace?: string;
	readonly labelSelector?: string;
	readonly fieldSelector?: string;
	/** Versions in which the kind may be served instead: an older or newer CRD has others. */
	readonly otherVersions?: readonly string[];
	/** More objects than this are refused and what was read before stays; default 200 000. */
	readonly objectsMax?: number;
	readonly signal: AbortSignal;
	readonly clock: Clock;
	readonly logger: Logger;
	/** Uniform in [0, 1). */
	readonly random?: () => number;
	/** The whole truth: after the start and after a gap that no watch could bridge. */
	onList(objects: readonly KubeObject[]): void;
	/** What came together, in order. */
	onEvents(events: readonly ResourceEvent[]): void;
	onState?(state: WatchState, reason: string): void;
}

export interface ResourceWatch {
	readonly state: WatchState;
	/** In the version that is read. */
	readonly type: ResourceType;
	/** Resolves when `signal` has aborted. Never rejects. */
	readonly done: Promise<void>;
}

/**
 * A watch ends by itself after about half a minute and goes on from where it was: a server that is half gone (open
 * connection, no word) is found out by the end that does not come. TCP keep-alive finds a silent network earlier.
 */
const watchSecondsMin = 25;
const watchSecondsSpread = 8;
const watchGraceMs = 7_000;
/** A watch that ends sooner than this without a word is no success. */
const shortWatchMs = 1_000;
const unavailableRetryMs = 10_000;

/** LIST, then watch, until `signal` aborts: bookmarks and resource versions bridge gaps, and one LIST mends what they cannot. */
export function watchResource(client: KubeClient, type: ResourceType, options: ResourceWatchOptions): ResourceWatch {
	const watcher = new Watcher(client, type, options);
	return {
		get state() {
			return watcher.state;
		},
		get type() {
			return watcher.type;
		},
		done: watcher.run(),
	};
}

class Watcher {
	readonly #client: KubeClient;
	readonly #types: readonly ResourceType[];
	/** Into `#types`; and how many of them have been found missing one after the other. */
	#at = 0;
	#missing = 0;
	readonly #options: ResourceWatchOptions;
	readonly #random: () => number;
	readonly #backoff: Backoff;
	/** From where the next watch goes on; undefined: a LIST is due. */
	#resourceVersion: string | undefined;
	state: WatchState = "starting";

	constructor(client: KubeClient, type: ResourceType, options: ResourceWatchOptions) {
		this.#client = client;
		this.#types = [type, ...(options.otherVersions ?? []).map((version) => ({ ...type, version }))];
		this.#options = options;
		this.#random = options.random ?? Math.random;
		this.#backoff = createBackoff({ minMs: 500, maxMs: 10_000, random: this.#random });
	}

	get type(): ResourceType {
		return this.#types[this.#at] as ResourceType;
	}

	async run(): Promise<void> {
		const { signal, clock } = this.#options;
		while (!signal.aborted) {
			try {
				if (this.#resourceVersion === undefined) await this.#list();
				else await this.#watch(this.#resourceVersion);
			} catch (error) {
				if (signal.aborted) return;
				await clock.sleep(this.#failed(error), signal);
			}
		}
	}

	async #list(): Promise<void> {
		const { namespace, labelSelector, fieldSelector, objectsMax, signal } = this.#options;
		const { items, resourceVersion } = await this.#client.list(this.type, {
			signal,
			...(namespace !== undefined && { namespace }),
			...(labelSelector !== undefined && { labelSelector }),
			...(fieldSelector !== undefined && { fieldSelector }),
			...(objectsMax !== undefined && { objectsMax }),
		});
		this.#missing = 0;
		this.#tell(() => this.#options.onList(items));
		this.#resourceVersion = resourceVersion;
		this.#setState("synced", `${items.length} objects`);
	}

	async #watch(resourceVersion: string): Promise<void> {
		const { namespace, labelSelector, fieldSelector, signal, clock } = this.#options;
		const seconds = Math.floor(watchSecondsMin + this.#random() * watchSecondsSpread);
		const startedMs = clock.monotonicMs();
		const path = pathOf(this.type, namespace);
		const stream = await this.#client.transport.open({
			method: "GET",
			path,
			query: { watch: "true", allowWatchBookmarks: "true", resourceVersion, timeoutSeconds: String(seconds), labelSelector, fieldSelector },
			signal,
			timeoutMs: seconds * 1000 + watchGraceMs,
		});
		if (stream.status !== 200) throw errorOfResponse(`watch ${path}`, { status: stream.status, retryAfter: stream.retryAfter, body: await head(stream.body) });
		let any = false;
		for await (const lines of jsonLines(stream.body)) {
			this.#take(lines);
			any = true;
			this.#backoff.reset();
			this.#setState("synced", "watching");
		}
		const lastedMs = clock.monotonicMs() - startedMs;
		if (!any && lastedMs < shortWatchMs) throw new Error(`watch ${path}: ended at once`);
		this.#backoff.reset();
		this.#setState("synced", "watching");
	}

	/** Hands on the events of some lines, those before a bad one, too. */
	#take(lines: readonly string[]): void {
		const events: ResourceEvent[] = [];
		let failure: unknown;
		let resourceVersion = this.#resourceVersion;
		for (const line of lines) {
			try {
				const event = decodeEvent(line);
				resourceVersion = event.object.metadata.resourceVersion ?? resourceVersion;
				if (event.type !== "bookmark") events.push({ type: event.type, object: event.object });
			} catch (error) {
				failure = error;
				break;
			}
		}
		if (events.length > 0) this.#tell(() => this.#options.onEvents(events));
		this.#resourceVersion = resourceVersion;
		if (failure !== undefined) throw failure;
	}

	/** A listener's mistake must not end the watch. */
	#tell(listen: () => void): void {
		try {
			listen();
		} catch (error) {
			this.#options.logger.error("a listener of a watch failed", { resource: this.type.plural, error });
		}
	}

	/** What to do about an error, and after how many milliseconds. */
	#failed(error: unknown): number {
		const reason = error instanceof Error ? error.message : String(error);
		const backoffMs = this.#backoff.nextMs();
		if (!(error instanceof KubeError)) {
			this.#setState("failing", reason);
			return backoffMs;
		}
		if (error.status === 410) {
			this.#options.logger.info("watch expired, reading all again", { resource: this.type.plural, reason });
			this.#resourceVersion = undefined;
			return backoffMs;
		}
		if (error.status === 404) {
			// The kind may come back with other objects.
			this.#resourceVersion = undefined;
			this.#at = (this.#at + 1) % this.#types.length;
			if (++this.#missing < this.#types.length) return 0;
			this.#missing = 0;
			this.#setState("missing", reason);
			return Math.max(unavailableRetryMs, backoffMs);
		}
		if (error.status === 403 || error.status === 401) {
			this.#setState("forbidden", reason);
			return Math.max(unavailableRetryMs, backoffMs);
		}
		this.#setState("failing", reason);
		return Math.max(error.retryAfterMs ?? 0, backoffMs);
	}

	#setState(state: WatchState, reason: string): void {
		if (state === this.state) return;
		const before = this.state;
		this.state = state;
		const { logger, onState } = this.#options;
		const fields = { resource: this.type.plural, group: this.type.group, reason };
		if (state === "synced") logger.info(before === "starting" ? "watching" : "watching again", fields);
		else if (state === "missing") logger.warn("the cluster has no such kind; going on without it until its CRD is installed", fields);
		else if (state === "forbidden") logger.warn("not allowed to read; going on without it, grant get, list and watch", fields);
		else logger.warn("the API server does not answer as it should; what was read stays in force", fields);
		onState?.(state, reason);
	}
}

interface DecodedEvent {
	readonly type: "upsert" | "delete" | "bookmark";
	readonly object: KubeObject;
}

/** https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes */
function decodeEvent(line: string): DecodedEvent {
	let event: { readonly type?: unknown; readonly object?: KubeObject };
	try {
		event = JSON.parse(line) as typeof event;
	} catch (cause) {
		throw new Error("a watch event is no whole JSON", { cause });
	}
	const { type, object } = event;
	if (type === "ERROR") throw errorOfStatus(object, 500);
	if (typeof object?.metadata !== "object" || object.metadata === null) throw new Error("a watch event holds no object");
	switch (type) {
		case "ADDED":
		case "MODIFIED":
			return { type: "upsert", object };
		case "DELETED":
			return { type: "delete", object };
		case "BOOKMARK":
			return { type: "bookmark", object };
		default:
			throw new Error(`a watch event has the unknown type ${JSON.stringify(type)}`);
	}
}

/** The beginning of an error's body. */
async function head(body: AsyncIterable<Buffer>): Promise<string> {
	const chunks: Buffer[] = [];
	let bytes = 0;
	for await (const chunk of body) {
		chunks.push(chunk);
		bytes += chunk.length;
		if (bytes > 64 << 10) break;
	}
	return Buffer.concat(chunks).toString("utf8");
}
