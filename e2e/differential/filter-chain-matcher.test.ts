import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { extension, loopback } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";
import { clientHello } from "./raw-hello.ts";

const chain = (name: string) => ({
	name,
	filters: [extension("say", "extensions.filters.network.direct_response.v3.Config", { response: { inline_string: name } })],
});
const input = (name: string) => ({
	name: "input",
	typed_config: { "@type": `type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.${name}Input` },
});
const to = (name: string) => ({ action: { name, typed_config: { "@type": "type.googleapis.com/google.protobuf.StringValue", value: name } } });
const map = (name: string, entries: object, more: object = {}) => ({ matcher_tree: { input: input(name), exact_match_map: { map: entries } }, ...more });

const matchers: Readonly<Record<string, object>> = {
	port: map("DestinationPort", { 443: to("one"), 80: to("absent") }),
	transport: map("TransportProtocol", { tls: to("one"), raw_buffer: to("two") }),
	application: map("ApplicationProtocol", { "'h2','http/1.1'": to("one"), "'http/1.1'": to("two") }, { on_no_match: to("three") }),
	name: map("ServerName", { "a.b.test": to("one") }, { on_no_match: { matcher: map("SourceType", { local: to("two") }, { on_no_match: to("three") }) } }),
	address: map("SourceIP", { "192.0.2.7": to("one") }),
};
const headers = ["PROXY TCP4 192.0.2.7 10.1.2.3 1234 443\r\n", "PROXY TCP4 192.0.2.8 10.1.9.9 1235 80\r\n", "PROXY TCP4 127.0.0.5 203.0.113.1 5 8080\r\n"];

test("a filter chain that a matcher chooses is the one that Envoy takes", { skip: skipReason }, async (t) => {
	const listeners = Object.entries(matchers).flatMap(([name, filter_chain_matcher]) =>
		[name, `${name}-default`].map((listener) => ({
			name: listener,
			address: loopback(0),
			listener_filters: ["proxy_protocol.v3.ProxyProtocol", "tls_inspector.v3.TlsInspector", "http_inspector.v3.HttpInspector"].map((type) =>
				extension(type, `extensions.filters.listener.${type}`),
			),
			filter_chains: ["one", "two", "three"].map(chain),
			filter_chain_matcher,
			...(listener === name ? {} : { default_filter_chain: chain("default") }),
		})),
	);
	const pair = await startPair(
		() => ({ admin: { address: loopback(0) }, static_resources: { listeners } }),
		listeners.map(({ name }) => name),
	);
	t.after(() => Promise.all(pair.map((proxy) => proxy.stop())));
	const words = {
		http: Buffer.from("GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
		other: Buffer.from("hello there\r\n"),
		named: await clientHello("a.b.test", ["h2", "http/1.1"]),
		nameless: await clientHello("", []),
	};
	const ask = (proxy: Proxy, name: string, bytes: Buffer) =>
		new Promise<string>((resolve) => {
			let answer = "";
			const socket = connect(proxy.port(name), "127.0.0.1", () => socket.write(bytes));
			socket.on("data", (more) => (answer += more.toString())).on("error", () => {});
			socket.on("close", () => resolve(answer));
		});
	const seen = new Set<string>();
	for (const { name } of listeners) {
		for (const [word, bytes] of Object.entries(words)) {
			for (const header of headers) {
				const whole = Buffer.concat([Buffer.from(header), bytes]);
				const [envoy, weft] = await Promise.all(pair.map((proxy) => ask(proxy, name, whole)));
				assert.equal(weft, envoy, `${name}: ${word} after ${header}`);
				seen.add(envoy as string);
			}
		}
	}
	assert.deepEqual([...seen].sort(), ["", "default", "one", "three", "two"]);
});
