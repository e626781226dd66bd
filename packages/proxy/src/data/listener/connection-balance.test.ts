import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createBalanceBuffer, markWorker } from "../../config/shared-balance.ts";
import type { FromWorker } from "../../config/worker-messages.ts";
import { loadSocketCalls } from "../transport/socket-calls.ts";
import { chainOf, listenerOf, updateOf, workerInit } from "../worker/standalone.ts";
import { createDataWorker, type DataWorker } from "../worker/worker.ts";

const count = 3;
const socketCalls = await loadSocketCalls();
const missing = socketCalls === undefined ? "it needs Linux, and node:ffi or koffi" : false;

let workers: DataWorker[] = [];
let sockets: Socket[] = [];
afterEach(async () => {
	for (const socket of sockets) socket.destroy();
	await Promise.all(workers.map((worker) => worker.close()));
	workers = [];
	sockets = [];
});

interface Started {
	readonly port: number;
	readonly counts: SharedArrayBuffer;
	/** The next one comes. */
	startWorker(): Promise<void>;
}

/** So many workers of one process, with one listener that echoes. */
async function start(id: string, atFirst = count): Promise<Started> {
	const counts = createBalanceBuffer(count);
	let port = 0;
	const listener = listenerOf("even", [chainOf([{ kind: "echo" }])], { exactBalance: true });
	const startWorker = async () => {
		const workerIndex = workers.length;
		const updated = Promise.withResolvers<Extract<FromWorker, { kind: "updated" }>>();
		const post = (message: FromWorker) => {
			if (message.kind === "listening") port = message.port;
			if (message.kind === "updated") updated.resolve(message);
		};
		const init = { ...workerInit(), workerIndex, workers: count, balance: { id, workers: count, counts } };
		const worker = await createDataWorker(init, post, () => undefined, socketCalls);
		workers.push(worker);
		worker.handle({ kind: "update", update: updateOf({ listeners: [listener] }) });
		assert.deepEqual((await updated.promise).errors, []);
	};
	for (let i = 0; i < atFirst; i++) await startWorker();
	return { port, counts, startWorker };
}

function connectionsOf({ context }: DataWorker): number {
	const block = context.stats.dump().gauges.find(({ prefix, names }) => prefix === "listener.even." && names.includes("downstream_cx_active"));
	return block?.values[block.names.indexOf("downstream_cx_active")] ?? 0;
}

async function waitUntil(isSo: () => boolean): Promise<void> {
	for (let i = 0; i < 200 && !isSo(); i++) await sleep(10);
}

async function open(port: number, howMany: number): Promise<readonly Socket[]> {
	const fresh: Socket[] = [];
	for (let i = 0; i < howMany; i++) {
		const socket = connect(port, "127.0.0.1");
		sockets.push(socket);
		fresh.push(socket);
		socket.write(`hello ${i}`);
		const [answer] = (await once(socket, "data")) as [Buffer];
		assert.equal(answer.toString(), `hello ${i}`);
	}
	return fresh;
}

test("every worker has as many connections as the others", { skip: missing }, async () => {
	const { port } = await start("even");
	await open(port, 12);
	assert.deepEqual(workers.map(connectionsOf), [4, 4, 4]);
});

test("new connections fill the gaps that closed ones leave", { skip: missing }, async () => {
	const { port } = await start("gaps");
	const first = await open(port, 9);
	// In turn: the second of each three is the second worker's.
	for (const socket of first.filter((_, i) => i % count === 1)) socket.destroy();
	await waitUntil(() => connectionsOf(workers[1] as DataWorker) === 0);
	await open(port, 3);
	assert.deepEqual(workers.map(connectionsOf), [3, 3, 3]);
});

test("a worker that comes later gets those that come then, until it has as many", { skip: missing }, async () => {
	const { port, startWorker } = await start("later", 2);
	await open(port, 6);
	assert.deepEqual(workers.map(connectionsOf), [3, 3]);
	await startWorker();
	await open(port, 6);
	assert.deepEqual(workers.map(connectionsOf), [4, 4, 4]);
});

test("a worker that ended gets none", { skip: missing }, async () => {
	const { port, counts } = await start("ended");
	markWorker(counts, count, 2, false);
	await open(port, 6);
	assert.deepEqual(workers.map(connectionsOf), [3, 3, 0]);
});

test("a connection for a listener that is gone where it goes is closed", { skip: missing }, async () => {
	const { port } = await start("gone");
	workers[1]?.handle({ kind: "update", update: { ...updateOf({}), listeners: { upsert: [], remove: ["even"] } } });
	await sleep(20);
	await open(port, 1);
	const socket = connect(port, "127.0.0.1");
	sockets.push(socket);
	await once(socket, "close");
});

test("what goes wrong with a connection that is taken over ends that one alone", { skip: missing }, async () => {
	const { port } = await start("throws");
	const server = createServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
	sockets.push(client);
	const [accepted] = (await once(server, "connection")) as [Socket & { readonly _handle: { readonly fd: number } }];
	const fd = socketCalls?.duplicate(accepted._handle.fd) as number;
	accepted.destroy();
	const closed = once(client, "close");
	workers[0]?.context.transport.takeOver(fd, () => {
		throw new Error("by a test");
	});
	await closed;
	server.close();
	await open(port, 1);
});

test("without the means the listener is refused", async () => {
	const init = { ...workerInit("net"), workers: 2, balance: { id: "net", workers: 2, counts: createBalanceBuffer(2) } };
	const updated = Promise.withResolvers<Extract<FromWorker, { kind: "updated" }>>();
	const worker = await createDataWorker(
		init,
		(message) => message.kind === "updated" && updated.resolve(message),
		() => undefined,
		socketCalls,
	);
	workers.push(worker);
	worker.handle({ kind: "update", update: updateOf({ listeners: [listenerOf("even", [chainOf([{ kind: "echo" }])], { exactBalance: true })] }) });
	const { errors } = await updated.promise;
	assert.match(errors[0]?.message ?? "", /exactBalance needs Linux/);
});
