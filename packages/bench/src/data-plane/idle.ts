import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { setTimeout as delay } from "node:timers/promises";
import type { PeerName } from "./peers.ts";
import { largest, readMemory } from "./process-sample.ts";
import type { ScenarioName } from "./scenarios.ts";
import type { Subject } from "./subject.ts";

/** What idle connections cost one peer. Measured once, since freed memory does not come back to be taken again. */
export type IdleSample = {
	readonly scenario: ScenarioName;
	readonly peer: PeerName;
	readonly connections: number;
	/** After a load, with no connection. */
	readonly rssBeforeMb: number;
	readonly rssAfterMb: number;
	readonly kbPerConnection: number;
};

/** Handshakes at once, few enough that the proxy's own connections to the backend stay few. */
const batch = 20;
const settleMs = 1_000;
const answerTimeoutMs = 10_000;

/** Opens so many connections, has one request answered on each, and reads memory before and with them idle. @throws Error when one is not served */
export async function measureIdle(subject: Subject, count: number, signal: AbortSignal): Promise<IdleSample> {
	const url = new URL(subject.request.url);
	const sockets: Socket[] = [];
	try {
		const before = await readSettled(subject, signal);
		while (sockets.length < count) {
			const size = Math.min(batch, count - sockets.length);
			sockets.push(...(await Promise.all(Array.from({ length: size }, () => openServed(url)))));
			signal.throwIfAborted();
		}
		const after = await readSettled(subject, signal);
		const closed = sockets.filter((socket) => socket.destroyed || socket.readableEnded).length;
		if (closed > 0) throw new Error(`${subject.peer.name}, ${subject.scenario}: ${closed} of ${count} idle connections were closed`);
		return {
			scenario: subject.scenario,
			peer: subject.peer.name,
			connections: count,
			rssBeforeMb: before / 1024,
			rssAfterMb: after / 1024,
			kbPerConnection: (after - before) / count,
		};
	} finally {
		for (const socket of sockets) socket.destroy();
	}
}

async function readSettled({ processes }: Subject, signal: AbortSignal): Promise<number> {
	await delay(settleMs, undefined, { signal });
	return largest(processes.map((process) => readMemory(process.pid))).rssKb;
}

/** A connection on which one request was answered 200. */
async function openServed(url: URL): Promise<Socket> {
	const port = Number(url.port);
	// The proxy's own certificate is not what is looked at here.
	const socket = url.protocol === "https:" ? connectTls({ host: url.hostname, port, rejectUnauthorized: false }) : connect(port, url.hostname);
	const answered = Promise.withResolvers<void>();
	let answer = "";
	socket.setTimeout(answerTimeoutMs, () => socket.destroy(new Error("an idle connection got no answer in time")));
	socket.on("error", answered.reject).on("close", () => answered.reject(new Error("an idle connection was closed before its answer")));
	socket.on("data", (chunk: Buffer) => {
		answer += chunk.toString("latin1");
		const [head = "", body] = answer.split("\r\n\r\n");
		const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? Number.NaN);
		if (body === undefined || !(body.length >= length)) return;
		if (head.startsWith("HTTP/1.1 200 ")) answered.resolve();
		else answered.reject(new Error(`an idle connection was answered: ${head.split("\r\n")[0]}`));
	});
	socket.write(`GET ${url.pathname} HTTP/1.1\r\nhost: ${url.host}\r\n\r\n`);
	try {
		await answered.promise;
	} catch (error) {
		socket.destroy();
		throw error;
	}
	socket.setTimeout(0);
	return socket;
}
