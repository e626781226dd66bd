import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { closeConnections, startTestMesh, type TestMesh } from "@weft/testkit";
import { type Caller, createCaller, stranger } from "./callers.ts";
import { networking, service, workload } from "./mesh-yaml.ts";
import { adminText, boundAddress, podOf } from "./pods.ts";

// The tasks of https://istio.io/latest/docs/tasks/security/authorization/ as users apply them, each asked for by callers with and without an identity.

let mesh: TestMesh;
let authorizer: Server;
/** Requests that the authorizer was asked about. */
let asked: IncomingMessage[] = [];
let http: string;
let tcp: string;
let alice: Caller;
let bob: Caller;
const applied = new Set<string>();

before(async () => {
	authorizer = createServer((request, response) => {
		asked.push(request);
		const allowed = request.headers["x-ext-authz"] === "allow";
		response.writeHead(allowed ? 200 : 403, { "x-ext-authz-check-result": allowed ? "allowed" : "denied" }).end(allowed ? "" : "denied by the authorizer");
	});
	await new Promise<void>((resolve) => authorizer.listen(0, "127.0.0.1", resolve));
	const { port } = authorizer.address() as AddressInfo;
	const entry = networking("ServiceEntry", "authz", {
		hosts: ["authz.local"],
		location: "MESH_EXTERNAL",
		resolution: "STATIC",
		ports: [{ number: port, name: "http", protocol: "HTTP" }],
		endpoints: [{ address: "127.0.0.1" }],
	});
	const provider = {
		service: "authz.local",
		port,
		includeRequestHeadersInCheck: ["x-ext-authz"],
		headersToUpstreamOnAllow: ["x-ext-authz-check-result"],
		headersToDownstreamOnDeny: ["x-ext-authz-check-result"],
	};
	mesh = await startTestMesh({
		yaml:
			workload({ name: "server", app: "http-app.ts", ports: [8000] }) +
			service("server", [{ name: "http", port: 8000 }]) +
			workload({ name: "pipe", app: "tcp-echo-app.ts", ports: [7000] }) +
			service("pipe", [{ name: "tcp", port: 7000 }]) +
			entry,
		meshConfig: JSON.stringify({
			accessLogFile: "/dev/stdout",
			defaultConfig: { proxyMetadata: { WEFT_REASON_HEADER: "true" } },
			defaultProviders: { metrics: ["prometheus"] },
			extensionProviders: [{ name: "ext", envoyExtAuthzHttp: provider }],
		}),
	});
	[http, tcp] = await Promise.all([boundAddress(podOf(mesh, "server-v1")), boundAddress(podOf(mesh, "pipe-v1"))]);
	[alice, bob] = await Promise.all([createCaller(mesh, "foo", "alice"), createCaller(mesh, "bar", "bob")]);
});

after(async () => {
	await mesh?.stop();
	authorizer?.close();
	authorizer?.closeAllConnections();
	closeConnections();
});

afterEach(async () => {
	asked = [];
	for (const name of applied) await mesh.client.remove("AuthorizationPolicy", "default", name, true);
	applied.clear();
});

interface Options {
	readonly app?: string;
	readonly annotations?: Readonly<Record<string, string>>;
}

async function apply(name: string, spec: object, { app, annotations = {} }: Options = {}): Promise<void> {
	const selector = app === undefined ? {} : { selector: { matchLabels: { app } } };
	const metadata = { name, namespace: "default", annotations };
	applied.add(name);
	await mesh.applyYaml(JSON.stringify({ apiVersion: "security.istio.io/v1", kind: "AuthorizationPolicy", metadata, spec: { ...selector, ...spec } }));
}

const refusal = "RBAC: access denied";

async function statuses(paths: readonly string[], caller: Caller): Promise<readonly number[]> {
	const replies = await Promise.all(paths.map((path) => caller.get(http, path)));
	for (const { status, text } of replies) assert.equal(status === 403, text.endsWith(refusal), text);
	return replies.map(({ status }) => status);
}

test("deny-all: a policy that says nothing lets nobody in, over HTTP or TCP", async () => {
	assert.deepEqual(await statuses(["/"], stranger), [200]);
	assert.equal(await alice.send(tcp, "ping"), "ping");
	await apply("allow-nothing", {});
	assert.deepEqual([await statuses(["/"], stranger), await statuses(["/"], alice)], [[403], [403]]);
	assert.equal(await alice.send(tcp, "ping"), "");
});

