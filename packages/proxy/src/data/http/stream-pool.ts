import type { WorkerContext } from "../worker/context.ts";
import { HttpStream } from "./stream.ts";

const sparesMax = 1024;

/** Streams of one worker that nobody uses right now. */
export class StreamPool {
	readonly #context: WorkerContext;
	readonly #spares: HttpStream[] = [];

	constructor(context: WorkerContext) {
		this.#context = context;
	}

	take(): HttpStream {
		return this.#spares.pop() ?? new HttpStream(this.#context);
	}

	give(stream: HttpStream): void {
		stream.reset();
		if (this.#spares.length < sparesMax) this.#spares.push(stream);
		else stream.dispose();
	}
}
