import type { TelemetryService } from "../../config/telemetry.ts";
import { Timer } from "../transport/timers.ts";
import { AsyncRequest } from "../upstream/async-request.ts";
import type { WorkerContext } from "../worker/context.ts";

export interface BatchOptions<T> {
	readonly service: TelemetryService;
	/** HTTP's, or the whole name of the gRPC method. */
	readonly path: string;
	/** Beside the service's own; lower-case name, value, … */
	readonly headers: readonly string[];
	/** Items that are sent without waiting for more. */
	readonly itemsMin: number;
	readonly flushMs: number;
	/** undefined: it cannot be encoded yet; the items are kept. */
	readonly encode: (items: readonly T[]) => Buffer | undefined;
	readonly onEvent: (event: BatchEvent, items: number) => void;
}

export type BatchEvent = "sent" | "timerFlushed" | "reported" | "noCluster" | "failed" | "dropped";

/** What waits for a slow collector; more is dropped. */
const itemsMax = 2_000;
const underWayMax = 2;
const answerBytesMax = 64 * 1024;

/**
 * Sends telemetry to a collector over the worker's own pools, several items at a time. Never waited for: what does not
 * fit is dropped and counted. Sending begins in an event of its own, so that no request pays for it.
 */
export class BatchSender<T> {
	readonly #context: WorkerContext;
	readonly #options: BatchOptions<T>;
	readonly #flushTimer: Timer;
	readonly #sendTimer: Timer;
	#items: T[] = [];
	#underWay = 0;
	#isClosed = false;

	constructor(context: WorkerContext, options: BatchOptions<T>) {
		this.#context = context;
		this.#options = options;
		this.#sendTimer = new Timer(context.wheel, () => this.#send());
		this.#flushTimer = new Timer(context.wheel, () => {
			options.onEvent("timerFlushed", 1);
			this.#send();
		});
	}

	add(item: T): void {
		if (this.#items.length >= itemsMax) return this.#options.onEvent("dropped", 1);
		this.#items.push(item);
		if (this.#items.length >= this.#options.itemsMin) this.#sendSoon();
		else if (!this.#flushTimer.isArmed) this.#flushTimer.arm(this.#options.flushMs);
	}

	/** Sends what there is; nothing is to be added any more. */
	close(): void {
		this.#isClosed = true;
		this.#send();
	}

	#sendSoon(): void {
		if (this.#underWay < underWayMax && !this.#sendTimer.isArmed) this.#sendTimer.arm(1);
	}

	#send(): void {
		if (this.#items.length === 0 || (this.#underWay >= underWayMax && !this.#isClosed)) return;
		const { encode, onEvent, service } = this.#options;
		const cluster = this.#context.snapshot.clusters.get(service.cluster);
		const items = this.#items;
		const body = cluster && encode(items);
		if (cluster !== undefined && body === undefined) return this.#flushTimer.arm(this.#options.flushMs);
		this.#flushTimer.disarm();
		this.#items = [];
		if (cluster === undefined || body === undefined) return onEvent("noCluster", 1);
		onEvent("sent", items.length);
		this.#underWay++;
		new AsyncRequest(cluster, this.#request(body), (result) => {
			this.#underWay--;
			const isTaken = result.kind === "response" && result.response.status < 300 && isGrpcOk(result.response.get("grpc-status"));
			if (isTaken) onEvent("reported", 1);
			else onEvent(result.kind === "failed" ? "failed" : "dropped", result.kind === "failed" ? 1 : items.length);
			if (this.#items.length >= this.#options.itemsMin || (this.#isClosed && this.#items.length > 0)) this.#sendSoon();
		});
	}

	#request(body: Buffer) {
		const { headers, path, service } = this.#options;
		const { authority, timeoutMs } = service;
		const own = [...headers, ...service.headers];
		if (service.kind === "http") return { method: "POST", authority, path, headers: own, body, timeoutMs, bodyBytesMax: answerBytesMax };
		const grpc = ["te", "trailers", "content-type", "application/grpc", ...own];
		return { method: "POST", authority, path, headers: grpc, body: frame(body), timeoutMs, bodyBytesMax: answerBytesMax };
	}
}

/** A message of gRPC: not compressed, its length, itself. */
function frame(message: Buffer): Buffer {
	const framed = Buffer.allocUnsafe(message.length + 5);
	framed[0] = 0;
	framed.writeUInt32BE(message.length, 1);
	message.copy(framed, 5);
	return framed;
}

/** In the head only of an answer that is nothing but a status. */
const isGrpcOk = (status: string | undefined): boolean => status === undefined || status === "0";
