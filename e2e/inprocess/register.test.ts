import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { closeConnections, runWeft, startTestMesh, startWeft, type TestMesh } from "@weft/testkit";
import { service } from "./mesh-yaml.ts";

// An application that no launcher and no cluster knows of joins a service with `weft register`, and is seen, served, drained and gone.
let mesh: TestMesh;
let application: Server;
let isFailing = false;

before(async () => {
	application = createServer((request, response) => response.writeHead(isFailing && request.url === "/healthz" ? 503 : 200).end("legacy"));
	await new Promise<void>((resolve) => application.listen(0, "127.0.0.1", resolve));
	mesh = await startTestMesh({ yaml: service("legacy", [{ name: "http", port: 80 }]) });
});

after(async () => {
	await mesh?.stop();
	closeConnections();
	application?.close();
	application?.closeAllConnections();
});

const port = () => (application.address() as AddressInfo).port;
const weft = (...args: string[]) => runWeft([...args, "--state-dir", mesh.paths.root]);
const register = (...args: string[]) =>
	startWeft(["register", "legacy", "--name", "legacy-1", "--port", `http=${port()}`, ...args, "--state-dir", mesh.paths.root]);

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
	for (let i = 0; i < 600; i++) {
		if (await holds()) return;
		await sleep(50);
	}
	assert.fail(`waited in vain until ${what}`);
}

/** The row of the instance in `weft status`. */
async function row(): Promise<string | undefined> {
	const { status, stdout, stderr } = await weft("status");
	assert.equal(status, 0, stderr);
	return stdout.split("\n").find((line) => line.includes("legacy-1"));
}

const answers = async () => {
	const { status, body } = await mesh.call("legacy", "/");
	return `${status} ${body}`;
};

test("an instance is served while it is registered and healthy; Ctrl-C takes it out", async () => {
	assert.match(await answers(), /^503 /);
	const registration = register("--check", `http://127.0.0.1:${port()}/healthz`, "--ttl", "5s");
	await until("it is served", async () => (await answers()) === "200 legacy");
	assert.match((await row()) ?? "", /default +legacy-1 +HEALTHY +127\.0\.0\.1 +spiffe:\/\/cluster\.local\/ns\/default\/sa\/default/);
	isFailing = true;
	await until("it is not served", async () => (await answers()).startsWith("503 "));
	assert.match((await row()) ?? "", /UNHEALTHY .*HTTP status 503/);
	isFailing = false;
	await until("it is served again", async () => (await answers()) === "200 legacy");
	registration.child.kill("SIGINT");
	await once(registration.child, "exit");
	assert.equal(registration.child.exitCode, 0, registration.log());
	await until("it is gone", async () => (await answers()).startsWith("503 "));
	assert.equal(await row(), undefined);
});

test("one that ends without a word drains, and is removed", async () => {
	const registration = register("--ttl", "5s");
	await until("it is served", async () => (await answers()) === "200 legacy");
	registration.child.kill("SIGKILL");
	await until("it drains", async () => / DRAINING .*no heartbeat for 5s/.test((await row()) ?? ""));
	await until("it is removed", async () => (await row()) === undefined);
	assert.match(await answers(), /^503 /);
});

test("a control plane that was restarted knows it by the next heartbeat", async () => {
	const registration = register("--ttl", "6s");
	await until("it is served", async () => (await answers()) === "200 legacy");
	const pid = mesh.controlPlanePid();
	assert.ok(pid);
	process.kill(pid, "SIGKILL");
	await until(
		"another runs",
		async () => mesh.controlPlanePid() !== pid && (await fetch(`http://${mesh.httpAddress}/ready`).catch(() => undefined))?.ok === true,
	);
	await until("the instance is known", async () => / HEALTHY /.test((await row()) ?? ""));
	await until("it is served", async () => (await answers()) === "200 legacy");
	await registration.stop();
});

test("once registers and returns, deregister takes it out; what cannot be says why", async () => {
	const once = await weft("register", "legacy", "--name", "legacy-1", "--once", "--ttl", "1m");
	assert.deepEqual([once.status, once.stdout], [0, "instance default/legacy-1 registered: without a heartbeat it drains after 1m\n"], once.stderr);
	assert.deepEqual((await weft("deregister", "legacy-1")).stdout, "instance default/legacy-1 deregistered\n");
	const gone = await weft("deregister", "legacy-1");
	assert.deepEqual([gone.status, gone.stderr], [1, "error: there is no instance default/legacy-1\n"]);
	const unknown = await weft("register", "nowhere", "--once");
	assert.deepEqual([unknown.status, unknown.stderr], [1, "error: there is no Service or ServiceEntry nowhere in namespace default\n"]);
	const wrong = await weft("register", "legacy", "--port", "9080");
	assert.deepEqual([wrong.status, wrong.stderr], [2, 'error: --port: "9080" is not of the form NAME=VALUE\n']);
	const half = await weft("register", "legacy", "--server", "https://127.0.0.1:1", "--ca-file", "x", "--cert-file", "y");
	assert.deepEqual([half.status, half.stderr], [2, "error: --cert-file and --key-file belong together\n"]);
});

test("a WorkloadEntry of the same name that is applied comes first, with a warning, until it is deleted", async () => {
	const registered = await weft("register", "legacy", "--name", "legacy-1", "--port", `http=${port()}`, "--once", "--ttl", "2m");
	assert.equal(registered.status, 0, registered.stderr);
	await until("it is served", async () => (await answers()) === "200 legacy");
	const entry = {
		apiVersion: "networking.istio.io/v1",
		kind: "WorkloadEntry",
		metadata: { name: "legacy-1", namespace: "default" },
		spec: { address: "127.0.0.1" },
	};
	const applied = await mesh.client.apply([{ file: "entry.yaml", text: JSON.stringify(entry) }], { wait: true, dryRun: false, timeoutMs: 20_000 });
	const isConflict = ({ message }: { readonly message: string }) =>
		/^defined by files and registrations; the one of files \(.*\) is in force; remove the other$/.test(message);
	assert.ok(applied.diagnostics.some(isConflict), JSON.stringify(applied.diagnostics));
	await until("the applied one is in force, which no service selects", async () => (await answers()).startsWith("503 "));
	assert.match((await weft("status")).stderr, /WEFT-V007.* WorkloadEntry default\/legacy-1: defined by files and registrations/);
	await mesh.client.remove("WorkloadEntry", "default", "legacy-1", true);
	await until("it is served again", async () => (await answers()) === "200 legacy");
	assert.equal((await weft("deregister", "legacy-1")).status, 0);
});
