import assert from "node:assert/strict";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { extension, fileLog, listener, loopback, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

const types = "type.googleapis.com/envoy.extensions";

/** What the listener keeps and what the cluster passes on; `undefined`: the field is not there. */
const cases: Readonly<Record<string, readonly [kept: object | undefined, passed: object | undefined, added?: readonly object[]]>> = {
	"nothing is passed on": [undefined, undefined],
	"everything is": [{ match_type: "INCLUDE_ALL" }, { match_type: "INCLUDE_ALL" }],
	"the listener keeps one type": [{ match_type: "INCLUDE", tlv_type: [2] }, { match_type: "INCLUDE_ALL" }],
	"the cluster passes one type": [{ match_type: "INCLUDE_ALL" }, { match_type: "INCLUDE", tlv_type: [0xe0] }],
	"the listener keeps them, the cluster passes none": [{ match_type: "INCLUDE_ALL" }, undefined],
	"the cluster has its own": [undefined, undefined, [{ type: 0xe1, value: "b3du" }]],
	"the cluster's own and the client's": [
		{ match_type: "INCLUDE_ALL" },
		{ match_type: "INCLUDE_ALL" },
		[
			{ type: 0xe1, value: "b3du" },
			{ type: 2, value: "b3du" },
		],
	],
};

const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const addresses = [1, 2, 3, 4, 5, 6, 7, 8, 0, 11, 0, 22];
const headerWith = (...tlvs: readonly number[]) =>
	Buffer.concat([signature, Buffer.from([0x21, 0x11, 0, addresses.length + tlvs.length, ...addresses, ...tlvs])]);
const twoTlvs = headerWith(2, 0, 2, 97, 98, 0xe0, 0, 1, 99);

/** Values of the PROXY protocol beside addresses, beside a real Envoy. */
describe("TLVs of the PROXY protocol, beside a real Envoy", { skip: skipReason }, () => {
	const names = Object.keys(cases);
	let upstream: Server;
	let pair: readonly [Proxy, Proxy];

	before(async () => {
		// Says what it was sent, in hexadecimal, once the client's `ping` is there.
		upstream = createServer((socket) => {
			let got = Buffer.alloc(0);
			socket.on("error", () => {});
			socket.on("data", (bytes: Buffer) => {
				got = Buffer.concat([got, bytes]);
				if (got.toString("latin1").endsWith("ping")) socket.end(got.toString("hex"));
			});
		});
		await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
		const { port } = upstream.address() as AddressInfo;
		pair = await startPair((accessLog) => bootstrap(accessLog, port), names.map(nameOf));
	});
	after(async () => {
		for (const proxy of pair ?? []) await proxy.stop();
		upstream.close();
	});

	const compare = async (name: string, header: Buffer) => {
		const observed: unknown[] = [];
		for (const proxy of pair) {
			const lines = proxy.log().length;
			const answer = await talk(proxy.port(nameOf(name)), Buffer.concat([header, Buffer.from("ping")]));
			// A header that cannot be read ends the connection before there is anything to log.
			for (const end = performance.now() + 20_000; answer !== "" && performance.now() < end && proxy.log().length === lines; await sleep(10));
			observed.push({ answer, log: proxy.log().slice(lines) });
		}
		assert.deepEqual(observed[1], observed[0]);
		return observed[0] as { readonly answer: string };
	};

	for (const name of names) test(name, async () => assert.notEqual((await compare(name, twoTlvs)).answer, ""));
	test("a value that is cut off", async () => assert.equal((await compare("everything is", headerWith(2, 0, 9, 97))).answer, ""));
	test("no values", async () => assert.notEqual((await compare("everything is", headerWith())).answer, ""));
});

const nameOf = (name: string): string => name.replace(/\W+/g, "-");

function bootstrap(accessLog: string, port: number): object {
	const log = fileLog(accessLog, { metadata: "%DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol:vpc)%", other: "%DYNAMIC_METADATA(own:two)%" });
	const rules = [
		{ tlv_type: 0xe0, on_tlv_present: { key: "vpc" } },
		{ tlv_type: 2, on_tlv_present: { metadata_namespace: "own", key: "two" } },
		{ tlv_type: 3, on_tlv_present: { key: "absent" } },
	];
	const raw = { name: "raw", typed_config: { "@type": `${types}.transport_sockets.raw_buffer.v3.RawBuffer` } };
	return {
		admin: { address: loopback(0) },
		static_resources: {
			clusters: Object.entries(cases).map(([name, [, passed, added]]) =>
				staticCluster(nameOf(name), port, {
					transport_socket: {
						name: "proxy",
						typed_config: {
							"@type": `${types}.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport`,
							config: { version: "V2", ...(passed && { pass_through_tlvs: passed }), ...(added && { added_tlvs: added }) },
							transport_socket: raw,
						},
					},
				}),
			),
			listeners: Object.entries(cases).map(([name, [kept]]) =>
				listener(
					nameOf(name),
					[extension("tcp", "extensions.filters.network.tcp_proxy.v3.TcpProxy", { stat_prefix: "tcp", cluster: nameOf(name), access_log: [log] })],
					{
						listener_filters: [
							extension("proxy", "extensions.filters.listener.proxy_protocol.v3.ProxyProtocol", { rules, ...(kept && { pass_through_tlvs: kept }) }),
						],
					},
				),
			),
		},
	};
}

function talk(port: number, bytes: Buffer): Promise<string> {
	return new Promise((resolve) => {
		let text = "";
		const socket = connect({ port, host: "127.0.0.1" }, () => socket.write(bytes));
		socket.setTimeout(10_000, () => socket.destroy());
		socket.on("data", (data) => (text += data.toString()));
		socket.on("error", () => {});
		socket.on("close", () => resolve(text));
	});
}
