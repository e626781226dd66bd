import type { Logger } from "@weft/runtime";
import type { ResourceReference } from "../config/resource-source.ts";
import { type NamedType, namedTypes, type WantedNames } from "./wanted-names.ts";

/** How long a listener waits over ADS for what may not come at all, where its source says for ever: it is served without. */
const adsTimeoutMsMax = 15_000;

/** Longer ones would fire at once. */
export const timerMsMax = 2 ** 31 - 1;

/** Without these a cluster or a filter is nothing; the others are served without, and refuse. */
const waitsAsSaid: ReadonlySet<NamedType> = new Set(["eds", "ecds"]);

export interface FetchWaitsOptions {
	readonly logger: Logger;
	readonly isThere: (type: NamedType, key: string) => boolean;
	/** Not so what is in files, and what this process has itself: no timer is needed for these. */
	readonly isAsked: (type: NamedType, reference: ResourceReference) => boolean;
	readonly onTimeout: (type: NamedType, key: string, name: string) => void;
}

/** `initial_fetch_timeout`: a timer for each name that is missing; when it fires, what waits is served without. */
export class FetchWaits {
	readonly #options: FetchWaitsOptions;
	readonly #timers = new Map<string, NodeJS.Timeout>();
	#isStopped = false;

	constructor(options: FetchWaitsOptions) {
		this.#options = options;
	}

	follow(names: WantedNames): void {
		const { isAsked, isThere } = this.#options;
		for (const id of this.#timers.keys()) if (!isWanted(names, id)) this.#end(id);
		for (const type of namedTypes) {
			for (const [key, reference] of names[type]) {
				if (isThere(type, key)) clearTimeout(this.#timers.get(`${type}:${key}`));
				else if (isAsked(type, reference)) this.#start(type, key, reference.name, timeoutMsOf(type, reference));
			}
		}
	}

	/** No timer is started from now on. */
	stop(): void {
		this.#isStopped = true;
		for (const timer of this.#timers.values()) clearTimeout(timer);
	}

	#start(type: NamedType, key: string, name: string, timeoutMs: number): void {
		const id = `${type}:${key}`;
		if (timeoutMs === 0 || this.#isStopped || this.#timers.has(id)) return;
		const timer = setTimeout(
			() => {
				this.#options.logger.warn("initial fetch timed out", { type, name });
				this.#options.onTimeout(type, key, name);
			},
			Math.min(timeoutMs, timerMsMax),
		);
		timer.unref();
		this.#timers.set(id, timer);
	}

	#end(id: string): void {
		clearTimeout(this.#timers.get(id));
		this.#timers.delete(id);
	}
}

function isWanted(names: WantedNames, id: string): boolean {
	const colon = id.indexOf(":");
	return names[id.slice(0, colon) as NamedType].has(id.slice(colon + 1));
}

function timeoutMsOf(type: NamedType, { source }: ResourceReference): number {
	const timeoutMs = source?.initialFetchTimeoutMs ?? 0;
	const isAds = source === undefined || source.kind === "ads";
	return isAds && !waitsAsSaid.has(type) ? timeoutMs || adsTimeoutMsMax : timeoutMs;
}
