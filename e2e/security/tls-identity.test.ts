import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { after, afterEach, before, describe, test } from "node:test";
import { createServer, type Server } from "node:tls";
import { loopback, tlsSocket, typePrefix } from "./bootstrap.ts";
import { assertClean, assertServes, exchange, type Fixture, get, startFixture, statusOf } from "./fixture.ts";
import { createAuthority, requireClientCertificate } from "./identities.ts";
import { RawClient } from "./raw-client.ts";

const authority = createAuthority("mesh.test");
const idOf = (name: string) => `spiffe://mesh.test/ns/a/sa/${name}`;
const own = authority.issue(idOf("proxy"));
const client = authority.issue(idOf("client"));
const peer = authority.issue(idOf("peer"));

/** A cluster at this port that must show one name. */
function clusterOf(name: string, port: number, san: string): object {
	const context = {
		"@type": `${typePrefix}.transport_sockets.tls.v3.UpstreamTlsContext`,
		sni: "peer.test",
		common_tls_context: {
			tls_certificates: [{ certificate_chain: { inline_string: own.certChainPem }, private_key: { inline_string: own.privateKeyPem } }],
			validation_context: {
				trusted_ca: { inline_string: authority.caPem },
				match_typed_subject_alt_names: [{ san_type: "URI", matcher: { exact: san } }],
			},
		},
	};
	return {
		name,
		type: "STATIC",
		connect_timeout: "2s",
		transport_socket: { name: "envoy.transport_sockets.tls", typed_config: context },
		load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(port) } }] }] },
	};
}

/** A connection manager that answers by itself. */
const answering = (stat: string) => ({
	name: "envoy.filters.network.http_connection_manager",
	typed_config: {
		"@type": `${typePrefix}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
		stat_prefix: stat,
		route_config: {
			name: stat,
			virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, direct_response: { status: 200, body: { inline_string: stat } } }] }],
		},
		http_filters: [{ name: "envoy.filters.http.router", typed_config: { "@type": `${typePrefix}.filters.http.router.v3.Router` } }],
	},
});

describe("sec/tls-identity: who is at the other end", () => {
	let server: Server;
	let fixture: Fixture;
	let handshakes = 0;
	let resumed = 0;

	before(async () => {
		server = createServer({ key: peer.privateKeyPem, cert: peer.certChainPem, ca: authority.caPem, requestCert: true }, (socket) => {
			handshakes++;
			if (socket.isSessionReused()) resumed++;
			socket.on("error", () => undefined);
			// One request a connection: the next one shakes hands again, with the ticket of this.
			socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
		});
		server.on("tlsClientError", () => undefined);
		server.listen(0, "127.0.0.1");
		await once(server, "listening");
		const { port } = server.address() as AddressInfo;
		const names = ["peer", "other"];
		const { common_tls_context: common, ...demands } = requireClientCertificate(own, authority.caPem) as { readonly common_tls_context: object };
		fixture = await startFixture({
			listeners: { front: {} },
			moreClusters: names.map((name) => clusterOf(name, port, idOf(name))),
			moreRoutes: names.map((name) => ({ match: { prefix: `/as/${name}` }, route: { cluster: name } })),
			moreListeners: [
				{
					name: "sni",
					address: loopback(0),
					listener_filters: [
						{
							name: "envoy.filters.listener.tls_inspector",
							typed_config: { "@type": `${typePrefix}.filters.listener.tls_inspector.v3.TlsInspector` },
						},
					],
					filter_chains: [
						{
							filter_chain_match: { server_names: ["admin.example"] },
							filters: [answering("admin")],
							transport_socket: tlsSocket({ ...demands, common_tls_context: common }),
						},
						{
							filter_chain_match: { server_names: ["*.example"] },
							filters: [answering("public")],
							transport_socket: tlsSocket({ common_tls_context: common }),
						},
					],
				} as { readonly name: string },
			],
		});
	});
	after(async () => {
		await fixture?.stop();
		server.close();
	});
	afterEach(() => assertClean(fixture));

	test("sec/d28: a ticket of a server under one name opens nothing to it under another", async () => {
		const ask = async (name: string) => statusOf(await exchange(fixture.proxy.port("front"), get(`/as/${name}`)));
		for (let round = 0; round < 250; round++) {
			// Both at once, and one after the other: a kept session must not be lent.
			const [first, wrong] = await Promise.all([ask("peer"), ask("other")]);
			assert.deepEqual([first, wrong, await ask("other"), await ask("peer")], [200, 503, 503, 200], `round ${round}`);
		}
		assert.ok(handshakes >= 500, `${handshakes} handshakes`);
		assert.ok(resumed > 100, `sessions were resumed: ${resumed} of ${handshakes}`);
	});

	const served = async (servername: string, identity?: typeof client) => {
		const credentials = identity && { cert: identity.certChainPem, key: identity.privateKeyPem };
		try {
			const connection = await RawClient.connectTls(fixture.proxy.port("sni"), { servername, ...credentials });
			connection.send(get("/"));
			const answer = await connection.response();
			connection.close();
			return typeof answer === "object" ? answer.body : answer;
		} catch {
			return "closed";
		}
	};

	test("sec/d29: the case of a server's name chooses no other context", async () => {
		assert.equal(await served("www.example"), "public");
		for (const name of ["admin.example", "ADMIN.example", "Admin.Example", "aDMIN.EXAMPLE"]) {
			assert.equal(await served(name), "closed", `${name} without a certificate`);
			assert.equal(await served(name, client), "admin", `${name} with one`);
		}
	});

	test("sec/d29: names that are none end a handshake and nothing else", async () => {
		const names = [
			"",
			"127.0.0.1",
			"[::1]",
			"a".repeat(300),
			`${"a".repeat(63)}.`.repeat(80),
			"admin.example\0.public.example",
			"\u00ff\u00fe",
			"admin.example:443",
			"*.example",
			"..example",
		];
		for (const name of names) {
			const socket = connect({ port: fixture.proxy.port("sni"), host: "127.0.0.1" });
			socket.on("error", () => undefined);
			const closed = new Promise((resolve) => socket.on("close", resolve));
			socket.on("data", () => undefined);
			socket.end(clientHello(name));
			await closed;
			await assertServes(fixture.proxy.port("front"));
		}
		assert.equal(await served("admin.example"), "closed");
	});
});

/** A TLS 1.2 ClientHello with nothing in it but this name, which no library would send. */
function clientHello(name: string): Buffer {
	const u16 = (value: number) => Buffer.from([value >> 8, value & 0xff]);
	const sized = (bytes: Buffer) => Buffer.concat([u16(bytes.length), bytes]);
	const host = Buffer.from(name, "latin1");
	const serverName = sized(sized(Buffer.concat([Buffer.of(0), sized(host)])));
	const extensions = sized(Buffer.concat([u16(0), serverName]));
	const suites = sized(Buffer.from([0xc0, 0x2b, 0xc0, 0x2f]));
	const body = Buffer.concat([u16(0x0303), Buffer.alloc(32, 7), Buffer.of(0), suites, Buffer.of(1, 0), extensions]);
	const handshake = Buffer.concat([Buffer.of(1, 0), u16(body.length), body]);
	return Buffer.concat([Buffer.of(22), u16(0x0301), sized(handshake)]);
}
