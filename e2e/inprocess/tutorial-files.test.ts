import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createNetServer, type Server as NetServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { buildRootTemplate, encodePrivateKey, encodePublicKey, generateKeys, signSelf } from "@weft/pki";
import { call, closeConnections } from "@weft/testkit";

// Envoy files as people find them, which Envoy 1.40 refuses and weft-proxy serves, with a warning a line.
const root = join(import.meta.dirname, "../..");
const proxy = join(root, "packages/proxy/bin/weft-proxy.mjs");
const folder = mkdtempSync(join(tmpdir(), "weft-tutorial-"));
const servers: NetServer[] = [];
const children: ChildProcess[] = [];
let plainPort: number;
let securePort: number;

async function listen(server: NetServer): Promise<number> {
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	servers.push(server);
	return (server.address() as AddressInfo).port;
}

before(async () => {
	const answer =
		(name: string) =>
		(request: { readonly url?: string | undefined; readonly headers: { readonly host?: string | undefined } }, response: { end(text: string): unknown }) =>
			response.end(`${name} ${request.url} ${request.headers.host}`);
	plainPort = await listen(createServer(answer("plain")));
	const { privateKey } = await generateKeys();
	const template = buildRootTemplate({
		trustDomain: "backend.example.com",
		publicKeyDer: encodePublicKey(privateKey),
		serialNumber: randomBytes(8),
		nowMs: Date.now(),
	});
	const tls = { key: encodePrivateKey(privateKey), cert: signSelf(template, privateKey) };
	securePort = await listen(createTlsServer(tls, answer("secure")));
});

after(async () => {
	for (const child of children.filter((c) => c.exitCode === null)) {
		child.kill();
		await once(child, "exit");
	}
	for (const server of servers) server.close();
	closeConnections();
	rmSync(folder, { recursive: true, force: true });
});

async function freePort(): Promise<number> {
	const server = createNetServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address() as AddressInfo;
	server.close();
	return port;
}

/** The file with ports of this machine in it, line for line the same otherwise. */
async function prepared(name: string): Promise<{ readonly file: string; readonly port: number }> {
	const port = await freePort();
	const text = readFileSync(join(root, "examples/envoy", name), "utf8")
		.replace("10000", String(port))
		.replace("9901", String(await freePort()))
		.replace("8080", String(plainPort))
		.replace("8443", String(securePort))
		.replace("host.docker.internal", "localhost");
	const file = join(folder, name);
	writeFileSync(file, text);
	return { file, port };
}

async function serve(file: string, port: number): Promise<() => string> {
	const child = spawn(process.execPath, [proxy, "-c", file, "--concurrency", "1"], { stdio: ["ignore", "pipe", "pipe"] });
	children.push(child);
	let log = "";
	for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (log += chunk.toString()));
	for (let waited = 0; waited < 15_000; waited += 50) {
		if (child.exitCode !== null) break;
		if (
			await call(`127.0.0.1:${port}`, "/", { timeoutMs: 1000 }).then(
				() => true,
				() => false,
			)
		)
			return () => log;
		await sleep(50);
	}
	throw new Error(`${file} is not served:\n${log}`);
}

function validate(file: string, ...more: string[]): { readonly status: number | null; readonly text: string } {
	try {
		return { status: 0, text: execFileSync(process.execPath, [proxy, "-c", file, "--mode", "validate", ...more], { encoding: "utf8", stdio: "pipe" }) };
	} catch (error) {
		const { status, stdout, stderr } = error as { readonly status: number | null; readonly stdout: string; readonly stderr: string };
		return { status, text: stdout + stderr };
	}
}

/** Lines of the file that the log names as FILE:LINE. */
function namedLines(file: string, log: string): readonly string[] {
	const lines = readFileSync(file, "utf8").split("\n");
	const numbers = [...log.matchAll(new RegExp(`${file.replaceAll(/[.\\]/g, "\\$&")}:(\\d+)`, "g"))].map((m) => Number(m[1]));
	return [...new Set(numbers)].sort((a, b) => a - b).map((n) => (lines[n - 1] ?? "").trim());
}

test("a front proxy as tutorials print it: router without typed_config, a host name in a STATIC cluster", async () => {
	const { file, port } = await prepared("front-proxy.yaml");
	const log = await serve(file, port);
	const answer = await call(`127.0.0.1:${port}`, "/hello?x=1");
	assert.deepEqual([answer.status, answer.body], [200, `plain /hello?x=1 127.0.0.1:${port}`]);
	const named = namedLines(file, log());
	assert.ok(
		named.some((line) => line.includes("envoy.filters.http.router")),
		log(),
	);
	assert.ok(
		named.some((line) => line.includes("STATIC") || line.includes("localhost")),
		log(),
	);
});

test("the 2020-style file is upgraded, line by line, and serves plain and TLS clusters", async () => {
	const { file, port } = await prepared("legacy-2020.yaml");
	const log = await serve(file, port);
	assert.equal((await call(`127.0.0.1:${port}`, "/plain/a")).body, `plain //a 127.0.0.1:${port}`);
	assert.equal((await call(`127.0.0.1:${port}`, "/b")).body, "secure /b backend.example.com");
	const named = namedLines(file, log()).join("\n");
	for (const word of ["config:", "host_rewrite", "hosts:", "tls_context"]) assert.ok(named.includes(word), `no warning names the line of ${word}:\n${log()}`);
});

test("--mode validate takes both, --strict refuses them and says the fix", async () => {
	for (const name of ["front-proxy.yaml", "legacy-2020.yaml"]) {
		const { file } = await prepared(name);
		const lenient = validate(file);
		assert.equal(lenient.status, 0, lenient.text);
		assert.match(lenient.text, /configuration '.*' OK/);
		const strict = validate(file, "--strict");
		assert.notEqual(strict.status, 0);
		assert.ok(namedLines(file, strict.text).length > 0, strict.text);
	}
});

test("a broken bootstrap is refused with file, line and reason", () => {
	const file = join(folder, "broken.yaml");
	writeFileSync(file, "static_resources:\n  clusters:\n  - name: c\n    conect_timeout: 1s\n");
	const { status, text } = validate(file);
	assert.notEqual(status, 0);
	assert.match(text, /broken\.yaml:4.*conect_timeout/);
});
