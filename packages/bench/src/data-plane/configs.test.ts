import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { findEnvoy, findProgram } from "../../../../scripts/peers-find.mjs";
import { buildBackendConfig } from "./backends.ts";
import { makeCertificates } from "./certificates.ts";
import { buildEnvoyConfig } from "./envoy-config.ts";
import { buildHaproxyConfig } from "./haproxy-config.ts";
import { buildNginxConfig } from "./nginx-config.ts";
import { findStreamModule } from "./peers.ts";
import { freePorts } from "./readiness.ts";
import type { ProxyRole } from "./topology.ts";

type Checker = {
	readonly name: string;
	readonly program: string | undefined;
	readonly fix: string;
	readonly build: (role: ProxyRole) => string;
	readonly args: (file: string, folder: string) => readonly string[];
	readonly takes: (role: ProxyRole) => boolean;
};

const nginx = findProgram("nginx");
const stream = nginx === undefined ? {} : findStreamModule(nginx);

// weft-proxy takes the same files as Envoy; data-plane.test.ts has it serve with them.
const checkers: readonly Checker[] = [
	{
		name: "nginx",
		program: nginx,
		fix: "apt-get install nginx-light",
		build: (role) => buildNginxConfig(role, stream.streamModule),
		args: (file, folder) => ["-t", "-p", folder, "-c", file],
		takes: ({ protocol, mesh }) => mesh === undefined && protocol !== "http2" && (protocol !== "tcp" || stream.tcpFix === undefined),
	},
	{
		name: "haproxy",
		program: findProgram("haproxy"),
		fix: "apt-get install haproxy",
		build: buildHaproxyConfig,
		args: (file) => ["-c", "-f", file],
		takes: ({ mesh, routes }) => mesh === undefined && routes === undefined,
	},
	{ name: "Envoy", program: findEnvoy(), fix: "npm run peers", build: buildEnvoyConfig, args: (file) => ["--mode", "validate", "-c", file], takes: () => true },
];

async function roles(t: TestContext): Promise<{ readonly folder: string; readonly roles: readonly ProxyRole[] }> {
	const folder = mkdtempSync(join(tmpdir(), "weft-bench-test-"));
	t.after(() => rmSync(folder, { recursive: true, force: true }));
	const certificates = makeCertificates(folder);
	const [listenPort = 0, upstreamPort = 0, adminPort = 0] = await freePorts(3);
	const plain: ProxyRole = { listenPort, listenTls: "none", upstreamPort, upstreamTls: false, adminPort, certificates, protocol: "http1" };
	const mesh = { accessLog: join(folder, "access.log"), collectorPort: upstreamPort, collectorPath: "/api/v2/spans/test" };
	return {
		folder,
		roles: [
			plain,
			{ ...plain, upstreamTls: true },
			{ ...plain, listenTls: "mutual" },
			{ ...plain, listenTls: "server" },
			{ ...plain, upstreamTls: true, protocol: "http2" },
			{ ...plain, listenTls: "mutual", protocol: "http2" },
			{ ...plain, protocol: "tcp" },
			{ ...plain, routes: 100 },
			{ ...plain, mesh: { ...mesh, inbound: true, outbound: true } },
			{ ...plain, upstreamTls: true, mesh: { ...mesh, inbound: false, outbound: true } },
			{ ...plain, listenTls: "mutual", mesh: { ...mesh, inbound: true, outbound: false } },
		],
	};
}

for (const { name, program, fix, build, args, takes } of checkers) {
	const skip = program === undefined ? `no ${name} here; enabled by: ${fix}` : findProgram("openssl") === undefined ? "no openssl here" : false;
	test(`${name} takes its configuration for every role that it has`, { skip }, async (t) => {
		const { folder, roles: all } = await roles(t);
		for (const role of all.filter(takes)) {
			const file = join(folder, "config.json");
			writeFileSync(file, build(role));
			const checked = spawnSync(program ?? "", args(file, folder), { encoding: "utf8", timeout: 60_000 });
			const { protocol, listenTls, upstreamTls, mesh } = role;
			assert.equal(checked.status, 0, `${JSON.stringify({ protocol, listenTls, upstreamTls, mesh })}: ${checked.stdout}${checked.stderr}`);
		}
	});
}

test("nginx takes the backend's configuration", { skip: nginx === undefined && "no nginx here; enabled by: apt-get install nginx-light" }, async (t) => {
	const folder = mkdtempSync(join(tmpdir(), "weft-bench-test-"));
	t.after(() => rmSync(folder, { recursive: true, force: true }));
	const [port = 0, http2Port = 0] = await freePorts(2);
	const file = join(folder, "nginx.cfg");
	writeFileSync(file, buildBackendConfig(port, http2Port, folder));
	const checked = spawnSync(nginx ?? "", ["-t", "-p", folder, "-c", file], { encoding: "utf8", timeout: 20_000 });
	assert.equal(checked.status, 0, checked.stderr);
});
