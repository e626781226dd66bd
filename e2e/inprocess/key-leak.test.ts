import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { closeConnections, startTestMesh, type TestMesh } from "@weft/testkit";
import { networking, service, workload } from "./mesh-yaml.ts";
import { podOf, podsOf } from "./pods.ts";

// Private keys stay where they are used: not in a log, a page, a dump, a command line or an environment.

let mesh: TestMesh;

before(async () => {
	mesh = await startTestMesh({
		certificateTtl: "20s",
		meshConfig: JSON.stringify({ accessLogFile: "/dev/stdout" }),
		yaml:
			workload({ name: "server", app: "http-app.ts", ports: [8000] }) +
			service("server", [{ name: "http", port: 8000 }]) +
			networking("DestinationRule", "server", { host: "server", trafficPolicy: { tls: { mode: "ISTIO_MUTUAL" } } }),
	});
	assert.equal((await mesh.call("server", "/")).status, 200);
	// A request that fails has more to say.
	await mesh.call("server", "/%00");
});

after(async () => {
	await mesh?.stop();
	closeConnections();
});

/** PEM and JWK private members; the empty shell of a redacted one is none. */
const privateParts = [
	/-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/,
	/"(?:d|p|q|dp|dq|qi)"\s*:\s*"[A-Za-z0-9_-]{20,}"/,
	/"(?:inlineBytes|inline_bytes)"\s*:\s*"LS0tLS1CRUdJTi[^"]*UFJJVkFURSBLRVk/,
];

/** The mesh's keys that are on disk, by lines long enough to be nothing else. */
function knownKeys(): readonly string[] {
	const files = [join(mesh.paths.ca, "ca-key.pem"), mesh.paths.tokenKey, mesh.paths.apiToken];
	return files.flatMap((file) => {
		const text = readFileSync(file, "latin1");
		const lines = text.includes("-----") ? text.split("\n").slice(1, -2) : [text, Buffer.from(text, "latin1").toString("base64")];
		return lines.filter((line) => line.length >= 20);
	});
}

function assertClean(where: string, text: string): void {
	for (const part of privateParts) assert.doesNotMatch(text, part, where);
	for (const key of knownKeys()) assert.ok(!text.includes(key), `${where} has a line of a key`);
}

test("sec/d36: no page of proxy or control plane shows a private key", async () => {
	const status = JSON.parse(readFileSync(mesh.paths.mesh, "utf8")) as { readonly httpAddress: string };
	const pages = [
		"/config_dump",
		"/certs",
		"/stats",
		"/stats/prometheus",
		"/clusters",
		"/listeners",
		"/server_info",
		"/memory",
		"/init_dump",
		"/runtime",
		"/config_dump?include_eds",
		"/config_dump?resource=dynamic_active_secrets",
	];
	let secrets = 0;
	for (const pod of podsOf(mesh, "server-v1")) {
		for (const page of pages) {
			const text = await (await fetch(`http://${pod.adminAddress}${page}`)).text();
			if (text.includes(Buffer.from("[redacted]").toString("base64"))) secrets++;
			assertClean(`${page} of ${pod.name}`, text);
		}
	}
	assert.ok(secrets > 0, "the dump has the secrets, redacted");
	const list = (await (await fetch(`http://${status.httpAddress}/debug/list`)).json()) as readonly string[];
	assert.ok(list.length > 5);
	for (const page of [
		...list.map((name) => `/debug/${name}`),
		`/debug/config_dump?proxyID=${podOf(mesh, "server-v1").name}.default`,
		"/metrics",
		"/ready",
		"/version",
	]) {
		assertClean(page, await (await fetch(`http://${status.httpAddress}${page}`)).text());
	}
});

test("sec/d36: no log, reported object or status file has one", () => {
	const files = globSync("**/*", { cwd: mesh.paths.root, withFileTypes: true }).filter((entry) => entry.isFile());
	const kept = new Set([mesh.paths.ca, join(mesh.paths.root, "keys"), mesh.paths.tokens]);
	let logs = 0;
	for (const { parentPath, name } of files) {
		const path = join(parentPath, name);
		const isSecret = kept.has(parentPath);
		// Where the keys are, and nowhere else: for the own user alone.
		if (isSecret && /key|token/.test(name)) assert.equal(statSync(path).mode & 0o077, 0, `${path} is for its user alone`);
		if (isSecret) continue;
		if (name.endsWith(".log")) logs++;
		assertClean(path, readFileSync(path, "latin1"));
	}
	assert.ok(logs >= 2, `${logs} logs`);
});

test("sec/d36: no process of the mesh has one in its command line or environment", {
	skip: existsSync("/proc/self/environ") ? false : "there is no /proc here",
}, () => {
	let processes = 0;
	for (const file of globSync("/proc/[0-9]*/cmdline")) {
		const read = (path: string) => {
			try {
				return readFileSync(path, "latin1");
			} catch {
				// Another user's, or gone.
				return "";
			}
		};
		const command = read(file);
		if (!command.includes(mesh.paths.root)) continue;
		processes++;
		assertClean(file, command);
		assertClean(file, read(file.replace("cmdline", "environ")));
	}
	assert.ok(processes >= 3, `${processes} processes of the mesh`);
});
