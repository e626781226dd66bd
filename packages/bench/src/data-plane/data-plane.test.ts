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

const lackingForAll = [...lacking, ...["h2load", "nghttpd"].filter((name) => findProgram(name) === undefined)];
const skipAll =
	lackingForAll.length > 0
		? `no ${lackingForAll.join(", ")} here; enabled by: apt-get install nginx-light wrk util-linux openssl nghttp2-client nghttp2-server`
		: false;

test("weft-proxy serves TCP, gRPC, new TLS connections, many routes, mesh features and idle connections", {
	skip: skipAll,
}, async () => {
	const lines: string[] = [];
	const names = ["grpc", "tcp", "tls", "routes100", "mesh", "idletls"];
	const args = ["--peers=weft-proxy", `--scenarios=${names.join(",")}`, "--rounds=1", "--seconds=1", "--connections=8", "--tries=1", "--no-record"];
	assert.equal(await runDataPlane(args, (line) => lines.push(line), new AbortController().signal), 0);
	const page = lines.join("\n");
	assert.doesNotMatch(page, /Not measured/);
	for (const name of names) assert.match(page, new RegExp(`^## ${name}: `, "m"));
	const measured = page
		.split("\n")
		.filter((line) => line.startsWith("| weft-proxy |"))
		.map((line) => line.split("|").map((cell) => cell.trim()))
		.filter((cells) => cells.length > 8);
	// Five scenarios with load, and gRPC and mesh at half of it.
	assert.equal(measured.length, 7, page);
	for (const cells of measured) {
		const [requests, failed] = cells.slice(-3).map(Number);
		// On a busy machine the load may find an answer too late.
		assert.ok((requests ?? 0) > 0 && (failed ?? 0) <= (requests ?? 0) / 100, cells.join("|"));
	}
	assert.match(page, /\| weft-proxy \| 1000 \| [\d.]+ \| [\d.]+ \| -?[\d.]+ \|/);
});

test("a peer that is not understood is refused before anything starts", async () => {
	await assert.rejects(
		runDataPlane(["--peers=traefik"], () => undefined, new AbortController().signal),
		/traefik/,
	);
});
