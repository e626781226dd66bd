import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { systemClock } from "@weft/runtime";
import { inClusterConnection, kubeconfigConnection } from "./connection.ts";

let directory: string;
before(() => {
	directory = mkdtempSync(join(tmpdir(), "weft-kube-"));
});
after(() => rmSync(directory, { recursive: true }));

const write = (name: string, text: string): string => {
	writeFileSync(join(directory, name), text);
	return join(directory, name);
};

test("a pod's token is read again, and the last one serves while the file is away", async () => {
	let nowMs = 0;
	write("token", "one\n");
	write("ca.crt", "CA");
	write("namespace", "istio-system");
	const environment = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" };
	const connection = await inClusterConnection({ clock: { ...systemClock, monotonicMs: () => nowMs }, environment, directory });
	assert.equal(connection?.server.href, "https://[fd00::1]/");
	assert.equal(connection?.namespace, "istio-system");
	const token = async () => (await connection?.credentials())?.headers["authorization"];
	assert.equal(await token(), "Bearer one");
	write("token", "two");
	assert.equal(await token(), "Bearer one", "not at every request");
	nowMs += 11_000;
	assert.equal(await token(), "Bearer two");
	rmSync(join(directory, "token"));
	nowMs += 11_000;
	assert.equal(await token(), "Bearer two");
});

test("outside a cluster there is no such connection", async () => {
	assert.equal(await inClusterConnection({ clock: systemClock, environment: {} }), undefined);
});

const kubeconfig = (user: string) => `
apiVersion: v1
kind: Config
current-context: main
clusters:
- name: c
  cluster: { server: "https://127.0.0.1:6443/prefix", insecure-skip-tls-verify: true }
contexts:
- name: main
  context: { cluster: c, user: u, namespace: team }
users:
- name: u
  user: ${user}
`;

test("a kubeconfig gives server, namespace and token; an unknown context is named", async () => {
	const file = write("config", kubeconfig("{ token: abc }"));
	const connection = await kubeconfigConnection({ file, clock: systemClock });
	assert.equal(connection.server.href, "https://127.0.0.1:6443/prefix");
	assert.equal(connection.namespace, "team");
	const credentials = await connection.credentials();
	assert.equal(credentials.headers["Authorization"] ?? credentials.headers["authorization"], "Bearer abc");
	assert.equal(credentials.rejectUnauthorized, false);
	await assert.rejects(kubeconfigConnection({ file, context: "nope", clock: systemClock }), /there is no context "nope"/);
});

test("an exec plugin makes the token", async () => {
	const plugin = write(
		"plugin.mjs",
		`console.log(JSON.stringify({apiVersion:"client.authentication.k8s.io/v1",kind:"ExecCredential",status:{token:"from-plugin"}}))`,
	);
	const exec = { apiVersion: "client.authentication.k8s.io/v1", command: process.execPath, args: [plugin], interactiveMode: "Never" };
	const file = write("exec-config", kubeconfig(`{ exec: ${JSON.stringify(exec)} }`));
	const credentials = await (await kubeconfigConnection({ file, clock: systemClock })).credentials();
	assert.equal(credentials.headers["Authorization"] ?? credentials.headers["authorization"], "Bearer from-plugin");
});
