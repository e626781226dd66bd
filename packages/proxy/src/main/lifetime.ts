import type { Logger } from "@weft/runtime";
import type { Server } from "./server.ts";

export interface LifetimeOptions {
	readonly server: Server;
	readonly logger: Logger;
	/** Resolves when the admin server is told to end the process. */
	readonly quit: Promise<void>;
	/** How long what is under way may take after SIGTERM. */
	readonly drainMs: number;
}

/**
 * Serves until a signal or the admin server ends it. SIGTERM and SIGINT drain first: quiet connections are closed, what is
 * under way may finish until the deadline, and the process ends as soon as nothing is; a second signal ends it at once.
 * SIGUSR1 opens the access logs anew.
 */
export async function superviseServer({ server, logger, quit, drainMs }: LifetimeOptions): Promise<void> {
	const ended = Promise.withResolvers<"now" | "drain">();
	const again = Promise.withResolvers<void>();
	let signals = 0;
	const onSignal = (signal: string) => {
		logger.info("received a signal", { signal });
		if (signals++ === 0) ended.resolve("drain");
		else again.resolve();
	};
	const reopen = () => server.reopenLogs();
	process.on("SIGTERM", onSignal);
	process.on("SIGINT", onSignal);
	process.on("SIGUSR1", reopen);
	void quit.then(() => ended.resolve("now"));
	if ((await ended.promise) === "drain") await Promise.race([server.drain(drainMs), again.promise]);
	await server.stop();
	process.off("SIGTERM", onSignal);
	process.off("SIGINT", onSignal);
	process.off("SIGUSR1", reopen);
	logger.info("stopped");
}
