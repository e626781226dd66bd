import { setTimeout as sleep } from "node:timers/promises";
import type { AnyConfig } from "@weft/api";
import { hostOf, object, type startMesh } from "./pilot-and-proxy.ts";

export interface StormOptions {
	readonly mesh: Awaited<ReturnType<typeof startMesh>>;
	/** One request to service `a`: `v1` or `v2`, or what became of it. */
	readonly get: () => Promise<string>;
	readonly seconds: number;
	readonly editsPerSecond: number;
}

export interface StormResult {
	readonly requests: number;
	readonly edits: number;
	/** Answers that were none of the application's, by what they were. */
	readonly lost: Readonly<Record<string, number>>;
}

const callers = 4;
const host = hostOf("a");

/**
 * Edits of everything around one service while it is called without a pause: weights, subsets that come and go with the routes
 * to them, endpoints that move, other services that appear and disappear.
 */
export async function runStorm({ mesh, get, seconds, editsPerSecond }: StormOptions): Promise<StormResult> {
	const stop = new AbortController();
	const lost: Record<string, number> = {};
	let requests = 0;
	const calling = Array.from({ length: callers }, async () => {
		while (!stop.signal.aborted) {
			const answer = await get();
			requests++;
			if (!/^v[12]$/.test(answer)) lost[answer] = (lost[answer] ?? 0) + 1;
		}
	});
	const startMs = performance.now();
	let edits = 0;
	try {
		while (performance.now() - startMs < seconds * 1000) {
			// What is due by now: timers are late on a busy machine.
			const due = ((performance.now() - startMs) / 1000) * editsPerSecond;
			for (; edits < due; edits++) mesh.store.apply(editOf(mesh, edits));
			await sleep(1000 / editsPerSecond);
		}
		await mesh.apply([]);
	} finally {
		stop.abort();
		await Promise.all(calling);
	}
	return { requests, edits, lost };
}

function editOf(mesh: StormOptions["mesh"], i: number): Parameters<StormOptions["mesh"]["store"]["apply"]>[0] {
	const upsert = (...objects: readonly AnyConfig[]) => ({ source: "test", upsert: objects, remove: [] });
	const subset = `v${1 + (i % 2)}-${i % 50}`;
	switch (i % 5) {
		case 0:
			return upsert(routeTo(subset), rule(subset));
		case 1:
			return upsert(mesh.service(`other-${i % 20}`));
		case 2:
			return upsert(routeTo(`v1-later-${i}`));
		case 3:
			return upsert(mesh.service("a", { labels: { generation: String(i) } }));
		default:
			return { source: "test", upsert: [], remove: [{ kind: "ServiceEntry", namespace: "default", name: `other-${(i + 10) % 20}` }] };
	}
}

const rule = (...names: readonly string[]) =>
	object("DestinationRule", "a", { host, subsets: names.map((name) => ({ name, labels: { version: name.slice(0, 2) } })) });
const routeTo = (subset: string) => object("VirtualService", "a", { hosts: [host], http: [{ route: [{ destination: { host, subset } }], timeout: "10s" }] });
