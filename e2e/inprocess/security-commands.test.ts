import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { AuthorityStatus } from "@weft/citadel";
import { closeConnections, runWeft, startTestMesh, type TestMesh } from "@weft/testkit";
import { stranger } from "./callers.ts";
import { workload } from "./mesh-yaml.ts";
import { adminText, boundAddress, podOf } from "./pods.ts";

// What `weft authz check`, `can-i` and `mtls check` say of a mesh that runs, beside what the mesh does.

let mesh: TestMesh;
let address: string;

const policy = (name: string, spec: object) =>
	`${JSON.stringify({ apiVersion: "security.istio.io/v1", kind: "AuthorizationPolicy", metadata: { name, namespace: "default" }, spec })}\n---\n`;

before(async () => {
	mesh = await startTestMesh({
		yaml:
			workload({ name: "server", app: "http-app.ts", ports: [8000] }) +
			`${JSON.stringify({ apiVersion: "v1", kind: "Service", metadata: { name: "server", namespace: "default" }, spec: { selector: { app: "server" }, ports: [{ name: "http", port: 80, targetPort: 8000 }] } })}\n---\n` +
			policy("viewers", { rules: [{ to: [{ operation: { methods: ["GET"] } }] }, { from: [{ source: { principals: ["*/sa/laptop"] } }] }] }) +
			policy("no-admin", { action: "DENY", rules: [{ to: [{ operation: { paths: ["/admin*"] } }] }] }),
	});
	address = await boundAddress(podOf(mesh, "server-v1"));
});

after(async () => {
	await mesh?.stop();
	closeConnections();
});

const weft = (...args: readonly string[]) => runWeft([...args, "--state-dir", mesh.paths.root]);

test("authz check lists what the pod's proxy runs now, and the same from its config_dump", async () => {
	const pod = podOf(mesh, "server-v1");
	const live = await weft("authz", "check", `${pod.name}.default`);
	assert.deepEqual(live, {
		status: 0,
		stdout: "ACTION   AuthorizationPolicy   RULES\nDENY     no-admin.default      1\nALLOW    viewers.default       2\n",
		stderr: "",
	});
	const file = join(mesh.paths.root, "dump.json");
	writeFileSync(file, await adminText(pod, "/config_dump"));
	assert.equal((await weft("authz", "check", "--file", file)).stdout, live.stdout);
	const missing = await weft("authz", "check", "nobody");
	assert.equal(missing.status, 1);
	assert.match(missing.stderr, /^error: there is no pod default\/nobody; pods: .*server-v1/);
});

test("can-i says what the mesh does, and which rule has it so", async () => {
	const cases = [
		["GET", "/x", 200, /^yes: rule 0 of AuthorizationPolicy default\/viewers \(ALLOW\) matches \(server-v1/],
		["POST", "/x", 200, /^yes: rule 1 of AuthorizationPolicy default\/viewers/],
		[
			"GET",
			"/x/../admin/y",
			403,
			/^no: rule 0 of AuthorizationPolicy default\/no-admin \(DENY\) matches .*\n {2}the path is judged, and forwarded, as \/admin\/y\n$/,
		],
	] as const;
	for (const [method, path, status, said] of cases) {
		assert.equal((await mesh.call("server", path, { method })).status, status);
		const answer = await weft("can-i", method, `http://server${path}`, "--from", "default/laptop");
		assert.match(answer.stdout, said);
		assert.equal(answer.status, status === 200 ? 0 : 1);
	}
	const other = await weft("can-i", "POST", "http://server/x", "--from", "default/other", "-o", "json");
	const [found] = JSON.parse(other.stdout) as [{ readonly allowed: boolean; readonly action: string }];
	assert.deepEqual([found.allowed, found.action, other.status], [false, "ALLOW", 1]);
});

test("mtls check names who would be refused under STRICT", async () => {
	assert.equal((await stranger.get(address, "/plain")).status, 200);
	const found = await weft("mtls", "check", "default");
	assert.equal(found.status, 1, found.stderr);
	assert.match(found.stdout, /^WORKLOAD +CLIENT +PRINCIPAL +CONNECTION +REQUESTS +UNDER STRICT\n/);
	assert.match(found.stdout, /server-v1\.default +unknown +- +plain text +1 +REFUSED/);
	assert.match(found.stdout, /server-v1\.default +laptop\.default +spiffe:\/\/cluster\.local\/ns\/default\/sa\/laptop +mutual TLS +\d+ +served/);
	assert.match(found.stdout, /\nSTRICT would refuse unknown\./);
	const quiet = await weft("mtls", "check", "default", "--for", "100ms");
	assert.equal(quiet.status, 0);
	assert.match(quiet.stdout, /^nothing has called/);
});

test("ca status tells the roots and who has them, and ca rotate how far it is, until the new root signs", { timeout: 180_000 }, async () => {
	const before = await weft("ca", "status");
	assert.match(before.stdout, /^self-signed authority of cluster\.local, phase steady/);
	assert.equal(before.stdout.match(/^CURRENT /gm)?.length, 1);
	assert.match(before.stdout, /^(\d+) of \1 proxies have bundle /m);
	const rotated = await weft("ca", "rotate", "--wait", "--timeout", "150s");
	assert.equal(rotated.status, 0, rotated.stderr);
	assert.match(rotated.stdout, /^prepared: a new root is handed out .*\n(distribute: \d+ of \d+ proxies have it; .*\n)*activated: the new root signs; /);
	const now = JSON.parse((await weft("ca", "status", "-o", "json")).stdout) as AuthorityStatus;
	assert.deepEqual([now.phase, now.roots.map(({ slot }) => slot)], ["retire", ["current", "retiring"]]);
	const impatient = await weft("ca", "rotate", "--timeout", "soon");
	assert.deepEqual([impatient.status, impatient.stderr], [2, 'error: --timeout: "soon" is not a duration such as 10m\n']);
});
