import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** Stands between a client and a real API server, and breaks what is asked. TLS passes through it untouched. */
export interface FaultProxy {
	readonly port: number;
	/** `pass`; `freeze`: open connections stay open and carry nothing, new ones pass; `refuse`: all are cut, new ones too. */
	set(mode: "pass" | "freeze" | "refuse"): void;
	/** Connections that were opened so far. */
	readonly connections: number;
	close(): void;
}

export async function startFaultProxy(target: URL): Promise<FaultProxy> {
	const pairs = new Set<readonly [Socket, Socket]>();
	let connections = 0;
	let mode: "pass" | "freeze" | "refuse" = "pass";
	const server = createServer((down) => {
		down.on("error", () => undefined);
		if (mode === "refuse") return void down.destroy();
		connections++;
		const up = connect(Number(target.port), target.hostname);
		up.on("error", () => down.destroy());
		down.pipe(up);
		up.pipe(down);
		const pair = [down, up] as const;
		pairs.add(pair);
		for (const socket of pair)
			socket.on("close", () => {
				pairs.delete(pair);
				down.destroy();
				up.destroy();
			});
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return {
		port: (server.address() as AddressInfo).port,
		get connections() {
			return connections;
		},
		set(next) {
			mode = next;
			for (const [down, up] of pairs) {
				if (next === "refuse") down.destroy();
				if (next !== "freeze") continue;
				down.unpipe(up);
				up.unpipe(down);
				down.resume();
				up.resume();
			}
		},
		close() {
			server.close();
			for (const [down] of pairs) down.destroy();
		},
	};
}
