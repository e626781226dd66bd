import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { answerOf, openSession, request, send } from "../http/http2-test-peers.ts";
import { openClient, ok, type RecordingUpstream, startUpstream } from "../http/test-peers.ts";
import {
	chainOf,
	clusterOf,
	forwardTo,
	hostsOf,
	listenerOf,
	managerOf,
	routeOf,
	type Standalone,
	startStandalone,
	tableOf,
	updateOf,
} from "../worker/standalone.ts";
import { askAllToReconnect } from "./reconnects.ts";

it("ten are asked each turn", async () => {
	let turns = 0;
	const askedIn: number[] = [];
	const { promise, resolve } = Promise.withResolvers<void>();
	const connections = Array.from({ length: 25 }, () => ({ askToReconnect: () => void askedIn.push(turns) }));
	// The test's own: that of the turns keeps nothing alive.
	const alive = setInterval(() => {}, 1_000);
	askAllToReconnect(connections, () => {
		if (++turns === 3) resolve();
	});
	await promise;
	clearInterval(alive);
	assert.deepEqual(
		[0, 1, 2].map((turn) => askedIn.filter((of) => of === turn).length),
		[10, 10, 5],
	);
});

describe("once there are other workers", () => {
	let proxy: Standalone;
	let upstream: RecordingUpstream;
	const late: (() => void)[] = [];

	before(async () => {
		proxy = await startStandalone();
		upstream = await startUpstream((socket, text) => {
			const answer = () => void socket.write(ok("answer"));
			if (text.lastIndexOf("GET /late") === text.lastIndexOf("GET ")) late.push(answer);
			else answer();
		});
		const chain = chainOf([managerOf(tableOf([routeOf("/", forwardTo("c"))]))]);
		const listeners = [listenerOf("http", [chain]), listenerOf("tcp", [chainOf([{ kind: "echo" }])])];
		await proxy.apply(updateOf({ listeners, clusters: [clusterOf("c")], hosts: [hostsOf("c", [upstream.port])] }));
	});
	after(async () => {
		upstream.close();
		await proxy.close();
	});

	const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: h\r\n\r\n`;
	const answered = (text: string) => text.endsWith("answer");

	it("the next answer over HTTP/1 is the last; what is silent, and what is not HTTP, stays", async () => {
		const [silent, busy, tcp] = await Promise.all([openClient(proxy.port("http")), openClient(proxy.port("http")), openClient(proxy.port("tcp"))]);
		silent.send(get("/"));
		await silent.until(answered);
		assert.doesNotMatch(silent.text, /connection: close/);
		busy.send(get("/late"));
		while (late.length === 0) await new Promise(setImmediate);
		proxy.worker.handle({ kind: "spread" });
		const fresh = await openClient(proxy.port("http"));
		// By then they have been asked.
		await new Promise((resolve) => setTimeout(resolve, 300));
		late.shift()?.();
		await busy.closed;
		assert.match(busy.text, /connection: close\r\n[^]*answer$/);
		silent.text = "";
		silent.send(get("/"));
		await silent.closed;
		assert.match(silent.text, /connection: close\r\n[^]*answer$/);
		tcp.send("hello");
		await tcp.until((text) => text === "hello");
		// One that came since has its worker.
		fresh.send(get("/"));
		assert.doesNotMatch(await fresh.until(answered), /connection: close/);
		for (const { socket } of [silent, busy, tcp, fresh]) socket.destroy();
	});

	it("over HTTP/2 the client is told to, and requests under way are answered", async () => {
		const session = await openSession(proxy.port("http"));
		assert.equal((await request(session, { ":path": "/" })).status, 200);
		const stream = send(session, { ":path": "/late" });
		const answer = answerOf(stream);
		while (late.length === 0) await new Promise(setImmediate);
		const goaway = once(session, "goaway");
		proxy.worker.handle({ kind: "spread" });
		const [code, lastStream] = (await goaway) as [number, number];
		assert.deepEqual([code, lastStream], [0, 2 ** 31 - 1]);
		late.shift()?.();
		assert.equal((await answer).body.toString(), "answer");
		session.close();
	});
});
