import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { call, closeConnections, load, startTestMesh, type TestMesh } from "@weft/testkit";

// examples/user-company: a host of the company's own, outside of any cluster, in two versions.
const servers: Server[] = [];
let mesh: TestMesh;

async function version(name: string): Promise<number> {
	const server = createServer((request, response) => response.end(`${name} ${request.headers.host}`));
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	servers.push(server);
	return (server.address() as AddressInfo).port;
}

before(async () => {
	const text = readFileSync(join(import.meta.dirname, "../../examples/user-company/user-company.yaml"), "utf8");
	const yaml = text.replace("18081", String(await version("v1"))).replace("18082", String(await version("v2")));
	mesh = await startTestMesh({ yaml });
});

after(async () => {
	await mesh?.stop();
	for (const server of servers) server.close();
	closeConnections();
});

test("a v1alpha3 VirtualService for user.company.com splits 80/20 through HTTP_PROXY", async () => {
	const { kinds, errors } = await load(() => call(mesh.proxyAddress, "http://user.company.com/profile", { headers: { host: "user.company.com" } }), {
		requests: 500,
		concurrency: 8,
		classify: (a) => a.body,
	});
	assert.deepEqual(errors, []);
	assert.deepEqual(Object.keys(kinds).sort(), ["v1 user.company.com", "v2 user.company.com"]);
	assert.ok(Math.abs((kinds["v2 user.company.com"] ?? 0) - 100) < 45, JSON.stringify(kinds));
});
