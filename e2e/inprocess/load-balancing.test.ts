import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { call, closeConnections, type LoadResult, load, startTestMesh, type TestMesh } from "@weft/testkit";
import { networking, service, workload } from "./mesh-yaml.ts";
import { boundAddress, podsOf } from "./pods.ts";

const replicas = 3;
let mesh: TestMesh;

before(async () => {
	mesh = await startTestMesh({
		yaml:
			workload({ name: "app", app: "http-app.ts", ports: [8000], replicas }) +
			service("app", [{ name: "http", port: 8000 }]) +
			workload({ name: "single", app: "http-app.ts", ports: [8000] }) +
			service("single", [{ name: "http", port: 8000 }]) +
			noRetries("app") +
			noRetries("single"),
	});
});

after(async () => {
	await mesh?.stop();
	closeConnections();
});

/** Without this the mesh tries 503s again by itself. */
function noRetries(host: string): string {
	return networking("VirtualService", host, { hosts: [host], http: [{ route: [{ destination: { host } }], retries: { attempts: 0 } }] });
}

const policy = (trafficPolicy: object, host = "app") => mesh.applyYaml(networking("DestinationRule", host, { host, trafficPolicy }));

/** Answers by pod; everything else by its status. */
function byPod(requests: number, concurrency: number, headers: (n: number) => Record<string, string> = () => ({}), path = "/"): Promise<LoadResult> {
	const classify = (a: { status: number; body: string }) => (a.status === 200 ? (JSON.parse(a.body) as { pod: string }).pod : `status ${a.status}`);
	return load((n) => mesh.call("app", path, { headers: headers(n) }), { requests, concurrency, classify });
}

function assertSpread(result: LoadResult, requests: number, least: number): void {
	assert.deepEqual([result.answered, result.errors], [requests, []]);
	const pods = podsOf(mesh, "app-v1").map((p) => p.name);
	assert.deepEqual(Object.keys(result.kinds).sort(), [...pods].sort());
	for (const pod of pods) assert.ok((result.kinds[pod] ?? 0) >= least, JSON.stringify(result.kinds));
}

test("ROUND_ROBIN gives each replica the same share", async () => {
	await policy({ loadBalancer: { simple: "ROUND_ROBIN" } });
	assertSpread(await byPod(300, 1), 300, 98);
});

test("RANDOM gives each replica about the same share", async () => {
	await policy({ loadBalancer: { simple: "RANDOM" } });
	assertSpread(await byPod(600, 8), 600, 130);
});

test("LEAST_REQUEST uses all replicas", async () => {
	await policy({ loadBalancer: { simple: "LEAST_REQUEST" } });
	assertSpread(await byPod(600, 8), 600, 100);
});

test("consistentHash by header: one user, one replica; the users spread", async () => {
	await policy({ loadBalancer: { consistentHash: { httpHeaderName: "x-user" } } });
	const replicaOf = new Map<string, Set<string>>();
	await load(
		async (n) => {
			const user = `user-${n % 30}`;
			const answer = await mesh.call("app", "/", { headers: { "x-user": user } });
			assert.equal(answer.status, 200);
			const { pod } = JSON.parse(answer.body) as { pod: string };
			replicaOf.set(user, (replicaOf.get(user) ?? new Set()).add(pod));
			return answer;
		},
		{ requests: 300, concurrency: 8 },
	).then(({ answered, errors }) => assert.deepEqual([answered, errors], [300, []]));
	assert.deepEqual(
		[...replicaOf.values()].filter((pods) => pods.size !== 1),
		[],
	);
	assert.equal(new Set([...replicaOf.values()].flatMap((pods) => [...pods])).size, replicas);
});

test("consistentHash by cookie: the mesh sets it, and its bearer stays with one replica", async () => {
	await policy({ loadBalancer: { consistentHash: { httpCookie: { name: "affinity", ttl: "60s" } } } });
	const first = await mesh.call("app", "/");
	const cookie = first.headers["set-cookie"]?.[0] ?? "";
	assert.match(cookie, /^affinity="?[^;"]+"?; *Max-Age=60/i);
	const { pod } = JSON.parse(first.body) as { pod: string };
	const { kinds } = await byPod(50, 4, () => ({ cookie: cookie.split(";")[0] ?? "" }));
	assert.deepEqual(kinds, { [pod]: 50 });
});

