import type { WantedKind } from "../../config/worker-messages.ts";
import { Timer } from "../transport/timers.ts";
import type { WorkerContext } from "./context.ts";

/** Requests ask the control plane for names; more at a time of one kind go without. */
const namesMax = 1_000;

/** `timeout`: nobody said anything in time. Else it has been told of, and is in the newest snapshot if it exists. */
export type WantedAnswer = "answered" | "timeout";

interface Wanted {
	readonly timer: Timer;
	readonly waiting: Set<(answer: WantedAnswer) => void>;
}

/** What requests and connections of one worker wait for, and the control plane is asked for by name. Several wait for one question. */
export class WantedNames {
	readonly #kind: WantedKind;
	readonly #wanted = new Map<string, Wanted>();

	constructor(kind: WantedKind) {
		this.#kind = kind;
	}

	/** `onAnswer` runs once, at the latest when the first who asked has waited for `timeoutMs`. Gives what ends the waiting; undefined: it cannot be asked for. */
	wait(context: WorkerContext, name: string, timeoutMs: number, onAnswer: (answer: WantedAnswer) => void): (() => void) | undefined {
		let wanted = this.#wanted.get(name);
		if (wanted === undefined) {
			if (this.#wanted.size >= namesMax) return undefined;
			const timer = new Timer(context.wheel, () => this.#answer(name, "timeout"));
			wanted = { timer, waiting: new Set() };
			this.#wanted.set(name, wanted);
			timer.arm(timeoutMs);
			context.post({ kind: "want", what: this.#kind, name });
		}
		const { waiting } = wanted;
		waiting.add(onAnswer);
		return () => void waiting.delete(onAnswer);
	}

	/** The control plane has answered; what it gave is in force. */
	answered(names: readonly string[]): void {
		for (const name of names) this.#answer(name, "answered");
	}

	#answer(name: string, answer: WantedAnswer): void {
		const wanted = this.#wanted.get(name);
		if (wanted === undefined) return;
		this.#wanted.delete(name);
		wanted.timer.disarm();
		for (const run of wanted.waiting) run(answer);
	}
}

/** One of each kind. */
export type WantedOfWorker = Readonly<Record<WantedKind, WantedNames>>;

export function createWanted(): WantedOfWorker {
	return { host: new WantedNames("host"), cluster: new WantedNames("cluster"), routes: new WantedNames("routes") };
}
