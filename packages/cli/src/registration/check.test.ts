import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { healthCheck } from "./check.ts";

test("HTTP by status, TCP by connection; what does not answer says why", async () => {
	let status = 204;
	const server = createServer((_, response) => response.writeHead(status).end());
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
	const [http, tcp] = [healthCheck(`http://${address}/healthz`), healthCheck(`tcp://${address}`)];
	assert.deepEqual([await http(), await tcp()], [undefined, undefined]);
	status = 500;
	assert.equal(await http(), "HTTP status 500");
	server.close();
	server.closeAllConnections();
	for (const check of [http, tcp]) assert.match((await check()) ?? "", /ECONNREFUSED/);
});

for (const text of ["", "localhost:80", "tcp://localhost", "ftp://host", "unix:///x"]) {
	test(`"${text}" is no check`, () => assert.throws(() => healthCheck(text), /--check: ".*" is not http/));
}