test("outlier detection ejects a failing replica, and takes it back once it is well", async () => {
	await policy({
		loadBalancer: { simple: "ROUND_ROBIN" },
		outlierDetection: { consecutive5xxErrors: 3, interval: "1s", baseEjectionTime: "3s", maxEjectionPercent: 100 },
	});
	const [ill] = podsOf(mesh, "app-v1");
	assert.ok(ill);
	const direct = await boundAddress(ill);
	assert.equal((await call(direct, "/fail")).body, ill.name);
	const during = await byPod(60, 1);
	const failures = during.kinds["status 503"] ?? 0;
	assert.ok(failures >= 3 && failures <= 6, `it failed ${failures} of 60 requests`);
	const ejected = await byPod(60, 1);
	assert.deepEqual(ejected.kinds["status 503"] ?? 0, 0, "ejected: the others take everything");
	assert.equal(Object.keys(ejected.kinds).length, replicas - 1);
	assert.equal((await call(direct, "/recover")).body, ill.name);
	let back = 0;
	for (let waitedMs = 0; back === 0 && waitedMs < 15_000; waitedMs += 250) {
		await sleep(250);
		back = (await byPod(9, 1)).kinds[ill.name] ?? 0;
	}
	assert.ok(back > 0, "it is back after its ejection");
});

test("retries hide a replica whose application, then whose whole pod, is killed under load", async () => {
	await policy({ loadBalancer: { simple: "ROUND_ROBIN" } });
	const retries = { attempts: 3, retryOn: "5xx,reset,connect-failure,refused-stream" };
	await mesh.applyYaml(networking("VirtualService", "app", { hosts: ["app"], http: [{ route: [{ destination: { host: "app" } }], retries }] }));
	const stop = new AbortController();
	const running = load(() => mesh.call("app", "/"), { requests: 1_000_000, concurrency: 6, pauseMs: 2, signal: stop.signal });
	const [first, second] = podsOf(mesh, "app-v1");
	assert.ok(first && second);
	await sleep(500);
	process.kill(first.pids[0] ?? 0, "SIGKILL");
	await sleep(1_500);
	for (const pid of second.pids) process.kill(pid, "SIGKILL");
	await sleep(2_500);
	stop.abort();
	const { sent, answered, kinds, errors } = await running;
	assert.ok(sent > 500, `only ${sent} requests were sent`);
	assert.deepEqual({ answered, kinds, errors: errors.slice(0, 3) }, { answered: sent, kinds: { 200: sent }, errors: [] });
	const restarts = podsOf(mesh, "app-v1").map((p) => p.restarts);
	assert.ok(restarts.reduce((a, b) => a + b) >= 2, `the processes really died: ${restarts.join(", ")} restarts`);
	await mesh.applyYaml(noRetries("app"));
});

test("as many retries as the route says are made and counted, and the last answer is what the caller gets", async () => {
	const answer = await mesh.call("single", "/status/503");
	assert.equal(answer.status, 503);
	await mesh.applyYaml(
		networking("VirtualService", "single", {
			hosts: ["single"],
			http: [{ route: [{ destination: { host: "single" } }], retries: { attempts: 2, retryOn: "5xx" } }],
		}),
	);
	const [pod] = podsOf(mesh, "laptop");
	assert.ok(pod);
	const retried = async () => {
		const text = await (await fetch(`http://${pod.adminAddress}/stats`)).text();
		return Number(/cluster\.outbound\|8000\|\|single\.default\.svc\.cluster\.local;?\.upstream_rq_retry: (\d+)/.exec(text)?.[1] ?? 0);
	};
	const before = await retried();
	assert.equal((await mesh.call("single", "/status/503")).status, 503, "the last attempt's answer is what the caller gets");
	assert.equal((await retried()) - before, 2);
	await mesh.applyYaml(noRetries("single"));
});

test("a connection pool of 2 connections and 1 waiting request turns the rest away at once", async () => {
	await policy({ connectionPool: { tcp: { maxConnections: 2 }, http: { http1MaxPendingRequests: 1 } } }, "single");
	const overloaded = new Set<unknown>();
	// With pauses, since a request that waits for its connection takes the waiting place: all at once, the third might find it taken.
	const { answered, kinds } = await load(
		async () => {
			const answer = await mesh.call("single", "/slow?ms=200");
			if (answer.status === 503) overloaded.add(answer.headers["x-envoy-overloaded"]);
			return answer;
		},
		{ requests: 60, concurrency: 20, pauseMs: 20 },
	);
	assert.equal(answered, 60);
	assert.ok((kinds["503"] ?? 0) >= 15, JSON.stringify(kinds));
	assert.ok((kinds["200"] ?? 0) >= 3, JSON.stringify(kinds));
	assert.deepEqual([...overloaded], ["true"]);
	await mesh.client.remove("DestinationRule", "default", "single", true);
	const most = Number((await mesh.call("single", "/most")).body);
	assert.ok(most <= 2, `${most} requests were at the application at once`);
});
