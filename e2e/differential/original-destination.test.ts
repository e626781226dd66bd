import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { extension, httpFilter, httpListener, listener, loopback, router } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

/** What may stand for an original destination, beside a real Envoy: the PROXY protocol says where clients wanted to go. */
describe("ORIGINAL_DST clusters, beside a real Envoy", { skip: skipReason }, () => {
	const servers: Server[] = [];
	const ports: number[] = [];
	let pair: readonly [Proxy, Proxy];

	/** Version 2, with the values that `rules` make metadata of. */
	const proxyHeader = (port: number, tlv: string) => {
		const value = Buffer.from(tlv);
		const head = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0, 0]);
		const body = Buffer.from([127, 0, 0, 1, 127, 0, 0, 1, 0x30, 0x39, port >> 8, port & 255]);
		const tlvs = tlv === "" ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0xe0, value.length >> 8, value.length & 255]), value]);
		head.writeUInt16BE(body.length + tlvs.length, 14);
		return Buffer.concat([head, body, tlvs]);
	};
	/** All of the answer until the connection is closed. */
	const ask = (proxy: Proxy, name: string, text: string, tlv: string) =>
		new Promise<string>((resolve) => {
			const socket = connect(proxy.port(name), "127.0.0.1", () => socket.write(Buffer.concat([proxyHeader(ports[0] as number, tlv), Buffer.from(text)])));
			let answer = "";
			socket.on("data", (bytes) => (answer += bytes.toString()));
			socket.on("error", () => {});
			socket.on("close", () => resolve(answer));
		});
	/** Which server answered, or the status. */
	const who = (answer: string) => /server-\d/.exec(answer)?.[0] ?? answer.slice(0, 12);
	const agree = async (name: string, headers: readonly string[], tlv = "") => {
		const text = `${["GET / HTTP/1.1", "host: a", "connection: close", ...headers].join("\r\n")}\r\n\r\n`;
		const [envoy, weft] = await Promise.all(pair.map(async (proxy) => who(await ask(proxy, name, text, tlv))));
		assert.equal(weft, envoy, `${name} ${headers.join(" ")} ${tlv}`);
		return weft;
	};

	before(async () => {
		for (let i = 0; i < 3; i++) {
			const server = createServer((_, response) => response.end(`server-${i}`));
			await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
			servers.push(server);
			ports.push((server.address() as AddressInfo).port);
		}
		const rules = [{ tlv_type: 0xe0, on_tlv_present: { metadata_namespace: "where", key: "to" } }];
		const proxied = { listener_filters: [extension("proxy", "extensions.filters.listener.proxy_protocol.v3.ProxyProtocol", { rules })] };
		const said = (format: string) => [
			{ object_key: "envoy.network.transport_socket.original_dst_address", format_string: { text_format_source: { inline_string: format } } },
		];
		const fromHeader = httpFilter("state", "set_filter_state.v3.Config", { on_request_headers: said("%REQ(x-state)%") });
		const fromConnection = extension("state", "extensions.filters.network.set_filter_state.v3.Config", { on_new_connection: said(`127.0.0.1:${ports[1]}`) });
		const clusters = {
			plain: {},
			standard: { use_http_header: true },
			named: { use_http_header: true, http_header_name: "X-To" },
			metadata: { use_http_header: true, metadata_key: { key: "where", path: [{ key: "to" }] } },
			port: { use_http_header: true, upstream_port_override: ports[2] as number },
		};
		const names = Object.keys(clusters);
		const http = (name: string) => {
			const routes = [{ match: { prefix: "/" }, route: { cluster: name } }];
			return httpListener(name, { route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] }, http_filters: [fromHeader, router] }, proxied);
		};
		const tcp = (name: string, before: readonly object[] = [], listenerName = `tcp-${name}`) => {
			const filter = extension("tcp", "extensions.filters.network.tcp_proxy.v3.TcpProxy", { stat_prefix: name, cluster: name });
			return listener(listenerName, [...before, filter], proxied);
		};
		const build = () => ({
			node: { id: "sidecar~1", cluster: "test" },
			admin: { address: loopback(0) },
			static_resources: {
				listeners: [
					...names.map(http),
					...names.map((name) => tcp(name)),
					tcp("metadata", [fromConnection], "tcp-state"),
					tcp("plain", [fromConnection], "tcp-plain-state"),
				],
				clusters: Object.entries(clusters).map(([name, original_dst_lb_config]) => ({
					name,
					type: "ORIGINAL_DST",
					lb_policy: "CLUSTER_PROVIDED",
					connect_timeout: "1s",
					original_dst_lb_config,
				})),
			},
		});
		pair = await startPair(build, [...names, ...names.map((name) => `tcp-${name}`), "tcp-state", "tcp-plain-state"]);
	});
	after(async () => {
		for (const proxy of pair ?? []) await proxy.stop();
		for (const server of servers) server.close().closeAllConnections();
	});

	test("a header, of the usual name or another", async () => {
		const to = (i: number) => `127.0.0.1:${ports[i]}`;
		assert.equal(await agree("plain", [`x-envoy-original-dst-host: ${to(1)}`]), "server-0");
		assert.equal(await agree("standard", [`x-envoy-original-dst-host: ${to(1)}`]), "server-1");
		assert.equal(await agree("standard", [`x-to: ${to(1)}`]), "server-0");
		assert.equal(await agree("named", [`x-to: ${to(1)}`]), "server-1");
		assert.equal(await agree("named", [`x-envoy-original-dst-host: ${to(1)}`]), "server-0");
		// The first one counts; what is no address is passed over.
		assert.equal(await agree("named", [`x-to: ${to(1)}`, `x-to: ${to(2)}`]), "server-1");
		for (const text of ["nowhere", "example.org:80", "999.0.0.1:80", `${to(1)},${to(2)}`, "127.0.0.1", "127.0.0.1:99999"])
			assert.equal(await agree("named", [`x-to: ${text}`]), "server-0");
	});

	test("metadata, which goes before the header, and another port", async () => {
		const to = (i: number) => `127.0.0.1:${ports[i]}`;
		assert.equal(await agree("metadata", [`x-envoy-original-dst-host: ${to(2)}`], to(1)), "server-1");
		assert.equal(await agree("metadata", [`x-envoy-original-dst-host: ${to(2)}`]), "server-2");
		assert.equal(await agree("metadata", [`x-envoy-original-dst-host: ${to(2)}`], "nowhere"), "server-2");
		assert.equal(await agree("metadata", [], "nowhere"), "server-0");
		assert.equal(await agree("port", []), "server-2");
		assert.equal(await agree("port", [`x-envoy-original-dst-host: ${to(1)}`]), "server-2");
	});

	test("the filter state, which goes before metadata", async () => {
		const to = (i: number) => `127.0.0.1:${ports[i]}`;
		assert.equal(await agree("plain", [`x-state: ${to(1)}`]), "server-1");
		assert.equal(await agree("metadata", [`x-state: ${to(2)}`, `x-envoy-original-dst-host: ${to(1)}`], to(1)), "server-2");
		assert.equal(await agree("metadata", ["x-state: nowhere"], to(1)), "server-1");
		assert.equal(await agree("port", [`x-state: ${to(1)}`]), "server-2");
		assert.equal(await agree("tcp-state", [], to(2)), "server-1");
		assert.equal(await agree("tcp-plain-state", []), "server-1");
	});

	test("connections that are no HTTP", async () => {
		assert.equal(await agree("tcp-plain", []), "server-0");
		assert.equal(await agree("tcp-standard", [`x-envoy-original-dst-host: 127.0.0.1:${ports[1]}`]), "server-0");
		assert.equal(await agree("tcp-metadata", [], `127.0.0.1:${ports[1]}`), "server-1");
		assert.equal(await agree("tcp-metadata", [], "nowhere"), "server-0");
		assert.equal(await agree("tcp-port", []), "server-2");
	});

	test("what was no address is counted", async () => {
		const counts = await Promise.all(pair.map((proxy) => proxy.counters(/^cluster\.\w+\.original_dst_host_invalid$/)));
		const sorted = counts.map((one) => [...one].toSorted());
		assert.deepEqual(sorted[1], sorted[0]);
		assert.ok(sorted[0]?.some(([, value]) => value > 0));
	});
});
