import assert from "node:assert/strict";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createLogger } from "@weft/runtime";
import type { ResourceReference, StreamSource } from "../config/resource-source.ts";
import { FetchWaits } from "./fetch-waits.ts";
import type { NamedType, WantedNames } from "./wanted-names.ts";

const stream = (initialFetchTimeoutMs: number): StreamSource => ({ kind: "stream", id: "1", mode: "delta", service: "{}", initialFetchTimeoutMs });
const none = new Map<string, ResourceReference>();
const names = (parts: Partial<Record<NamedType, Readonly<Record<string, number>>>>): WantedNames => ({
	...{ eds: none, rds: none, vhds: none, srds: none, sds: none, ecds: none },
	...Object.fromEntries(
		Object.entries(parts).map(([type, waits]) => [type, new Map(Object.entries(waits).map(([name, ms]) => [name, { name, source: stream(ms) }]))]),
	),
});

it("what is missing is waited for as its source says, once, and anew when it is wanted anew", async () => {
	const over: string[] = [];
	const waits = new FetchWaits({
		logger: createLogger({ level: "none" }),
		isThere: (_, key) => key === "there",
		isAsked: (_, { name }) => name !== "own",
		onTimeout: (type, key) => void over.push(`${type}:${key}`),
	});
	const wanted = names({ eds: { a: 10, there: 10 }, rds: { forever: 0 }, sds: { own: 10, left: 10 } });
	waits.follow(wanted);
	waits.follow({ ...wanted, sds: new Map([...wanted.sds].filter(([key]) => key !== "left")) });
	await sleep(40);
	assert.deepEqual(over, ["eds:a"]);
	waits.follow(wanted);
	await sleep(40);
	assert.deepEqual(over, ["eds:a", "sds:left"]);
	waits.follow(names({}));
	waits.follow(wanted);
	waits.stop();
	await sleep(40);
	assert.deepEqual(over, ["eds:a", "sds:left"]);
});
