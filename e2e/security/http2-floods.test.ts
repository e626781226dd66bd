import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertServes, type Fixture, startFixture } from "./fixture.ts";

const mebibyte = 1024 * 1024;
const growthBytesMax = 20 * mebibyte;
/** Of what an attacker opens and resets, so much may have been sent on before it is cut off. */
const leakedRequestsMax = 1_000;
/** However long a flood is: at the latest here the attacker gives up, and the test judges. */
const floodBytesMax = 30 * mebibyte;
const floodMsMax = 8000;

const types = { data: 0, headers: 1, priority: 2, reset: 3, settings: 4, ping: 6, windowUpdate: 8, continuation: 9 } as const;

function frame(type: keyof typeof types, flags: number, streamId: number, payload: Buffer = Buffer.alloc(0)): Buffer {
	const head = Buffer.alloc(9);
	head.writeUIntBE(payload.length, 0, 3);
	head[3] = types[type];
	head[4] = flags;
	head.writeUInt32BE(streamId, 5);
	return Buffer.concat([head, payload]);
}

const uint32 = (value: number): Buffer => {
	const bytes = Buffer.alloc(4);
	bytes.writeUInt32BE(value);
	return bytes;
};
/** GET http://h PATH, without the dynamic table. */
const get = (path: string): Buffer => Buffer.concat([Buffer.from([0x82, 0x86, 0x01, 0x01, 0x68, 0x04, path.length]), Buffer.from(path)]);
const setting = (id: number, value: number): Buffer => Buffer.concat([Buffer.from([0, id]), uint32(value)]);
const preface = (...settings: readonly Buffer[]): Buffer =>
	Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame("settings", 0, 0, Buffer.concat(settings))]);
const open = frame("headers", 4, 1, get("/large"));
const many = (count: number, make: (i: number) => Buffer): Buffer => Buffer.concat(Array.from({ length: count }, (_, i) => make(i)));

interface Attack {
	readonly title: string;
	readonly first: Buffer;
	/** Sent again and again; gives the next piece. */
	readonly again: (round: number) => Buffer;
	readonly reads: boolean;
	/** No rule is broken: the connection goes on. */
	readonly isServed?: boolean;
}

const attacks: readonly Attack[] = [
	{
		title: "e37: streams opened only to be reset",
		first: preface(),
		again: (round) =>
			many(100, (i) => Buffer.concat([frame("headers", 5, 200 * round + 2 * i + 1, get("/")), frame("reset", 0, 200 * round + 2 * i + 1, uint32(8))])),
		reads: true,
	},
	{
		title: "e38: a field block without end",
		first: Buffer.concat([preface(), frame("headers", 0, 1, get("/"))]),
		again: () => frame("continuation", 0, 1, Buffer.alloc(16_000, 0x82)),
		reads: true,
	},
	{
		title: "e38: an empty field block without end",
		first: Buffer.concat([preface(), frame("headers", 0, 1, get("/"))]),
		again: () => many(100, () => frame("continuation", 0, 1)),
		reads: true,
	},
	{ title: "e39: PING, answers unread", first: preface(), again: () => many(500, () => frame("ping", 0, 0, Buffer.alloc(8))), reads: false },
	{ title: "e39: SETTINGS, answers unread", first: preface(), again: () => many(500, () => frame("settings", 0, 0)), reads: false },
	{ title: "e39: empty DATA", first: Buffer.concat([preface(), open]), again: () => many(100, () => frame("data", 0, 1)), reads: true },
	{
		title: "e39: PRIORITY",
		first: Buffer.concat([preface(), open]),
		again: () => many(100, () => frame("priority", 0, 1, Buffer.concat([uint32(3), Buffer.alloc(1)]))),
		reads: true,
	},
	{
		title: "e39: WINDOW_UPDATE by 1",
		first: Buffer.concat([preface(setting(4, 0)), open]),
		again: () => many(100, () => frame("windowUpdate", 0, 0, uint32(1))),
		reads: true,
	},
	// Each is answered by 431, and none is kept.
	{ title: "e40: an index that stands for 4 KB, again and again", first: preface(), again: (round) => bomb(2 * round + 1), reads: true, isServed: true },
];

function bomb(streamId: number): Buffer {
	const entry = Buffer.concat([Buffer.from([0x40, 0x01, 0x61, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4000, 0x78)]);
	return frame("headers", 5, streamId, Buffer.concat([get("/"), entry, Buffer.alloc(10_000, 0xbe)]));
}

describe("sec/http2: a client that floods is cut off, and costs others nothing", () => {
	let fixture: Fixture;
	const answer = Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${mebibyte}\r\n\r\n`), Buffer.alloc(mebibyte, "x")]);
	before(async () => {
		fixture = await startFixture({ listeners: { front: {} } });
		fixture.upstream.responders.set("/large", () => ({ bytes: answer }));
		await assertServes(fixture.proxy.port("front"));
	});
	after(() => fixture?.stop());

	async function attack({ first, again, reads }: Attack): Promise<"closed" | "open"> {
		const socket = connect({ port: fixture.proxy.port("front"), host: "127.0.0.1" });
		socket.on("error", () => {});
		if (reads) socket.resume();
		let isClosed = false;
		for (const event of ["end", "close", "error"]) socket.on(event, () => (isClosed = true));
		socket.write(first);
		const end = performance.now() + floodMsMax;
		for (let round = 0, sent = 0; !isClosed && sent < floodBytesMax && performance.now() < end; round++) {
			const bytes = again(round);
			sent += bytes.length;
			if (!socket.write(bytes)) await Promise.race([new Promise((resolve) => socket.once("drain", resolve)), sleep(500)]);
			else await sleep(0);
		}
		socket.resume();
		for (let i = 0; i < 100 && !isClosed; i++) await sleep(20);
		socket.destroy();
		return isClosed ? "closed" : "open";
	}

	for (const one of attacks) {
		test(`sec/${one.title}`, async () => {
			const before = fixture.proxy.workingSetBytes();
			const seenBefore = fixture.upstream.seen.length;
			assert.equal(await attack(one), one.isServed === true ? "open" : "closed");
			const seen = fixture.upstream.seen.length - seenBefore;
			assert.ok(seen <= leakedRequestsMax, `${seen} requests reached the upstream`);
			await assertServes(fixture.proxy.port("front"));
			assert.ok(fixture.proxy.privateBytes() - before < growthBytesMax, `grew by ${(fixture.proxy.privateBytes() - before) / mebibyte} MB`);
			assert.equal(fixture.proxy.trouble(), undefined);
		});
	}

	for (const [title, settings] of [
		["whose windows are shut", [setting(4, 0)]],
		["that never reads", [setting(4, 0x7fff_ffff)]],
	] as const) {
		test(`sec/e42: 400 answers of 1 MB asked for by a client ${title}`, async () => {
			const before = fixture.proxy.workingSetBytes();
			const socket: Socket = connect({ port: fixture.proxy.port("front"), host: "127.0.0.1" });
			socket.on("error", () => {});
			socket.write(
				Buffer.concat([
					preface(...settings),
					frame("windowUpdate", 0, 0, uint32(0x7fff_0000)),
					many(400, (i) => frame("headers", 5, 2 * i + 1, get("/large"))),
				]),
			);
			await sleep(2500);
			await assertServes(fixture.proxy.port("front"));
			const grown = fixture.proxy.privateBytes() - before;
			socket.destroy();
			assert.ok(grown < growthBytesMax, `grew by ${grown / mebibyte} MB`);
			assert.equal(fixture.proxy.trouble(), undefined);
		});
	}
});
