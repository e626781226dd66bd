import type { Logger } from "@weft/runtime";
import type { Server } from "./server.ts";

export interface LifetimeOptions {
	readonly server: Server;
	readonly logger: Logger;
	/** Resolves when the process is told over HTTP to end. */
	readonly quit: Promise<"now" | "drain">;
	/** What happens between SIGTERM and the end; a second signal, which aborts `signal`, ends it at once. */
	readonly drain: (server: Server, signal: AbortSignal) => Promise<void>;
}

/** What is quiet is closed, what is under way may finish until the deadline. */
export function drainUntilIdle(deadlineMs: number): LifetimeOptions["drain"] {
	return (server) => server.drain(deadlineMs);
}

/**
 * Serves until a signal or the admin server ends it. SIGTERM and SIGINT drain first; a second signal ends it at once.
 * SIGUSR1 opens the access logs anew.
 */
export async function superviseServer({ server, logger, quit, drain }: LifetimeOptions): Promise<void> {
	const ended = Promise.withResolvers<"now" | "drain">();
	const again = new AbortController();
	let signals = 0;
	const onSignal = (signal: string) => {
		logger.info("received a signal", { signal });
		if (signals++ === 0) ended.resolve("drain");
		else again.abort();
	};
	const reopen = () => server.reopenLogs();
	process.on("SIGTERM", onSignal);
	process.on("SIGINT", onSignal);
	process.on("SIGUSR1", reopen);
	void quit.then(ended.resolve);
	if ((await ended.promise) === "drain") await Promise.race([drain(server, again.signal), once(again.signal)]);
	await server.stop();
	process.off("SIGTERM", onSignal);
	process.off("SIGINT", onSignal);
	process.off("SIGUSR1", reopen);
	logger.info("stopped");
}

function once(signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
