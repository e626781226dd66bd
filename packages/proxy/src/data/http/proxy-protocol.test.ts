import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import type { Listener } from "../../config/listeners.ts";
import { buildProxyHeader } from "../upstream/proxy-protocol-header.ts";
import {
	chainOf,
	clusterOf,
	forwardTo,
	hostsOf,
	listenerOf,
	managerOf,
	routeOf,
	type Standalone,
	startStandalone,
	tableOf,
	updateOf,
} from "../worker/standalone.ts";
import { exchange, ok, type RecordingUpstream, startUpstream } from "./test-peers.ts";

describe("PROXY protocol through the proxy", () => {
	let proxy: Standalone;
	let upstream: RecordingUpstream;
	let names = 0;

	before(async () => {
		proxy = await startStandalone();
	});
	after(() => proxy.close());
	afterEach(() => upstream.close());

	async function serve(listener: Partial<Listener>, version: "v1" | "v2" | undefined): Promise<number> {
		upstream = await startUpstream((socket, text) => {
			const requests = text.match(/GET /g)?.length ?? 0;
			if (text.endsWith("\r\n\r\n") && requests > 0) socket.write(ok(text), "latin1");
		});
		const name = `p${++names}`;
		const chain = chainOf([managerOf(tableOf([routeOf("/", forwardTo(name))]))]);
		const transport = version === undefined ? ({ kind: "raw" } as const) : ({ kind: "raw", proxyProtocol: version } as const);
		await proxy.apply(
			updateOf({
				listeners: [listenerOf(name, [chain], listener)],
				clusters: [clusterOf(name, { transport })],
				hosts: [{ ...hostsOf(name, [upstream.port]) }],
			}),
		);
		return proxy.port(name);
	}

	const request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
	const both = ["v1", "v2"] as const;

	it("a client that the header names is named to the upstream", async () => {
		const port = await serve({ proxyProtocol: { allowWithout: false, versions: both } }, "v1");
		assert.match(await exchange(port, `PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\n${request}`), /\r\n\r\nPROXY TCP4 1\.2\.3\.4 5\.6\.7\.8 11 22\r\nGET \//);
	});

	it("each client has upstream connections of its own", async () => {
		const port = await serve({ proxyProtocol: { allowWithout: false, versions: both } }, "v1");
		for (const source of ["1.1.1.1", "2.2.2.2", "1.1.1.1"]) {
			const header = `PROXY TCP4 ${source} 5.6.7.8 11 22\r\n`;
			await exchange(port, header + request);
		}
		const seen = upstream.received.join("");
		assert.deepEqual(seen.match(/PROXY TCP4 \S+/g), ["PROXY TCP4 1.1.1.1", "PROXY TCP4 2.2.2.2"], "the third found the first one's connection");
	});

	const cases: Readonly<Record<string, readonly [Listener["proxyProtocol"], string, boolean]>> = {
		"a header is needed": [{ allowWithout: false, versions: both }, request, false],
		"a header may be missing": [{ allowWithout: true, versions: both }, request, true],
		"a broken one is refused all the same": [{ allowWithout: true, versions: both }, `PROXY TCP4 nonsense\r\n${request}`, false],
		"a version that is not allowed is refused": [{ allowWithout: false, versions: ["v2"] }, `PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\n${request}`, false],
	};
	for (const [name, [proxyProtocol, sent, isServed]] of Object.entries(cases)) {
		it(name, async () => {
			const port = await serve({ proxyProtocol }, undefined);
			assert.equal((await exchange(port, sent)).startsWith("HTTP/1.1 200"), isServed);
		});
	}
});

describe("the header that is sent upstream", () => {
	const v2 = "0d0a0d0a000d0a515549540a";
	const cases: Readonly<Record<string, readonly [Parameters<typeof buildProxyHeader>, string]>> = {
		"version 1, IPv4": [["v1", { source: "1.2.3.4:11", destination: "5.6.7.8:22" }], hex("PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\n")],
		"version 1, IPv6": [["v1", { source: "[fd00::1]:11", destination: "[fd00::2]:22" }], hex("PROXY TCP6 fd00::1 fd00::2 11 22\r\n")],
		"version 1, for itself": [["v1", undefined], hex("PROXY UNKNOWN\r\n")],
		"version 2, IPv4": [["v2", { source: "1.2.3.4:11", destination: "5.6.7.8:22" }], `${v2}2111000c0102030405060708000b0016`],
		"version 2, with values": [
			[
				"v2",
				{ source: "1.2.3.4:11", destination: "5.6.7.8:22" },
				[
					{ type: 2, value: Buffer.from("ab") },
					{ type: 0xe0, value: Buffer.alloc(0) },
				],
			],
			`${v2}211100140102030405060708000b00160200026162e00000`,
		],
		"version 2, both families": [
			["v2", { source: "1.2.3.4:11", destination: "[::1]:22" }],
			`${v2}2121002400000000000000000000ffff0102030400000000000000000000000000000001000b0016`,
		],
		"version 2, for itself": [["v2", undefined], `${v2}20000000`],
		"a pipe has no address": [["v2", { source: "/run/x.sock", destination: "" }], `${v2}20000000`],
	};
	for (const [name, [args, expected]] of Object.entries(cases)) it(name, () => assert.equal(buildProxyHeader(...args).toString("hex"), expected));

	function hex(text: string): string {
		return Buffer.from(text).toString("hex");
	}
});
