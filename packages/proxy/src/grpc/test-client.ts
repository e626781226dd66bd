import { createLogger } from "@weft/runtime";
import type { TransportKind } from "../data/transport/connection.ts";
import type { GrpcCallEvents } from "./call.ts";
import { createGrpcEnvironment, type GrpcEnvironment } from "./environment.ts";
import type { GrpcStatus } from "./status.ts";
import type { GrpcTarget } from "./target.ts";

/** Test helper: the channel's surroundings, and what a call hears. */
export function createTestEnvironment(parts: { readonly transport?: TransportKind; readonly nowMs?: () => number } = {}): Promise<GrpcEnvironment> {
	const { transport = "auto", nowMs = () => performance.now() } = parts;
	return createGrpcEnvironment({ transport, clock: { monotonicMs: nowMs }, random: () => 0, logger: createLogger({ level: "none" }) });
}

export function plainTarget(port: number): GrpcTarget {
	return { endpoints: [{ kind: "ip", address: "127.0.0.1", port }], authority: "service.test", connectTimeoutMs: 5000, tls: undefined };
}

/** Keeps what comes; `next` and `ended` wait for it. */
export class Recorder implements GrpcCallEvents {
	readonly messages: Buffer[] = [];
	drains = 0;
	readonly ended: Promise<GrpcStatus>;
	readonly #end: (status: GrpcStatus) => void;
	#wake: () => void = () => {};

	constructor() {
		const { promise, resolve } = Promise.withResolvers<GrpcStatus>();
		this.ended = promise;
		this.#end = resolve;
	}

	onMessage(message: Buffer): void {
		this.messages.push(message);
		this.#wake();
	}
	onEnd(status: GrpcStatus): void {
		this.#end(status);
	}
	onDrain(): void {
		this.drains++;
		this.#wake();
	}

	async until(isTrue: () => boolean): Promise<void> {
		while (!isTrue()) await new Promise<void>((resolve) => (this.#wake = resolve));
	}

	async next(): Promise<Buffer> {
		await this.until(() => this.messages.length > 0);
		return this.messages.shift() as Buffer;
	}
}
