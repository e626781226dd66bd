import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startProxy } from "./proxy-process.ts";
import { assertClean, assertServes, exchange, type Fixture, get, isResponse, post, startFixture, statusOf } from "./fixture.ts";
import { RawClient } from "./raw-client.ts";
import { headerOf } from "./request-reader.ts";

// Headers by which a client could pass itself off as somebody else, or steer the proxy. The client is loopback and
// outside: nobody is internal unless a configuration says so.
const internalOnly: Readonly<Record<string, string>> = {
	"x-envoy-expected-rq-timeout-ms": "1",
	"x-envoy-force-trace": "true",
	"x-envoy-internal": "true",
	"x-envoy-ip-tags": "admin",
	"x-envoy-max-retries": "1000",
	"x-envoy-retry-grpc-on": "unavailable",
	"x-envoy-retry-on": "5xx",
	"x-envoy-upstream-alt-stat-name": "forged",
	"x-envoy-upstream-rq-per-try-timeout-ms": "1",
	"x-envoy-upstream-rq-timeout-alt-response": "1",
	"x-envoy-upstream-rq-timeout-ms": "1",
	"x-envoy-retriable-status-codes": "200",
	"x-envoy-retriable-header-names": "x-a",
	"x-envoy-hedge-on-per-try-timeout": "true",
	"x-envoy-original-url": "/forged",
};
const edgeOnly: Readonly<Record<string, string>> = {
	"x-envoy-decorator-operation": "forged",
	"x-envoy-downstream-service-cluster": "forged",
	"x-envoy-downstream-service-node": "forged",
	"x-envoy-original-path": "/forged",
	"x-forwarded-client-cert": "URI=spiffe://cluster.local/ns/istio-system/sa/admin",
	"x-forwarded-proto": "https",
	"x-request-id": "forged",
	"x-envoy-external-address": "10.0.0.1",
};
const edge = { use_remote_address: true, forward_client_cert_details: "SANITIZE", normalize_path: true };

