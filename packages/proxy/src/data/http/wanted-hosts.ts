import { Timer } from "../transport/timers.ts";
import type { WorkerContext } from "../worker/context.ts";

/** Requests ask the control plane for names; more at a time go without. */
const namesMax = 1_000;
/** How long a request waits, as for every other first answer of the control plane. */
const waitMs = 15_000;

interface Wanted {
	readonly timer: Timer;
	readonly waiting: Set<() => void>;
}

/** Virtual hosts that requests of one worker wait for (VHDS on demand), by their resource names, `table/host`. */
export class WantedHosts {
	readonly #wanted = new Map<string, Wanted>();

	/** `onAnswer` runs once: it is there, it does not exist, or nobody said. Gives what ends the waiting; undefined: it cannot be asked for. */
	wait(context: WorkerContext, table: string, host: string, onAnswer: () => void): (() => void) | undefined {
		const name = `${table}/${host}`;
		let wanted = this.#wanted.get(name);
		if (wanted === undefined) {
			if (this.#wanted.size >= namesMax || host === "" || host.includes("/")) return undefined;
			const timer = new Timer(context.wheel, () => this.#answer(name));
			wanted = { timer, waiting: new Set() };
			this.#wanted.set(name, wanted);
			timer.arm(waitMs);
			context.post({ kind: "wantHost", name });
		}
		const { waiting } = wanted;
		waiting.add(onAnswer);
		return () => void waiting.delete(onAnswer);
	}

	/** The control plane has answered; what it gave is in force. */
	answered(names: readonly string[]): void {
		for (const name of names) this.#answer(name);
	}

	#answer(name: string): void {
		const wanted = this.#wanted.get(name);
		if (wanted === undefined) return;
		this.#wanted.delete(name);
		wanted.timer.disarm();
		for (const run of wanted.waiting) run();
	}
}
