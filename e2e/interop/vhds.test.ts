import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import { call, freePort, hostOf, object, peers, startMesh, startPeer } from "./pilot-and-proxy.ts";

// Virtual hosts one by one: a real Envoy and weft-proxy that announce it, and a real Envoy that does not, or cannot.

for (const peer of peers) {
	describe(peer.name, { skip: peer.skip }, () => {
		let mesh: Awaited<ReturnType<typeof startMesh>>;
		let stopPeer: () => Promise<void>;
		let proxyPort = 0;
		const others = Array.from({ length: 60 }, (_, i) => `other-${i}`);
		const rule = object("DestinationRule", "a", { host: hostOf("a"), subsets: ["v1", "v2"].map((version) => ({ name: version, labels: { version } })) });
		const routeTo = (subset: string) =>
			object("VirtualService", "a", { hosts: [hostOf("a")], http: [{ route: [{ destination: { host: hostOf("a"), subset } }] }] });
		const get = (name: string) => call(proxyPort, hostOf(name));
		const bytesOf = (...types: readonly string[]) => mesh.sent.filter(({ type }) => types.includes(type)).reduce((sum, { bytes }) => sum + bytes, 0);

		before(async () => {
			mesh = await startMesh();
			await mesh.apply([...others, "a"].map((name) => mesh.service(name)).concat(rule, routeTo("v1")));
			proxyPort = await freePort();
			stopPeer = await startPeer(peer, mesh.port, proxyPort);
			const end = performance.now() + 30_000;
			while (performance.now() < end && (await get("a").catch(() => "")) !== "v1") await sleep(50);
		});
		after(async () => {
			await stopPeer?.();
			mesh?.stop();
		});

		test("is configured, and unknown hosts are answered by the catch-all", async () => {
			assert.equal(await get("a"), "v1");
			// By name, which does not resolve.
			assert.match(await call(proxyPort, "nowhere.example"), /^50[23]/);
			assert.equal(
				mesh.sent.some(({ type }) => type === "vhds"),
				peer.oneByOne,
			);
			assert.deepEqual(mesh.refusals, []);
		});

		test("an edit of one VirtualService costs it one virtual host, or the whole table", async () => {
			await mesh.apply([routeTo("v2")]);
			assert.equal(await get("a"), "v2");
			const [one, whole] = [bytesOf("vhds"), bytesOf("rds")];
			if (peer.oneByOne) assert.ok(one > 0 && one < 4_000 && whole === 0, `${one} bytes of virtual hosts, ${whole} of tables`);
			else assert.ok(one === 0 && whole > 10_000, `${one} bytes of virtual hosts, ${whole} of tables`);
		});

		test("a service comes and goes; a domain moves from one virtual host to another", async () => {
			await mesh.apply([mesh.service("new")]);
			assert.match(await get("new"), /^v[12]$/);
			await mesh.apply([], [mesh.service("new")]);
			assert.match(await get("new"), /^50[23]/);
			// The host of a service becomes that of a VirtualService that forwards elsewhere, under another name of its virtual host.
			await mesh.apply([mesh.service("old", { ports: [{ number: 80, name: "http", protocol: "HTTP" }] })]);
			assert.match(await get("old"), /^v[12]$/);
			const forward = object("VirtualService", "old", { hosts: [hostOf("old")], http: [{ route: [{ destination: { host: hostOf("a"), subset: "v2" } }] }] });
			await mesh.apply([forward], [mesh.service("old")]);
			assert.equal(await get("old"), "v2");
			assert.deepEqual(mesh.refusals, []);
		});

		test("after the stream breaks it has what changed meanwhile, and not everything again", async () => {
			mesh.sent.length = 0;
			for (const client of mesh.discovery.clients) client.close(status.UNAVAILABLE, "restart");
			const version = mesh.discovery.push.version;
			mesh.store.apply({ source: "test", upsert: [routeTo("v1")], remove: [] });
			const end = performance.now() + 30_000;
			while (performance.now() < end && (mesh.discovery.push.version === version || mesh.discovery.clients.size === 0)) await sleep(20);
			await mesh.discovery.converged(AbortSignal.timeout(20_000));
			while (performance.now() < end && (await get("a")) !== "v1") await sleep(50);
			assert.equal(await get("a"), "v1");
			if (peer.oneByOne) assert.ok(bytesOf("vhds", "rds") < 8_000, JSON.stringify(mesh.sent));
			assert.deepEqual(mesh.refusals, []);
		});
	});
}
