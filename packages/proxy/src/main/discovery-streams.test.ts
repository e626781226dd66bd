import assert from "node:assert/strict";
import { it } from "node:test";
import { createLogger } from "@weft/runtime";
import type { XdsClient } from "@weft/xds/client";
import type { StreamSource } from "../config/resource-source.ts";
import { DiscoveryStreams } from "./discovery-streams.ts";

const sourceOf = (id: string, initialFetchTimeoutMs = 0): StreamSource => ({ kind: "stream", id, mode: "sotw", service: "{}", initialFetchTimeoutMs });

it("one stream a type and source, as long as something is wanted of it", () => {
	const log: string[] = [];
	const createClient = (type: string, { id }: StreamSource): XdsClient => {
		const name = `${type} ${id}`;
		log.push(`open ${name}`);
		return {
			connected: false,
			mode: "sotw",
			askAgain: (_, names) => void log.push(`${name} again: ${names.join()}`),
			subscribe: (_, names) => void log.push(`${name}: ${String(names)}`),
			reportHealth: () => undefined,
			run: (signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve(void log.push(`end ${name}`)))),
		};
	};
	const taken = () => log.splice(0);
	const abort = new AbortController();
	const streams = new DiscoveryStreams({ createClient, logger: createLogger({ level: "none" }) }, abort.signal);
	streams.follow("cds", [{ source: sourceOf("1"), names: "*" }]);
	streams.follow("eds", [
		{ source: sourceOf("1"), names: ["a"] },
		{ source: sourceOf("2"), names: ["b"] },
	]);
	assert.deepEqual(taken(), ["open cds 1", "cds 1: *", "open eds 1", "eds 1: a", "open eds 2", "eds 2: b"]);
	streams.follow("eds", [{ source: sourceOf("1", 5), names: ["a", "c"] }]);
	streams.askAgain("eds", sourceOf("1"), ["a"]);
	streams.askAgain("eds", sourceOf("2"), ["b"]);
	assert.deepEqual(taken(), ["end eds 2", "eds 1: a,c", "eds 1 again: a"]);
	streams.follow("eds", []);
	streams.follow("eds", [{ source: sourceOf("2"), names: ["b"] }]);
	assert.deepEqual(taken(), ["end eds 1", "open eds 2", "eds 2: b"]);
	abort.abort();
	assert.deepEqual(taken(), ["end cds 1", "end eds 2"]);
});

it("a server that cannot be spoken to is named once", () => {
	let tries = 0;
	const createClient = () => {
		tries++;
		return "cluster xds has no endpoint";
	};
	const streams = new DiscoveryStreams({ createClient, logger: createLogger({ level: "none" }) }, new AbortController().signal);
	for (const names of [["a"], ["a", "b"]]) streams.follow("eds", [{ source: sourceOf("1"), names }]);
	assert.equal(tries, 1);
});
