import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { after, before, suite, test } from "node:test";
import { createGatewayResolver } from "./resolve-gateway.ts";

const types = { a: 1, aaaa: 28 } as const;
const refusals = { missing: 3, broken: 2 } as const;

/** By the first label: what is answered to which type, with a lifetime in seconds each. */
const zone: Readonly<
	Record<string, Partial<Record<keyof typeof types, readonly (readonly [bytes: readonly number[], ttl: number])[]>> | keyof typeof refusals>
> = {
	both: {
		a: [
			[[192, 0, 2, 1], 300],
			[[192, 0, 2, 2], 40],
		],
		aaaa: [[[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 90]],
	},
	four: { a: [[[192, 0, 2, 4], 60]] },
	empty: {},
	missing: "missing",
	broken: "broken",
};

/** https://www.rfc-editor.org/rfc/rfc1035#section-4 */
function answer(query: Buffer): Buffer {
	const end = query.indexOf(0, 12) + 5;
	const label = query.toString("latin1", 13, 13 + (query[12] ?? 0));
	const wanted = query.readUInt16BE(end - 4);
	const found = zone[label] ?? "missing";
	const kind = wanted === types.a ? "a" : "aaaa";
	const records = typeof found === "string" ? [] : (found[kind] ?? []);
	const head = Buffer.from(query.subarray(0, end));
	head.writeUInt16BE(0x8180 | (typeof found === "string" ? refusals[found] : 0), 2);
	for (const [offset, count] of [
		[6, records.length],
		[8, 0],
		[10, 0],
	] as const)
		head.writeUInt16BE(count, offset);
	const body = records.map(([bytes, ttl]) => {
		const record = Buffer.alloc(12);
		record.writeUInt16BE(0xc00c, 0);
		record.writeUInt16BE(wanted, 2);
		record.writeUInt16BE(1, 4);
		record.writeUInt32BE(ttl, 6);
		record.writeUInt16BE(bytes.length, 10);
		return Buffer.concat([record, Buffer.from(bytes)]);
	});
	return Buffer.concat([head, ...body]);
}

suite("looking up gateways", () => {
	let server: Socket;
	let resolve: ReturnType<typeof createGatewayResolver>;
	const { signal } = new AbortController();

	before(async () => {
		server = createSocket("udp4");
		server.on("message", (query, { port, address }) => server.send(answer(query), port, address));
		server.bind(0, "127.0.0.1");
		await once(server, "listening");
		resolve = createGatewayResolver([`127.0.0.1:${server.address().port}`]);
	});
	after(() => server.close());

	test("gives addresses of both families, and the shortest life of any", async () => {
		const { addresses, ttlMs } = await resolve("both.example.com", signal);
		assert.deepEqual([[...addresses].sort(), ttlMs], [["192.0.2.1", "192.0.2.2", "2001:db8::1"], 40_000]);
	});

	test("needs no more than one family", async () => {
		assert.deepEqual(await resolve("four.example.com", signal), { addresses: ["192.0.2.4"], ttlMs: 60_000 });
	});

	for (const name of ["missing", "broken", "empty"]) {
		test(`rejects with the reason: ${name}`, async () => {
			await assert.rejects(resolve(`${name}.example.com`, signal), new RegExp(`${name}\\.example\\.com`));
		});
	}

	test("ends with the signal", async () => {
		const silent = createSocket("udp4").bind(0, "127.0.0.1");
		await once(silent, "listening");
		const stop = new AbortController();
		const looking = createGatewayResolver([`127.0.0.1:${silent.address().port}`])("both.example.com", stop.signal);
		await once(silent, "message");
		stop.abort();
		await assert.rejects(looking, /ECANCELLED/);
		silent.close();
	});
});
