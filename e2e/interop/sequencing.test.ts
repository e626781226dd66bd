import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { AnyConfig } from "@weft/api";
import { call, freePort, hostOf, object, peers, startMesh, startPeer } from "./pilot-and-proxy.ts";
import { runStorm } from "./storm.ts";

// No request is lost while clusters, subsets and routes come, change and go, whatever the proxy and its protocol.

const host = hostOf("a");
const subsets = (...names: readonly string[]) =>
	object("DestinationRule", "a", { host, subsets: names.map((name) => ({ name, labels: { version: name.startsWith("v2") ? "v2" : "v1" } })) });
const routeTo = (subset: string) => object("VirtualService", "a", { hosts: [host], http: [{ route: [{ destination: { host, subset } }] }] });

for (const peer of peers) {
	describe(peer.name, { skip: peer.skip }, () => {
		let mesh: Awaited<ReturnType<typeof startMesh>>;
		let stopPeer: () => Promise<void>;
		let proxyPort = 0;
		const get = () => call(proxyPort, host).catch((error: Error) => error.message);

		before(async () => {
			mesh = await startMesh();
			await mesh.apply([mesh.service("a"), subsets("v1", "v2"), routeTo("v1")]);
			proxyPort = await freePort();
			stopPeer = await startPeer(peer, mesh.port, proxyPort);
			const end = performance.now() + 30_000;
			while (performance.now() < end && (await get()) !== "v1") await sleep(50);
		});
		after(async () => {
			await stopPeer?.();
			mesh?.stop();
		});

		/** Calls without a pause while `edits` are applied one after another; every answer that was none of the application's. */
		async function lostDuring(edits: readonly (readonly AnyConfig[])[]): Promise<readonly string[]> {
			const stop = new AbortController();
			const lost: string[] = [];
			const calling = Array.from({ length: 4 }, async () => {
				while (!stop.signal.aborted) {
					const answer = await get();
					if (!/^v[12]$/.test(answer)) lost.push(answer);
				}
			});
			for (const edit of edits) await mesh.apply(edit);
			stop.abort();
			await Promise.all(calling);
			return lost;
		}

		test("a VirtualService that names a subset which comes later", async () => {
			const rounds = Array.from({ length: 10 }, (_, i) => [
				[routeTo(`v2-${i}`)],
				[subsets("v1", "v2", `v2-${i}`)],
				[routeTo("v1")],
				[subsets("v1", "v2")],
			]).flat();
			assert.deepEqual(await lostDuring([...rounds, [routeTo("v2-x")]]), []);
			assert.equal(await get(), "v1", "what it said last serves on");
			assert.deepEqual([...mesh.discovery.push.heldVirtualServices.keys()], ["default/a"]);
			await mesh.apply([subsets("v1", "v2-x")]);
			assert.equal(await get(), "v2");
		});

		test("a subset and the route to it in one edit, the old ones gone with it", async () => {
			const rounds = Array.from({ length: 20 }, (_, i) => [subsets(`v${1 + (i % 2)}-${i}`), routeTo(`v${1 + (i % 2)}-${i}`)]);
			assert.deepEqual(await lostDuring(rounds), []);
			assert.equal(await get(), "v2");
		});

		test("a storm of edits", { timeout: 60_000 }, async () => {
			const { requests, edits, lost } = await runStorm({ mesh, get, seconds: 3, editsPerSecond: 200 });
			assert.ok(requests > 100 && edits > 100, `${requests} requests, ${edits} edits`);
			assert.deepEqual(lost, {});
			assert.deepEqual(mesh.refusals, []);
		});
	});
}
