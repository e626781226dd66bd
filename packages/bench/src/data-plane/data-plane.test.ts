import assert from "node:assert/strict";
import { test } from "node:test";
import { findProgram } from "../../../../scripts/peers-find.mjs";
import { runDataPlane } from "./data-plane.ts";

const lacking = ["wrk", "nginx", "taskset", "openssl"].filter((name) => findProgram(name) === undefined);
const skip = lacking.length > 0 ? `no ${lacking.join(", ")} here; enabled by: apt-get install nginx-light wrk util-linux openssl` : false;

test("a short run of the mutual TLS hop measures nginx with no failed request and stops what it started", { skip }, async () => {
	const lines: string[] = [];
	const args = ["--peers=nginx", "--scenarios=hop", "--rounds=1", "--seconds=1", "--connections=4", "--tries=1", "--no-record"];
	const code = await runDataPlane(args, (line) => lines.push(line), new AbortController().signal);
	assert.equal(code, 0);
	const cells = lines
		.join("\n")
		.split("\n")
		.find((line) => line.startsWith("| nginx |"))
		?.split("|")
		.map((cell) => cell.trim());
	assert.ok(cells !== undefined, lines.join("\n"));
	const [requests, failed] = cells.slice(-3).map(Number);
	assert.ok((requests ?? 0) > 100, `only ${requests} requests`);
	assert.equal(failed, 0);
});

test("a peer that is not understood is refused before anything starts", async () => {
	await assert.rejects(
		runDataPlane(["--peers=traefik"], () => undefined, new AbortController().signal),
		/traefik/,
	);
});
