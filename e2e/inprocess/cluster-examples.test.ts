import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

const root = join(import.meta.dirname, "../..");
const startMsMax = 30_000;

interface Running {
	/** The status and body of one answer, `200 one`. */
	ask(path: string, headers?: Readonly<Record<string, string>>): Promise<string>;
	/** How often each answer came. */
	count(path: string, times: number): Promise<Readonly<Record<string, number>>>;
	admin(path: string, method?: string): Promise<string>;
}

/** What each tutorial promises. */
const promises: Readonly<Record<string, (running: Running) => Promise<void>>> = {
	async "load-balancing"({ ask, count }) {
		assert.deepEqual(await count("/turn", 9), { "200 one": 3, "200 two": 3, "200 three": 3 });
		assert.equal(Object.keys(await count("/least", 60)).length, 3);
		const users = await Promise.all(Array.from({ length: 20 }, (_, i) => ask("/hash", { "x-user": `user ${i}` })));
		const again = await Promise.all(Array.from({ length: 20 }, (_, i) => ask("/hash", { "x-user": `user ${i}` })));
		assert.deepEqual(again, users);
		assert.ok(new Set(users).size > 1);
		assert.deepEqual(await count("/canary", 6), { "200 three": 6 });
		assert.deepEqual(Object.keys(await count("/unknown", 8)).sort(), ["200 one", "200 two"]);
	},
	async "priorities-and-panic"({ admin, count }) {
		const spill = await count("/spill", 300);
		assert.deepEqual(Object.keys(spill).sort(), ["200 one", "200 three"]);
		assert.ok(Math.abs((spill["200 one"] ?? 0) - 210) < 40, JSON.stringify(spill));
		const panic = await count("/panic", 100);
		assert.ok((panic["200 one"] ?? 0) < 50 && (panic["200 one"] ?? 0) > 5, JSON.stringify(panic));
		assert.match(await admin("/stats"), /^cluster\.panic\.lb_healthy_panic: [1-9]/m);
		assert.deepEqual(await count("/calm", 20), { "200 one": 20 });
	},
	async "health-checks"({ admin, count }) {
		assert.match(await admin("/clusters"), /health_flags::\/failed_active_hc/);
		assert.deepEqual(await count("/", 8), { "200 one": 4, "200 two": 4 });
		await admin("/healthcheck/fail", "POST");
		await until(async () => /health_check\.healthy: 1$/m.test(await admin("/stats")));
		assert.deepEqual(await count("/", 8), { "200 one": 8 });
		await admin("/healthcheck/ok", "POST");
		await until(async () => /health_check\.healthy: 2$/m.test(await admin("/stats")));
		assert.deepEqual(Object.keys(await count("/", 8)).sort(), ["200 one", "200 two"]);
	},
	async outlier({ admin, count }) {
		const first = await count("/errors", 20);
		assert.ok((first["503 two"] ?? 0) >= 3 && (first["503 two"] ?? 0) <= 5, JSON.stringify(first));
		await until(async () => /^cluster\.errors\.outlier_detection\.ejections_active: 1$/m.test(await admin("/stats")));
		assert.deepEqual(await count("/errors", 10), { "200 one": 10 });
		assert.match(await admin("/stats"), /^cluster\.errors\.outlier_detection\.ejections_enforced_consecutive_5xx: 1$/m);
		await until(async () => {
			await count("/rate", 30);
			return /^cluster\.rate\.outlier_detection\.ejections_enforced_failure_percentage: 1$/m.test(await admin("/stats"));
		});
		assert.deepEqual(await count("/rate", 10), { "200 one": 10 });
	},
};

for (const [name, keep] of Object.entries(promises)) {
	test(`examples/proxy/${name}`, async () => {
		const folder = mkdtempSync(join(tmpdir(), `weft-example-${name}-`));
		const text = readFileSync(join(root, "examples/proxy", name, "envoy.yaml"), "utf8");
		const ports = await freePorts(new Set([...text.matchAll(/port_value: (\d+)/g)].map(([, port]) => Number(port))));
		writeFileSync(
			join(folder, "envoy.yaml"),
			text.replace(/port_value: (\d+)/g, (_, port: string) => `port_value: ${ports.get(Number(port))}`),
		);
		const proxy = spawn(process.execPath, [join(root, "packages/proxy/src/main.ts"), "-c", join(folder, "envoy.yaml"), "--concurrency", "1"], {
			stdio: "ignore",
		});
		try {
			const admin = (path: string, method = "GET") => fetch(`http://127.0.0.1:${ports.get(9901)}${path}`, { method }).then((answer) => answer.text());
			await untilReady(proxy, admin);
			const ask = async (path: string, headers: Readonly<Record<string, string>> = {}) => {
				const answer = await fetch(`http://127.0.0.1:${ports.get(10_000)}${path}`, { headers });
				return `${answer.status} ${(await answer.text()).trim()}`;
			};
			await keep({ ask, admin, count: (path, times) => countAnswers(() => ask(path), times) });
		} finally {
			proxy.kill("SIGKILL");
			if (proxy.exitCode === null && proxy.signalCode === null) await once(proxy, "exit");
			rmSync(folder, { recursive: true, force: true });
		}
	});
}

async function countAnswers(ask: () => Promise<string>, times: number): Promise<Readonly<Record<string, number>>> {
	const counts: Record<string, number> = {};
	for (let i = 0; i < times; i++) {
		const answer = await ask();
		counts[answer] = (counts[answer] ?? 0) + 1;
	}
	return counts;
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
	const end = performance.now() + 15_000;
	while (!(await isTrue())) {
		assert.ok(performance.now() < end, "it did not come about");
		await sleep(100);
	}
}

async function untilReady(proxy: ChildProcess, admin: (path: string) => Promise<string>): Promise<void> {
	const end = performance.now() + startMsMax;
	while (!(await admin("/ready").catch(() => "")).startsWith("LIVE")) {
		assert.equal(proxy.exitCode, null, "the proxy ended");
		assert.ok(performance.now() < end, "the proxy is not ready");
		await sleep(50);
	}
}

/** All are held until all are found, so that none comes twice. */
async function freePorts(wanted: ReadonlySet<number>): Promise<ReadonlyMap<number, number>> {
	const held = await Promise.all(
		[...wanted].map(async (port) => {
			const server = createServer().listen(0, "127.0.0.1");
			await once(server, "listening");
			const address = server.address();
			return { port, server, free: typeof address === "object" && address !== null ? address.port : 0 };
		}),
	);
	await Promise.all(held.map(({ server }) => new Promise((resolve) => server.close(resolve))));
	return new Map(held.map(({ port, free }) => [port, free]));
}
