import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { bodyOf, ok, openClient, type RecordingUpstream, startUpstream } from "../http/test-peers.ts";
import { chainOf, clusterOf, forwardTo, hostsOf, listenerOf, managerOf, routeOf, type Standalone, startStandalone, tableOf, updateOf } from "./standalone.ts";

it("listeners that are on their way when a drain comes drain, too", async () => {
	const proxy = await startStandalone();
	const update = updateOf({ listeners: [listenerOf("l", [chainOf([{ kind: "echo" }])])] });
	const applied = proxy.apply(update);
	proxy.worker.handle({ kind: "drain", graceful: false, inboundOnly: false, deadlineMs: 600_000 });
	await applied;
	while (!proxy.messages.some(({ kind }) => kind === "drained")) await new Promise((resolve) => setTimeout(resolve, 10));
	await assert.rejects(openClient(proxy.port("l")), { code: "ECONNREFUSED" });
	await proxy.close();
});

describe("at the end of the process", () => {
	let proxy: Standalone;
	let upstream: RecordingUpstream;
	let answer = () => {};
	const isDrained = () => proxy.messages.some(({ kind }) => kind === "drained");
	const turn = () => new Promise((resolve) => setTimeout(resolve, 10));

	before(async () => {
		proxy = await startStandalone();
		upstream = await startUpstream((socket) => {
			answer = () => void socket.write(ok("late"));
		});
		const chain = chainOf([managerOf(tableOf([routeOf("/", forwardTo("c"))]))]);
		await proxy.apply(updateOf({ listeners: [listenerOf("l", [chain])], clusters: [clusterOf("c")], hosts: [hostsOf("c", [upstream.port])] }));
	});
	after(async () => {
		upstream.close();
		await proxy.close();
	});

	it("quiet connections are closed at once, requests are finished, and then it is over, long before the deadline", async () => {
		const quiet = await openClient(proxy.port("l"));
		const busy = await openClient(proxy.port("l"));
		busy.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
		while (!(upstream.received[0] ?? "").endsWith("\r\n\r\n")) await turn();
		proxy.worker.handle({ kind: "drain", graceful: false, inboundOnly: false, deadlineMs: 600_000, untilIdle: true });
		await quiet.closed;
		assert.equal(isDrained(), false);
		answer();
		await busy.closed;
		assert.equal(bodyOf(busy.text), "late");
		assert.match(busy.text, /connection: close\r\n/);
		while (!isDrained()) await turn();
		for (const { socket } of [quiet, busy]) socket.destroy();
	});
});
