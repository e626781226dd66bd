import assert from "node:assert/strict";
import { Agent } from "node:http";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { AuthorityStatus } from "@weft/citadel";
import { closeConnections, load, startTestMesh, type TestMesh } from "@weft/testkit";
import { peerAuthentication, service, workload } from "./mesh-yaml.ts";

// Certificates live 8 s here, so that an old root may go after nine.
let mesh: TestMesh;

before(async () => {
	const yaml =
		workload({ name: "server", app: "http-app.ts", ports: [8000], replicas: 2 }) +
		service("server", [{ name: "http", port: 8000 }]) +
		peerAuthentication("STRICT");
	mesh = await startTestMesh({ yaml, certificateTtl: "8s" });
});

after(async () => {
	await mesh?.stop();
	closeConnections();
});

const status = async () => (await mesh.client.get("ca")) as AuthorityStatus;

async function until(what: string, holds: (s: AuthorityStatus) => boolean): Promise<AuthorityStatus> {
	for (let i = 0; i < 300; i++) {
		const now = await status();
		if (holds(now)) return now;
		await sleep(100);
	}
	return assert.fail(`${what}: ${JSON.stringify(await status())}`);
}

test("sec/root-rotation: three roots one after the other under load, on kept and on new connections: no request fails", { timeout: 120_000 }, async (t) => {
	const stop = new AbortController();
	t.after(() => stop.abort());
	const once = new Agent({ keepAlive: false });
	const running = load((n) => mesh.call("server", "/", n % 5 === 0 ? { agent: once, headers: { connection: "close" } } : {}), {
		requests: 1_000_000,
		concurrency: 4,
		pauseMs: 5,
		signal: stop.signal,
	});
	const seen = new Set<string>();
	for (let round = 0; round < 2; round++) {
		const before = await status();
		const old = before.roots.find(({ slot }) => slot === "current")?.fingerprint ?? "";
		seen.add(old);
		const prepared = (await mesh.client.post("ca/rotate")) as AuthorityStatus;
		assert.equal(prepared.phase, "distribute");
		await assert.rejects(mesh.client.post("ca/rotate"), /under way already/);
		const known = await until(
			"every proxy has the new root",
			({ proxies, phase }) => phase !== "distribute" || (proxies.connected >= 3 && proxies.haveBundle === proxies.connected),
		);
		assert.equal(known.proxies.silent, 0);
		const active = await until("the new root signs", ({ phase }) => phase === "retire");
		assert.notEqual(active.roots.find(({ slot }) => slot === "current")?.fingerprint, old);
		assert.ok(active.roots.some(({ slot, fingerprint }) => slot === "retiring" && fingerprint === old));
	}
	const last = await until("old roots are retired", ({ phase }) => phase === "steady");
	assert.equal(last.roots.length, 1);
	assert.ok(!seen.has(last.roots[0]?.fingerprint ?? ""));
	await until("proxies trust the last root alone", ({ proxies }) => proxies.haveBundle === proxies.connected);
	await sleep(2_000);
	stop.abort();
	const { sent, answered, kinds, errors } = await running;
	t.diagnostic(`${sent} requests were sent`);
	assert.ok(sent > 1_000, `only ${sent} requests were sent`);
	assert.deepEqual({ answered, kinds, errors: errors.slice(0, 3) }, { answered: sent, kinds: { 200: sent }, errors: [] });
});