test("a principal may, others may not, and a claimed identity is none", async () => {
	await apply("alice", { rules: [{ from: [{ source: { principals: ["cluster.local/ns/foo/sa/alice"] } }] }] });
	assert.deepEqual([await statuses(["/"], alice), await statuses(["/"], bob), await statuses(["/"], stranger)], [[200], [403], [403]]);
	const forged = { "x-forwarded-client-cert": "URI=spiffe://cluster.local/ns/foo/sa/alice" };
	assert.equal((await stranger.get(http, "/", { headers: forged })).status, 403);
	assert.equal((await bob.get(http, "/", { headers: forged })).status, 403);
});

test("by namespace and by service account", async () => {
	await apply("foo", { rules: [{ from: [{ source: { namespaces: ["foo"] } }] }] });
	assert.deepEqual([await statuses(["/"], alice), await statuses(["/"], bob), await statuses(["/"], stranger)], [[200], [403], [403]]);
	await apply("foo", { rules: [{ from: [{ source: { serviceAccounts: ["bar/bob"] } }] }] });
	assert.deepEqual([await statuses(["/"], alice), await statuses(["/"], bob)], [[403], [200]]);
});

test("sec/b15: a dot in a policy is a dot", async () => {
	await apply("dot", { rules: [{ from: [{ source: { namespaces: ["f.o"] } }] }, { from: [{ source: { principals: ["*/sa/al.ce"] } }] }] });
	assert.deepEqual(await statuses(["/"], alice), [403]);
});

test("sec/b9: by method and path, whatever way the path is written", async () => {
	await apply("viewer", { rules: [{ to: [{ operation: { methods: ["GET"], paths: ["/info", "/docs*", "/v/{*}/x"] } }] }] });
	await apply("no-admin", { action: "DENY", rules: [{ to: [{ operation: { paths: ["/docs/admin*"] } }] }] }, { app: "server" });
	const expected = {
		"/info": 200,
		"/info?a=b": 200,
		"/information": 403,
		"/other": 403,
		"/docs/a": 200,
		"/v/1/x": 200,
		"/v/1/2/x": 403,
		"/docs/admin": 403,
		"/docs/%61dmin": 403,
		"/docs/x/../admin": 403,
		"/docs/./admin?x": 403,
		"/docs\\admin": 403,
	};
	assert.deepEqual(await statuses(Object.keys(expected), alice), Object.values(expected));
	assert.equal((await alice.get(http, "/info", { method: "DELETE" })).status, 403);
});

test("sec/b12: each line of a header is judged", async () => {
	await apply("no-evil", { action: "DENY", rules: [{ when: [{ key: "request.headers[x-role]", values: ["evil"] }] }] });
	const get = (role: string) => stranger.get(http, "/", { headers: { "x-role": role } });
	assert.deepEqual(
		[(await get("good")).status, (await get("evil")).status, (await get("good\r\nx-role: evil")).status, (await get("good\r\nX-Role: evil")).status],
		[200, 403, 403, 403],
	);
});

test("DENY comes before ALLOW; AUDIT decides nothing", async () => {
	await apply("all", { rules: [{}] });
	await apply("audit", { action: "AUDIT", rules: [{ to: [{ operation: { paths: ["/audited"] } }] }] });
	await apply("not-bob", { action: "DENY", rules: [{ from: [{ source: { principals: ["*/sa/bob"] } }] }] });
	assert.deepEqual(
		[await statuses(["/", "/audited"], alice), await statuses(["/", "/audited"], bob)],
		[
			[200, 200],
			[403, 403],
		],
	);
});

test("by address: of the connection, and of the client that the last proxy saw", async () => {
	await apply("from", { rules: [{ from: [{ source: { ipBlocks: ["127.7.0.0/16"] } }] }, { from: [{ source: { remoteIpBlocks: ["203.0.113.0/24"] } }] }] });
	const get = async (from: string, forwarded?: string) =>
		(await stranger.get(http, "/", { from, ...(forwarded === undefined ? {} : { headers: { "x-forwarded-for": forwarded } }) })).status;
	assert.deepEqual([await get("127.7.1.2"), await get("127.0.0.1")], [200, 403]);
	assert.deepEqual([await get("127.0.0.1", "203.0.113.9"), await get("127.0.0.1", "203.0.113.9, 198.51.100.1")], [200, 403]);
	// Who says to be of an allowed network does not come from it.
	assert.equal(await get("127.0.0.1", "127.7.1.2"), 403);
});

