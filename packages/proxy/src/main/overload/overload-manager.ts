import type { Clock, Logger } from "@weft/runtime";
import {
	loadShedPoints,
	overloadActions,
	type OverloadConfig,
	overloadScale,
	type OverloadTrigger,
	overloadWords,
	type ResourceMonitor,
} from "../../config/overload.ts";
import type { ValueBlock } from "../../data/stats/registry.ts";

export interface OverloadManagerOptions {
	readonly config: OverloadConfig;
	/** Of `createOverloadBuffer`. */
	readonly buffer: SharedArrayBuffer;
	readonly readFile: (path: string) => Uint8Array;
	/** Bytes that the process takes of the machine's memory. */
	readonly memoryBytes: () => number;
	/** An action begins, ends, or is done to another degree. */
	readonly onChange: () => void;
	/** Memory that nothing uses is to be given back. */
	readonly onShrinkHeap: () => void;
	readonly clock: Clock;
	readonly logger: Logger;
}

interface Measured {
	readonly monitor: ResourceMonitor;
	pressure: number;
	failures: number;
	/** The last look failed; the pressure is that of the one before. */
	isFailing: boolean;
}

const shrinkMs = 10_000;

/** Looks at resources once an interval, and tells the workers by shared memory what to do (arch overview, "Overload manager"). */
export class OverloadManager {
	readonly #options: OverloadManagerOptions;
	readonly #words: Int32Array;
	readonly #measured: readonly Measured[];
	#shrunkAtMs = Number.NEGATIVE_INFINITY;
	#shrinks = 0;

	constructor(options: OverloadManagerOptions) {
		this.#options = options;
		this.#words = new Int32Array(options.buffer);
		this.#measured = options.config.monitors.map((monitor) => ({ monitor, pressure: 0, failures: 0, isFailing: false }));
	}

	async run(signal: AbortSignal): Promise<void> {
		const { clock, config } = this.#options;
		while (!signal.aborted) {
			this.refresh();
			await clock.sleep(config.refreshMs, signal);
		}
	}

	refresh(): void {
		const { config, onChange } = this.#options;
		for (const measured of this.#measured) this.#measure(measured);
		let hasChanged = false;
		for (const action of config.actions) {
			const value = this.#valueOf(action.triggers);
			if (Atomics.exchange(this.#words, overloadActions.indexOf(action.name), value) !== value) hasChanged = true;
		}
		for (const { name, triggers } of config.shedPoints)
			Atomics.store(this.#words, overloadWords.shedPoints + loadShedPoints.indexOf(name), this.#valueOf(triggers));
		if (hasChanged) onChange();
		this.#shrink();
	}

	#measure(measured: Measured): void {
		const pressure = this.#pressureOf(measured.monitor);
		if (typeof pressure === "number") measured.pressure = pressure;
		else {
			measured.failures++;
			if (!measured.isFailing) this.#options.logger.warn("a resource could not be measured", { monitor: measured.monitor.name, error: pressure });
		}
		measured.isFailing = typeof pressure === "string";
	}

	/** A text is what went wrong. */
	#pressureOf(monitor: ResourceMonitor): number | string {
		switch (monitor.kind) {
			case "fixedHeap":
				return this.#options.memoryBytes() / monitor.bytesMax;
			case "connections":
				return this.#connections / monitor.connectionsMax;
			case "injected":
				return this.#readPressure(monitor.path);
		}
	}

	#readPressure(path: string): number | string {
		try {
			const text = Buffer.from(this.#options.readFile(path)).toString().trim();
			const pressure = text === "" ? Number.NaN : Number(text);
			return pressure >= 0 && pressure <= 1 ? pressure : `pressure is ${JSON.stringify(text)}, and not from 0 to 1`;
		} catch (error) {
			return error instanceof Error ? error.message : String(error);
		}
	}

	/** Over all workers. */
	get #connections(): number {
		return this.#words.subarray(overloadWords.connections).reduce((sum, count) => sum + count, 0);
	}

	/** In ten thousandths. */
	#valueOf(triggers: readonly OverloadTrigger[]): number {
		const pressureOf = (resource: string) => this.#measured.find(({ monitor }) => monitor.name === resource)?.pressure ?? 0;
		return Math.round(Math.max(0, ...triggers.map((trigger) => valueOf(trigger, pressureOf(trigger.resource)))) * overloadScale);
	}

	#shrink(): void {
		const { clock, onShrinkHeap } = this.#options;
		if (this.#words[overloadActions.indexOf("shrink_heap")] !== overloadScale || clock.monotonicMs() - this.#shrunkAtMs < shrinkMs) return;
		this.#shrunkAtMs = clock.monotonicMs();
		this.#shrinks++;
		onShrinkHeap();
	}

	/** `overload.` and its like. */
	stats(): { readonly counters: readonly ValueBlock[]; readonly gauges: readonly ValueBlock[] } {
		const block = (prefix: string, values: Readonly<Record<string, number>>): ValueBlock => ({
			prefix: `overload.${prefix}.`,
			names: Object.keys(values),
			values: Float64Array.from(Object.values(values)),
		});
		const { actions, shedPoints } = this.#options.config;
		const percentOf = (value: number) => Math.floor((value * 100) / overloadScale);
		const values = actions.map(({ name }) => [name, this.#words[overloadActions.indexOf(name)] ?? 0] as const);
		return {
			counters: [
				...this.#measured.map(({ monitor, failures }) => block(monitor.name, { failed_updates: failures, skipped_updates: 0 })),
				...(actions.some(({ name }) => name === "shrink_heap") ? [block("envoy.overload_actions.shrink_heap", { shrink_count: this.#shrinks })] : []),
				...shedPoints.map(({ name }) =>
					block(`envoy.load_shed_points.${name}`, { shed_load_count: this.#words[overloadWords.shedCounts + loadShedPoints.indexOf(name)] ?? 0 }),
				),
			],
			gauges: [
				...this.#measured.map(({ monitor, pressure }) => block(monitor.name, { pressure: Math.round(pressure * 100) })),
				...values.map(([name, value]) => block(`envoy.overload_actions.${name}`, { active: value >= overloadScale ? 1 : 0, scale_percent: percentOf(value) })),
				...shedPoints.map(({ name }) =>
					block(`envoy.load_shed_points.${name}`, { scale_percent: percentOf(this.#words[overloadWords.shedPoints + loadShedPoints.indexOf(name)] ?? 0) }),
				),
			],
		};
	}
}

function valueOf({ scaling, saturation }: OverloadTrigger, pressure: number): number {
	if (pressure >= saturation) return 1;
	return pressure <= scaling ? 0 : (pressure - scaling) / (saturation - scaling);
}
