import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { createHttpClient, matchNoProxy, parseNoProxy } from "./http-client.ts";

async function listenOnce(t: TestContext, answer: (target: string, host: string) => string) {
	const server = createServer((request, response) => response.end(answer(request.url ?? "", request.headers.host ?? "")));
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	t.after(() => {
		server.closeAllConnections();
		server.close();
	});
	return (server.address() as AddressInfo).port;
}

test("a request goes to HTTP_PROXY in absolute form with the host of the target", async (t) => {
	const port = await listenOnce(t, (target, host) => `${target} ${host}`);
	const client = createHttpClient({ HTTP_PROXY: `http://127.0.0.1:${port}` });
	t.after(() => client.close());
	const response = await client.send({ url: "http://reviews:9080/reviews/0?a=1", timeoutMs: 2_000 });
	assert.equal(response.body.toString(), "http://reviews:9080/reviews/0?a=1 reviews:9080");
});

test("a host in NO_PROXY is called directly", async (t) => {
	const port = await listenOnce(t, (target) => target);
	const client = createHttpClient({ HTTP_PROXY: "http://127.0.0.1:1", NO_PROXY: "localhost,127.0.0.1" });
	t.after(() => client.close());
	assert.equal((await client.send({ url: `http://127.0.0.1:${port}/x`, timeoutMs: 2_000 })).body.toString(), "/x");
});

test("an answer that does not come in time is an error that says so", async (t) => {
	const server = createServer(() => undefined);
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	t.after(() => {
		server.closeAllConnections();
		server.close();
	});
	const client = createHttpClient({});
	t.after(() => client.close());
	const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
	await assert.rejects(client.send({ url, timeoutMs: 30 }), /no answer from .* within 30 ms/);
});

const noProxyCases = [
	["*", "a", "80", true],
	["a.example", "a.example", "", true],
	["example", "a.example", "", true],
	[".example", "a.example", "", true],
	["ample", "a.example", "", false],
	["a:8080", "a", "8080", true],
	["a:8080", "a", "", false],
	["a:80", "a", "", true],
	["", "a", "", false],
] as const;

for (const [list, host, port, expected] of noProxyCases) {
	test(`NO_PROXY "${list}" ${expected ? "covers" : "does not cover"} ${host}:${port}`, () => {
		assert.equal(matchNoProxy(parseNoProxy(list), host, port), expected);
	});
}