test("TCP: what a connection can show is judged; ALLOW rules about requests never match, DENY rules lose only what cannot be judged", async () => {
	await apply("pipe", { rules: [{ from: [{ source: { principals: ["*/sa/alice"] } }] }] }, { app: "pipe" });
	assert.deepEqual([await alice.send(tcp, "ping"), await bob.send(tcp, "ping"), await stranger.send(tcp, "ping")], ["ping", "", ""]);
	await apply("pipe", { rules: [{ to: [{ operation: { methods: ["GET"], ports: ["7000"] } }] }] }, { app: "pipe" });
	assert.equal(await alice.send(tcp, "ping"), "");
	await apply("pipe", { action: "DENY", rules: [{ from: [{ source: { namespaces: ["bar"] } }], to: [{ operation: { methods: ["GET"] } }] }] }, { app: "pipe" });
	assert.deepEqual([await alice.send(tcp, "ping"), await bob.send(tcp, "ping")], ["ping", ""]);
});

test("CUSTOM: the authorizer is asked for what the rules name, and has its say before the others", async () => {
	await apply("ext", { action: "CUSTOM", provider: { name: "ext" }, rules: [{ to: [{ operation: { paths: ["/headers"] } }] }] }, { app: "server" });
	const get = (path: string, answer: string) => alice.get(http, path, { headers: { "x-ext-authz": answer } });
	assert.equal((await get("/free", "deny")).status, 200);
	assert.equal(asked.length, 0);
	const allowed = await get("/headers", "allow");
	assert.equal(allowed.status, 200);
	assert.match(allowed.text, /"x-ext-authz-check-result":"allowed"/);
	const denied = await get("/headers", "deny");
	assert.equal(denied.status, 403);
	assert.match(denied.text, /x-ext-authz-check-result: denied[^]*denied by the authorizer$/);
	assert.equal(asked.length, 2);
	await apply("deny", { action: "DENY", rules: [{ to: [{ operation: { paths: ["/headers"] } }] }] }, { app: "server" });
	assert.equal((await get("/headers", "allow")).status, 403);
});

test("CUSTOM with a provider that is not there refuses what it would be asked about", async () => {
	await apply("ext", { action: "CUSTOM", provider: { name: "nobody" }, rules: [{ to: [{ operation: { paths: ["/headers"] } }] }] }, { app: "server" });
	assert.deepEqual(await statuses(["/headers", "/free"], alice), [403, 200]);
});

test("a dry run refuses nothing, and counts what it would", async () => {
	const dryRun = { annotations: { "istio.io/dry-run": "true" }, app: "server" };
	await apply("tried", { action: "DENY", rules: [{ to: [{ operation: { paths: ["/x"] } }] }] }, dryRun);
	assert.deepEqual(await statuses(["/x", "/x", "/y"], alice), [200, 200, 200]);
	const counts = (await adminText(podOf(mesh, "server-v1"), "/stats"))
		.split("\n")
		.filter((line) => /istio_dry_run_deny_.*shadow_(?:denied|allowed): [1-9]/.test(line));
	assert.deepEqual(counts.map((line) => line.replace(/^.*istio_dry_run/, "istio_dry_run")).sort(), [
		"istio_dry_run_deny_.shadow_allowed: 1",
		"istio_dry_run_deny_.shadow_denied: 2",
	]);
});

test("a refusal's log line and, as asked for, its header name the policy and the rule; the metric has its status", async () => {
	await apply(
		"named",
		{ action: "DENY", rules: [{ to: [{ operation: { paths: ["/never"] } }] }, { to: [{ operation: { paths: ["/refused"] } }] }] },
		{ app: "server" },
	);
	assert.deepEqual(await statuses(["/refused"], alice), [403]);
	const reason = "rbac_access_denied_matched_policy[ns[default]-policy[named]-rule[1]]";
	assert.ok((await alice.get(http, "/refused")).text.includes(`\r\nx-weft-reason: ${reason}\r\n`));
	assert.doesNotMatch((await alice.get(http, "/status/403")).text, /x-weft-reason/);
	const logs = () => readdirSync(mesh.paths.logs).map((file) => readFileSync(join(mesh.paths.logs, file), "utf8"));
	const line = /"GET \/refused HTTP\/1\.1" 403 - rbac_access_denied_matched_policy\[ns\[default\]-policy\[named\]-rule\[1\]\]/;
	for (let i = 0; i < 100 && !logs().some((text) => line.test(text)); i++) await sleep(50);
	assert.ok(
		logs().some((text) => line.test(text)),
		logs().join("\n").slice(-2000),
	);
	const metrics = await adminText(podOf(mesh, "server-v1"), "/stats/prometheus");
	assert.match(
		metrics,
		/istio_requests_total\{[^}]*source_principal="spiffe:\/\/cluster\.local\/ns\/foo\/sa\/alice"[^}]*response_code="403"[^}]*connection_security_policy="mutual_tls"[^}]*\} [1-9]/,
	);
});
