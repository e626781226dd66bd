import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { findEnvoy, findProgram } from "../../../../scripts/peers-find.mjs";
import { makeCertificates } from "./certificates.ts";
import { buildEnvoyConfig } from "./envoy-config.ts";
import { buildHaproxyConfig } from "./haproxy-config.ts";
import { buildNginxConfig } from "./nginx-config.ts";
import { freePorts } from "./readiness.ts";
import type { ProxyRole } from "./topology.ts";

type Checker = {
	readonly name: string;
	readonly program: string | undefined;
	readonly fix: string;
	readonly build: (role: ProxyRole) => string;
	readonly args: (file: string, folder: string) => readonly string[];
};

const checkers: readonly Checker[] = [
	{
		name: "nginx",
		program: findProgram("nginx"),
		fix: "apt-get install nginx-light",
		build: buildNginxConfig,
		args: (file, folder) => ["-t", "-p", folder, "-c", file],
	},
	{ name: "haproxy", program: findProgram("haproxy"), fix: "apt-get install haproxy", build: buildHaproxyConfig, args: (file) => ["-c", "-f", file] },
	{ name: "Envoy", program: findEnvoy(), fix: "npm run peers", build: buildEnvoyConfig, args: (file) => ["--mode", "validate", "-c", file] },
];

async function roles(t: TestContext): Promise<{ readonly folder: string; readonly roles: readonly ProxyRole[] }> {
	const folder = mkdtempSync(join(tmpdir(), "weft-bench-test-"));
	t.after(() => rmSync(folder, { recursive: true, force: true }));
	const certificates = makeCertificates(folder);
	const [listenPort = 0, upstreamPort = 0, adminPort = 0] = await freePorts(3);
	const shared = { listenPort, upstreamPort, adminPort, certificates, http2: false };
	return {
		folder,
		roles: [
			{ ...shared, listenTls: false, upstreamTls: false },
			{ ...shared, listenTls: false, upstreamTls: true },
			{ ...shared, listenTls: true, upstreamTls: false },
			{ ...shared, listenTls: false, upstreamTls: true, http2: true },
			{ ...shared, listenTls: true, upstreamTls: false, http2: true },
		],
	};
}

for (const { name, program, fix, build, args } of checkers) {
	const skip = program === undefined ? `no ${name} here; enabled by: ${fix}` : findProgram("openssl") === undefined ? "no openssl here" : false;
	test(`${name} takes its configuration in clear text, as TLS client and as TLS server`, { skip }, async (t) => {
		const { folder, roles: all } = await roles(t);
		for (const role of all) {
			const file = join(folder, "config.json");
			writeFileSync(file, build(role));
			const checked = spawnSync(program ?? "", args(file, folder), { encoding: "utf8", timeout: 20_000 });
			assert.equal(checked.status, 0, `${checked.stdout}${checked.stderr}`);
		}
	});
}
