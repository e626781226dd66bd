import assert from "node:assert/strict";
import { it } from "node:test";
import { systemClock } from "@weft/runtime";
import { DiscoveryRequest } from "../generated/envoy/service/discovery/v3/discovery.ts";
import { paceRequests } from "./paced-stream.ts";
import type { StreamEvents } from "./stream.ts";

it("requests leave as the bucket fills, in order; while many wait nothing is read; what is left goes with its stream", async () => {
	let nowMs = 0;
	const sleeps: { ms: number; wake: () => void }[] = [];
	const sleep = (ms: number, signal?: AbortSignal) =>
		new Promise<void>((resolve) => {
			sleeps.push({ ms, wake: resolve });
			signal?.addEventListener("abort", () => resolve());
		});
	const log: string[] = [];
	let events: StreamEvents | undefined;
	const open = paceRequests(
		(own) => {
			events = own;
			return {
				send: (request) => void log.push(request.typeUrl),
				pause: () => void log.push("pause"),
				resume: () => void log.push("resume"),
				close: () => own.onEnd("closed"),
			};
		},
		{ tokensMax: 2, tokensPerSecond: 4 },
		{ ...systemClock, monotonicMs: () => nowMs, sleep },
	);
	const taken = () => log.splice(0);
	const pass = async (ms: number) => {
		nowMs += ms;
		sleeps.shift()?.wake();
		await new Promise(setImmediate);
	};
	const ended: string[] = [];
	const stream = open({ onResponse: () => undefined, onEnd: (reason) => void ended.push(reason) });
	const send = (...names: readonly string[]) => {
		for (const typeUrl of names) stream.send(DiscoveryRequest.fromPartial({ typeUrl }));
	};
	send("a", "b", "c", "d");
	assert.deepEqual(taken(), ["a", "b"]);
	assert.equal(sleeps[0]?.ms, 250);
	await pass(250);
	assert.deepEqual(taken(), ["c"]);
	send(...Array.from({ length: 15 }, (_, i) => `e${i}`));
	assert.deepEqual(taken(), ["pause"]);
	stream.pause();
	stream.resume();
	assert.deepEqual(taken(), ["pause"], "goes on only when less is waiting");
	await pass(250);
	assert.deepEqual(taken(), ["d", "resume"]);
	events?.onEnd("gone");
	await pass(10_000);
	assert.deepEqual([taken(), ended], [[], ["gone"]]);
	const next = open({ onResponse: () => undefined, onEnd: (reason) => void ended.push(reason) });
	next.send(DiscoveryRequest.fromPartial({ typeUrl: "again" }));
	assert.deepEqual(taken(), ["again"]);
	for (let i = 0; i < 1_002; i++) next.send(DiscoveryRequest.fromPartial({ typeUrl: "many" }));
	assert.deepEqual(taken(), ["many", "pause"]);
	assert.deepEqual(ended, ["gone", "closed"]);
});