describe("sec/trust: nobody becomes somebody else by saying so", () => {
	let fixture: Fixture;
	before(async () => {
		const hops = Object.fromEntries([0, 1, 2, 3].map((count) => [`hops${count}`, { ...edge, xff_num_trusted_hops: count }]));
		fixture = await startFixture({
			listeners: { edge, inner: {}, ...hops },
			route: { timeout: "3s" },
			addedHeaders: { "x-client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%" },
		});
	});
	after(() => fixture?.stop());
	afterEach(() => {
		fixture.upstream.responders.clear();
		assertClean(fixture);
	});

	const seenOf = async (listener: string, ...headers: readonly string[]) => {
		const response = await exchange(fixture.proxy.port(listener), get("/trust", ...headers));
		assert.equal(statusOf(response), 200);
		const request = fixture.upstream.seen.at(-1);
		assert.ok(request);
		return (name: string) => headerOf(request, name);
	};

	for (const [name, value] of Object.entries(internalOnly)) {
		for (const listener of ["edge", "inner"]) {
			test(`sec/c23: ${name} from outside is taken away (${listener})`, async () => {
				// A caller that claims a private address and a chain of proxies is no more internal.
				const seen = await seenOf(listener, `${name}: ${value}`, "x-forwarded-for: 10.0.0.1");
				assert.notEqual(seen(name), value);
			});
		}
	}
	for (const [name, value] of Object.entries(edgeOnly)) {
		test(`sec/c23: ${name} is not believed where requests enter the mesh`, async () => {
			const seen = await seenOf("edge", `${name}: ${value}`, "x-forwarded-for: 10.0.0.1");
			assert.notEqual(seen(name), value);
		});
	}

	test("sec/c23: a client cannot set its own timeout or have itself retried", async () => {
		let asked = 0;
		fixture.upstream.responders.set("/slow", (_, socket) => {
			asked++;
			setTimeout(() => socket.write("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"), 200);
			return undefined;
		});
		for (const headers of [["x-envoy-upstream-rq-timeout-ms: 20"], ["x-envoy-retry-on: 5xx", "x-envoy-max-retries: 9"]]) {
			asked = 0;
			assert.equal(statusOf(await exchange(fixture.proxy.port("edge"), get("/slow", ...headers))), 503);
			assert.equal(asked, 1);
		}
	});

	test("sec/c23: doubled, in odd case and with underscores, they are no more believed", async () => {
		const seen = await seenOf("edge", "X-Envoy-Retry-On: 5xx", "x-envoy-retry-on: 5xx", "X-ENVOY-MAX-RETRIES: 5", "x-envoy-max-retries:\t7");
		assert.deepEqual([seen("x-envoy-retry-on"), seen("x-envoy-max-retries")], [undefined, undefined]);
	});

	describe("sec/c24: the client's address", () => {
		const chains = [
			[],
			["1.1.1.1"],
			["1.1.1.1", "2.2.2.2"],
			["1.1.1.1", "2.2.2.2", "3.3.3.3"],
			["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"],
			["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4", "5.5.5.5"],
		];
		for (const hops of [0, 1, 2, 3]) {
			for (const chain of chains) {
				test(`${hops} trusted hops, ${chain.length} forwarded`, async () => {
					const seen = await seenOf(`hops${hops}`, ...(chain.length > 0 ? [`x-forwarded-for: ${chain.join(", ")}`] : []));
					// The entry that the outermost trusted proxy wrote; the peer itself when there are not so many.
					const expected = hops === 0 ? "127.0.0.1" : (chain.at(-hops) ?? "127.0.0.1");
					assert.equal(seen("x-client"), expected);
					assert.equal(seen("x-forwarded-for")?.split(",").length, chain.length + 1, "the peer is appended");
				});
			}
		}

		test("one request's address is not the next one's on the same connection", async () => {
			for (const listener of ["hops1", "inner"]) {
				const client = await RawClient.connect(fixture.proxy.port(listener));
				client.send(get("/first", "x-forwarded-for: 9.9.9.9"));
				await client.response();
				client.send(get("/second"));
				await client.response();
				client.close();
				const second = fixture.upstream.seen.at(-1);
				assert.equal(second && headerOf(second, "x-client"), "127.0.0.1", listener);
			}
		});

		test("what is no address is not taken for one", async () => {
			for (const forged of ["evil", "1.2.3.4.5", "'; drop", "127.0.0.1:80", "1.2.3.999", ":", "::g", "....", "1,"]) {
				const seen = await seenOf("hops1", `x-forwarded-for: ${forged}`);
				assert.equal(seen("x-client"), "127.0.0.1", forged);
			}
		});
	});

	describe("sec/c25: client certificates by header", () => {
		for (const listener of ["edge", "inner"]) {
			for (const header of ["x-forwarded-client-cert", "X-Forwarded-Client-Cert"]) {
				test(`${header} over plain text is taken away (${listener})`, async () => {
					const seen = await seenOf(listener, `${header}: URI=spiffe://a`, `${header}: URI=spiffe://b`);
					assert.equal(seen("x-forwarded-client-cert"), undefined);
				});
			}
		}
	});

	test("sec/c26: hostile bytes leave the access log one JSON object a line", async () => {
		const port = fixture.proxy.port("edge");
		const agents = [
			'"}\\u000a{"status":200',
			"</script><script>alert(1)</script>",
			"\x80\xff\xfe\xc0\xaf",
			"\\",
			'\\"',
			"\t tab",
			"%s%n%00",
			"${jndi:ldap://x}",
			"__proto__",
		];
		for (const [i, agent] of agents.entries()) {
			const response = await exchange(port, get(`/log/${i}?"<>\\`, `user-agent: ${agent}`));
			assert.equal(statusOf(response), 200);
		}
		// Refused ones are logged too, as far as they were understood.
		for (const bytes of [
			"GET /\x01 HTTP/1.1\r\n\r\n",
			"\x00\x01\r\n\r\n",
			'GET /log HTTP/1.1\r\nhost: "}{\r\n\r\n',
			"GET /log/x HTTP/1.1\r\nhost: a\r\nuser-agent: a\rb\r\n\r\n",
		])
			await exchange(port, bytes);
		let lines = fixture.proxy.accessLog();
		for (let i = 0; i < 60 && lines.filter(({ path }) => String(path).startsWith("/log/")).length < agents.length; i++) {
			await sleep(200);
			lines = fixture.proxy.accessLog();
		}
		const logged = lines.filter(({ path }) => /^\/log\/\d/.test(String(path)));
		assert.deepEqual(
			logged.map(({ path }) => path),
			agents.map((_, i) => `/log/${i}?"<>\\`),
		);
		assert.equal(logged[0]?.["agent"], agents[0]);
	});

	test("sec/c26: admin pages are not to be sniffed, and state changes need POST", async () => {
		const { proxy } = fixture;
		await exchange(proxy.port("edge"), get("/<script>"));
		for (const path of ["/stats", "/clusters", "/listeners", "/config_dump", "/server_info", "/stats/prometheus", "/<script>alert(1)</script>"]) {
			const response = await proxy.admin(path);
			const body = await response.text();
			assert.equal(response.headers.get("x-content-type-options"), "nosniff", path);
			assert.equal(/<script>/.test(body) && (response.headers.get("content-type") ?? "").includes("html"), false, path);
		}
		for (const path of ["/quitquitquit", "/healthcheck/fail", "/drain_listeners", "/reset_counters"]) assert.equal((await proxy.admin(path)).status, 405, path);
		await assertServes(proxy.port("edge"));
	});

	test("sec/c26: a request to the admin port that a browser was tricked into is refused", async () => {
		for (const bytes of [
			"GET /stats HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
			"POST /quitquitquit HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
			"\x00\r\n\r\n",
		]) {
			const response = await exchange(fixture.proxy.adminPort, bytes);
			assert.ok(!isResponse(response) || response.status >= 400 || bytes.startsWith("GET"), bytes);
		}
		assert.equal((await fixture.proxy.admin("/ready")).status, 200);
	});

	test("sec/f56: whoever can make the proxy, an application or a browser ask cannot stop it through the admin port", async () => {
		const behind = await startProxy({ upstreamPort: fixture.proxy.adminPort, listeners: { front: {} } });
		try {
			for (const path of ["/quitquitquit", "/healthcheck/fail", "/drain_listeners", "/logging?level=debug", "/reset_counters"]) {
				const answer = await exchange(behind.port("front"), post(path, "", "x: y"));
				assert.equal(statusOf(answer), 403, `${path} through a proxy`);
			}
			const direct = (...headers: readonly string[]) => exchange(fixture.proxy.adminPort, post("/drain_listeners", "", ...headers));
			for (const header of [
				"origin: https://evil.test",
				"sec-fetch-site: cross-site",
				"via: 1.1 x",
				"x-forwarded-for: 203.0.113.1",
				"forwarded: for=203.0.113.1",
			]) {
				assert.equal(statusOf(await direct(header)), 403, header);
			}
			// Under a name that somebody else resolves to loopback.
			assert.equal(
				statusOf(await exchange(fixture.proxy.adminPort, "POST /drain_listeners HTTP/1.1\r\nhost: evil.test:15000\r\ncontent-length: 0\r\n\r\n")),
				403,
			);
		} finally {
			await behind.stop();
		}
		await assertServes(fixture.proxy.port("edge"));
		assert.equal((await fixture.proxy.admin("/ready")).status, 200);
		// Who stands there himself is obeyed.
		assert.equal((await fetch(`http://127.0.0.1:${fixture.proxy.adminPort}/reset_counters`, { method: "POST" })).status, 200);
	});
});
