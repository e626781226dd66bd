import { connect, type Socket } from "node:net";
import type { ScenarioName } from "./scenarios.ts";

/** What one hostile client does on each of its connections. */
export type Attack = {
	readonly name: string;
	/** What the others' requests are meanwhile. */
	readonly scenario: ScenarioName;
	readonly connections: number;
	readonly first: Buffer;
	/** Sent again and again; undefined: nothing follows. */
	readonly again: ((round: number) => Buffer) | undefined;
	readonly reads: boolean;
};

const frame = (type: number, flags: number, streamId: number, payload: Buffer = Buffer.alloc(0)): Buffer => {
	const head = Buffer.alloc(9);
	head.writeUIntBE(payload.length, 0, 3);
	head.writeUInt8(type, 3);
	head.writeUInt8(flags, 4);
	head.writeUInt32BE(streamId, 5);
	return Buffer.concat([head, payload]);
};
const many = (count: number, make: (index: number) => Buffer): Buffer => Buffer.concat(Array.from({ length: count }, (_, index) => make(index)));
const preface = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)]);
/** GET http://h/ as indices of HPACK's static table, and a literal. */
const get = Buffer.from([0x82, 0x86, 0x84, 0x01, 0x01, 0x68]);
const cancel = Buffer.from([0, 0, 0, 8]);

const http1 = { scenario: "plain", connections: 20, reads: true } as const;
const http2 = { scenario: "h2c", connections: 20, reads: true } as const;

export const attacks: readonly Attack[] = [
	{ ...http1, name: "heads that never end", connections: 1_000, first: Buffer.from("GET / HTTP/1.1\r\nhost: a\r\nx-slow: "), again: () => Buffer.from("a") },
	{
		...http1,
		name: "heads of 200 KB",
		first: Buffer.from("GET / HTTP/1.1\r\nhost: a\r\n"),
		again: (round) => many(100, (i) => Buffer.from(`x-${round}-${i}: ${"a".repeat(20)}\r\n`)),
	},
	{ ...http1, name: "malformed requests", first: Buffer.from("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"), again: undefined },
	{
		...http1,
		name: "answers that are not read",
		first: Buffer.alloc(0),
		again: () => many(50, () => Buffer.from("GET / HTTP/1.1\r\nhost: a\r\n\r\n")),
		reads: false,
	},
	{
		...http2,
		name: "streams opened only to be reset",
		first: preface,
		again: (round) => many(100, (i) => Buffer.concat([frame(1, 5, 200 * round + 2 * i + 1, get), frame(3, 0, 200 * round + 2 * i + 1, cancel)])),
	},
	{
		...http2,
		name: "a field block without end",
		first: Buffer.concat([preface, frame(1, 0, 1, get)]),
		again: () => frame(9, 0, 1, Buffer.alloc(16_000, 0x82)),
	},
	{ ...http2, name: "PING, answers unread", first: preface, again: () => many(500, () => frame(6, 0, 0, Buffer.alloc(8))), reads: false },
	{ ...http2, name: "SETTINGS, answers unread", first: preface, again: () => many(500, () => frame(4, 0, 0)), reads: false },
];

/** One client has one machine: what it may send and open, so that the proxy is measured and not the load generator. */
const bytesPerSecondMax = 20 * 1024 * 1024;
const opensPerSecondMax = 200;
const tickMs = 5;

export type Damage = { readonly opened: number; readonly sentMb: number };

/** Attacks a port until it is stopped; a connection that is closed is opened again. */
export function startAttack({ again, connections, first, reads }: Attack, port: number): { stop(): Damage } {
	const open = new Set<{ readonly socket: Socket; round: number }>();
	let [opened, sent, opensLeft] = [0, 0, 0];
	const begin = () => {
		const socket = connect({ port, host: "127.0.0.1" });
		const one = { socket, round: 0 };
		opened++;
		open.add(one);
		if (reads) socket.resume();
		socket
			.on("error", () => undefined)
			.on("close", () => open.delete(one))
			.on("end", () => socket.destroy());
		socket.write(first);
		sent += first.length;
	};
	const tick = () => {
		opensLeft = Math.min(opensPerSecondMax, opensLeft + (opensPerSecondMax * tickMs) / 1_000);
		for (; open.size < connections && opensLeft >= 1; opensLeft--) begin();
		let left = (bytesPerSecondMax * tickMs) / 1_000;
		for (const one of open) {
			if (again === undefined || left <= 0) break;
			if (one.socket.writableNeedDrain || one.socket.destroyed) continue;
			const bytes = again(one.round++);
			one.socket.write(bytes);
			left -= bytes.length;
			sent += bytes.length;
		}
	};
	const timer = setInterval(tick, tickMs);
	return {
		stop() {
			clearInterval(timer);
			for (const { socket } of open) socket.destroy();
			return { opened, sentMb: sent / 1_048_576 };
		},
	};
}
