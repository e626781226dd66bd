import { createServer } from "node:net";

/** First of the ports that a local mesh hands out; below the range from which systems take ephemeral ports. */
const firstPort = 20_000;
const lastPort = 32_000;
export const portCount = lastPort - firstPort;

/** Hands out loopback ports that are free now and that it never handed out before. */
export interface PortAllocator {
	/** The same key gets the same port again while it is free. */
	take(key: string): Promise<number>;
	/** Keys and ports, to be kept across restarts. */
	taken(): Readonly<Record<string, number>>;
}

export function createPortAllocator(
	before: Readonly<Record<string, number>>,
	start: number,
	isFree: (port: number) => Promise<boolean> = portIsFree,
): PortAllocator {
	const byKey = new Map(Object.entries(before));
	const used = new Set(byKey.values());
	const confirmed = new Set<string>();
	let next = firstPort + (start % portCount);
	return {
		async take(key) {
			const known = byKey.get(key);
			if (known !== undefined && (confirmed.has(key) || (await isFree(known)))) {
				confirmed.add(key);
				return known;
			}
			for (let tried = 0; tried < portCount; tried++) {
				const port = next;
				next = next + 1 < lastPort ? next + 1 : firstPort;
				if (used.has(port) || !(await isFree(port))) continue;
				used.add(port);
				byKey.set(key, port);
				confirmed.add(key);
				return port;
			}
			throw new Error(`no free port between ${firstPort} and ${lastPort}`);
		},
		taken: () => Object.fromEntries(byKey),
	};
}

/** Whether nobody listens on the port, on any address of this machine. */
export function portIsFree(port: number): Promise<boolean> {
	return new Promise((resolve) => {
		const server = createServer();
		server.once("error", () => resolve(false));
		server.listen({ port, host: "0.0.0.0", exclusive: true }, () => server.close(() => resolve(true)));
	});
}
