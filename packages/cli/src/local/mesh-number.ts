import { createServer, type Server } from "node:net";
import { CommandError } from "../output/errors.ts";

/** So many meshes fit on one machine: each has a range of pod addresses and of ports of its own. */
export const meshesMax = 200;
/** Below the ports that meshes hand out. */
const firstClaimPort = 19_700;

export interface MeshNumber {
	readonly number: number;
	release(): void;
}

/** The number that a folder's mesh has whenever it is free. */
export function preferredNumber(folder: string): number {
	let hash = 0;
	for (const char of folder) hash = (Math.imul(hash, 31) + char.charCodeAt(0)) >>> 0;
	return hash % meshesMax;
}

/**
 * Takes the preferred number or the next free one. A socket that is held on loopback says that a number is taken: it goes
 * with the process, whatever becomes of that.
 */
export async function claimMeshNumber(preferred: number): Promise<MeshNumber> {
	for (let tried = 0; tried < meshesMax; tried++) {
		const number = (preferred + tried) % meshesMax;
		const server = await hold(firstClaimPort + number);
		if (server) return { number, release: () => void server.close() };
	}
	throw new CommandError(`${meshesMax} meshes run on this machine already: stop one with "weft down"`);
}

function hold(port: number): Promise<Server | undefined> {
	return new Promise((resolve) => {
		const server = createServer((socket) => socket.destroy());
		server.once("error", () => resolve(undefined));
		server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
			server.unref();
			resolve(server);
		});
	});
}
