import type { Clock, Logger } from "@weft/runtime";
import { OutboundQueue } from "../data/http2/outbound.ts";
import type { Transport, TransportKind } from "../data/transport/connection.ts";
import { createTimerWheel, type TimerWheel } from "../data/transport/timers.ts";
import { createTransport } from "../data/transport/transport.ts";
import { type Lookup, systemLookup } from "../data/dns/lookup.ts";

/** What all gRPC channels of one thread share. */
export interface GrpcEnvironment {
	readonly transport: Transport;
	readonly outbounds: OutboundQueue;
	readonly wheel: TimerWheel;
	/** Monotonic milliseconds. */
	readonly nowMs: () => number;
	/** Uniform in [0, 1). */
	readonly random: () => number;
	readonly lookup: Lookup;
}

export interface GrpcEnvironmentOptions {
	/** As in the workers, but without a ring. */
	readonly transport: TransportKind;
	readonly clock: Pick<Clock, "monotonicMs">;
	readonly random: () => number;
	readonly logger: Logger;
	readonly lookup?: Lookup;
}

export async function createGrpcEnvironment({ transport, clock, random, logger, lookup = systemLookup }: GrpcEnvironmentOptions): Promise<GrpcEnvironment> {
	const nowMs = () => clock.monotonicMs();
	// Each turn's output leaves by the outbound queue itself: there is nothing else that waits.
	const afterEvent = () => {};
	const onHandlerError = (error: Error) => logger.error("gRPC connection failed", { error });
	const run = (fire: () => void) => {
		try {
			fire();
		} catch (error) {
			onHandlerError(error instanceof Error ? error : new Error(String(error)));
		}
	};
	return {
		// A ring pays for itself with many connections.
		transport: await createTransport(transport === "auto" ? "raw" : transport, { afterEvent, beforeClose: afterEvent, onHandlerError }),
		outbounds: new OutboundQueue(afterEvent),
		wheel: createTimerWheel(nowMs, run),
		nowMs,
		random,
		lookup,
	};
}
