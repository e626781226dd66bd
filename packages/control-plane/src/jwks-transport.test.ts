import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, BlockList } from "node:net";
import { suite, test, type TestContext } from "node:test";
import { createJwksTransport, type ResolveName } from "./jwks-transport.ts";

async function serve(t: TestContext, listener: RequestListener): Promise<number> {
	const server = createServer(listener);
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	t.after(() => {
		server.closeAllConnections();
		server.close();
	});
	return (server.address() as AddressInfo).port;
}

const resolveTo =
	(...addresses: readonly string[]): ResolveName =>
	async () =>
		addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));

const signal = new AbortController().signal;

suite("sec/b22: keys are fetched", () => {
	test("from an address that is written out", async (t) => {
		const port = await serve(t, (_, response) => response.end("keys"));
		assert.equal(await createJwksTransport("machine")(`http://127.0.0.1:${port}/`, 5000, signal), "keys");
	});

	const refused: readonly (readonly [title: string, address: string])[] = [
		["the metadata service of a cloud", "169.254.169.254"],
		["a link-local address", "fe80::1"],
		["the wildcard address", "0.0.0.0"],
		["a multicast address", "224.0.0.1"],
		["loopback behind a name", "127.0.0.1"],
		["loopback of IPv6 behind a name", "::1"],
		["an IPv4 address of the link in IPv6 notation", "::ffff:169.254.169.254"],
	];
	for (const [title, address] of refused) {
		test(`never from ${title}`, async () => {
			await assert.rejects(
				createJwksTransport("machine", { resolve: resolveTo(address) })("http://issuer.example/", 5000, signal),
				/which is not fetched from|loopback must be/,
			);
		});
	}

	test("never where one of several addresses is refused", async () => {
		await assert.rejects(
			createJwksTransport("machine", { resolve: resolveTo("192.0.2.1", "169.254.169.254") })("http://issuer.example/", 5000, signal),
			/169\.254/,
		);
	});

	test("never from a network that is blocked, by whatever name", async () => {
		const blocked = new BlockList();
		blocked.addSubnet("10.0.0.0", 8);
		blocked.addSubnet("fd00::", 8, "ipv6");
		for (const address of ["10.1.2.3", "fd00::1", "::ffff:10.1.2.3"]) {
			const fetchText = createJwksTransport("cluster", { resolve: resolveTo("192.0.2.1", address), blocked });
			await assert.rejects(fetchText("http://issuer.example/", 5000, signal), /of a network that BLOCKED_CIDRS_IN_JWKS_URIS names/);
		}
		await assert.rejects(createJwksTransport("cluster", { blocked })("http://10.1.2.3/", 5000, signal), /BLOCKED_CIDRS_IN_JWKS_URIS/);
	});

	for (const host of ["127.0.0.1:15014", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433"]) {
		test(`in a cluster, ${host} is not fetched from`, async () => {
			await assert.rejects(createJwksTransport("cluster")(`http://${host}/`, 5000, signal), /loopback is not fetched from/);
		});
	}

	test("never by another protocol", async () => {
		await assert.rejects(createJwksTransport("machine")("file:///etc/passwd", 5000, signal), /not fetched/);
	});

	test("after a redirect within the origin", async (t) => {
		const port = await serve(t, (request, response) => {
			if (request.url === "/keys") response.end("keys");
			else response.writeHead(302, { location: "/keys" }).end();
		});
		assert.equal(await createJwksTransport("machine")(`http://127.0.0.1:${port}/`, 5000, signal), "keys");
	});

	test("never after a redirect to another origin", async (t) => {
		const port = await serve(t, (_, response) => response.writeHead(302, { location: "http://169.254.169.254/latest" }).end());
		await assert.rejects(createJwksTransport("machine")(`http://127.0.0.1:${port}/`, 5000, signal), /another origin/);
	});

	test("not for ever in a circle", async (t) => {
		const port = await serve(t, (_, response) => response.writeHead(302, { location: "/" }).end());
		await assert.rejects(createJwksTransport("machine")(`http://127.0.0.1:${port}/`, 5000, signal), /more than 3 times/);
	});

	test("only when the answer is good", async (t) => {
		const port = await serve(t, (_, response) => response.writeHead(500).end("no"));
		await assert.rejects(createJwksTransport("machine")(`http://127.0.0.1:${port}/`, 5000, signal), /status 500/);
	});

	test("up to a megabyte", async (t) => {
		const port = await serve(t, (_, response) => response.end("x".repeat((1 << 20) + 1)));
		await assert.rejects(createJwksTransport("machine")(`http://127.0.0.1:${port}/`, 5000, signal), /more than 1048576 bytes/);
	});

	test("within their time", async (t) => {
		const port = await serve(t, () => undefined);
		await assert.rejects(createJwksTransport("machine")(`http://127.0.0.1:${port}/`, 50, signal), /no answer within 50 ms/);
	});
});
