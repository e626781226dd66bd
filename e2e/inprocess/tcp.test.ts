import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { closeConnections, startTestMesh, type TestMesh } from "@weft/testkit";
import { peerAuthentication, service, workload } from "./mesh-yaml.ts";
import { converse } from "./sockets.ts";

const examples = join(import.meta.dirname, "../../examples");
const read = (file: string) => readFileSync(join(examples, "tcp-echo", file), "utf8");

let mesh: TestMesh;

before(async () => {
	const yaml =
		workload({ name: "pipe", app: "tcp-app.ts", ports: [7000, 7001, 7002] }) +
		service("pipe", [
			{ name: "tcp-echo", port: 7000 },
			{ name: "tcp-greeter", port: 7001 },
			{ name: "tcp-closing", port: 7002 },
		]) +
		peerAuthentication("STRICT");
	mesh = await startTestMesh({ yaml, sources: [{ file: "tcp-echo.yaml", text: read("tcp-echo.yaml") }], imageFiles: [join(examples, "weft.local.yaml")] });
});

after(async () => {
	await mesh?.stop();
	closeConnections();
});

/** Which version of tcp-echo answers each of `connections` connections. */
async function versions(connections: number): Promise<Readonly<Record<string, number>>> {
	const counts: Record<string, number> = {};
	for (let i = 0; i < connections; i += 10) {
		const said = await Promise.all(
			Array.from({ length: Math.min(10, connections - i) }, (_, n) => converse(mesh.addressOf("tcp-echo:9000"), { send: `line ${i + n}\n`, bytes: 10 })),
		);
		for (const { bytes } of said) {
			const version = /^(one|two) line \d+\n$/.exec(bytes.toString())?.[1] ?? `unexpected ${JSON.stringify(bytes.toString())}`;
			counts[version] = (counts[version] ?? 0) + 1;
		}
	}
	return counts;
}

test("lines come back from both versions, where only mutual TLS is taken", async () => {
	const counts = await versions(40);
	assert.deepEqual(Object.keys(counts).sort(), ["one", "two"]);
	const pod = mesh.pods().find((p) => p.workload === "tcp-echo-v1");
	assert.ok(pod);
	const plain = await converse(`${pod.ip}:9000`, { send: "line\n" });
	assert.equal(plain.bytes.length, 0, "STRICT closes a connection in plain text");
});

test("a client that ends its side still gets the rest of the answer", async () => {
	for (let i = 0; i < 20; i++) {
		const { bytes, ended } = await converse(mesh.addressOf("tcp-echo:9001"), { send: "no end of line", end: true });
		assert.match(bytes.toString(), /^(one|two) no end of line$/);
		assert.ok(ended, "the peer's end arrived as an end, not as a reset");
	}
});

test("1 MB goes there and comes back unchanged, on 4 connections at once", async () => {
	const sent = Array.from({ length: 4 }, () => randomBytes(1 << 20));
	const came = await Promise.all(sent.map((bytes) => converse(mesh.addressOf("pipe:7000"), { send: bytes, end: true })));
	came.forEach(({ bytes }, i) => assert.ok(bytes.equals(sent[i] ?? Buffer.alloc(0)), `connection ${i}: ${bytes.length} bytes came back`));
});

test("a server that speaks first is heard before the client says anything", async () => {
	const { bytes } = await converse(mesh.addressOf("pipe:7001"), { send: "HELO", waitForPeer: true });
	assert.equal(bytes.toString(), "220 ready\r\n250 HELO");
});

test("a port on which nobody listens any more closes the client's connection without a byte", async () => {
	const first = await converse(mesh.addressOf("pipe:7002"), { send: "go" });
	assert.equal(first.bytes.toString(), "closed");
	for (let i = 0; i < 5; i++) {
		const { bytes } = await converse(mesh.addressOf("pipe:7002"), { send: "anybody?" });
		assert.equal(bytes.length, 0);
	}
	assert.equal(
		(await converse(mesh.addressOf("pipe:7001"), { send: "HELO", waitForPeer: true })).bytes.toString(),
		"220 ready\r\n250 HELO",
		"its other ports are not affected",
	);
});

test("a weighted TCP route splits connections 80/20", async () => {
	await mesh.applyYaml(read("tcp-echo-20-v2.yaml"));
	const counts = await versions(400);
	assert.deepEqual(Object.keys(counts).sort(), ["one", "two"]);
	assert.equal((counts["one"] ?? 0) + (counts["two"] ?? 0), 400);
	assert.ok(Math.abs((counts["two"] ?? 0) - 80) <= 40, JSON.stringify(counts));
});
