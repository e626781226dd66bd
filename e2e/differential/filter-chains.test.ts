import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { loopback } from "./config.ts";
import { chainCases, type ChainCase, chainListener, generateChains, quietCases } from "./filter-chain-cases.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";
import { clientHello } from "./raw-hello.ts";

const generated = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`generated ${i}`, generateChains(i + 1, 14)]));
const cases: Readonly<Record<string, ChainCase>> = { ...chainCases, ...generated };
const listenerOf = (name: string) => name.replaceAll(" ", "-");

/** Where a connection is said to be from and to go to; "" says nothing. */
const origins = [
	"",
	"PROXY TCP4 192.0.2.7 10.1.2.3 1234 443\r\n",
	"PROXY TCP4 192.0.2.8 10.1.9.9 1235 80\r\n",
	"PROXY TCP4 198.51.100.1 10.2.0.1 999 80\r\n",
	"PROXY TCP4 10.2.0.1 10.2.0.1 1234 443\r\n",
	"PROXY TCP4 127.0.0.5 203.0.113.1 5 8080\r\n",
	"PROXY TCP6 2001:db8::1 2001:db8::2 1234 443\r\n",
];

/** What a client says first. */
const firstWords: Readonly<Record<string, Buffer>> = {
	"HTTP/1.1": Buffer.from("GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
	"HTTP/1.0": Buffer.from("POST /x HTTP/1.0\r\n\r\n"),
	"HTTP/2": Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	"something else": Buffer.from("hello there\r\n"),
	"a.b.test": await clientHello("a.b.test", []),
	"A.B.test over h2": await clientHello("A.B.test", ["h2", "http/1.1"]),
	"x.a.b.test over http/1.1": await clientHello("x.a.b.test", ["http/1.1", "h2"]),
	"c.test over istio": await clientHello("c.test", ["istio-peer-exchange", "istio"]),
	"upper.test over istio-h2": await clientHello("UPPER.test", ["istio-h2", "istio"]),
	localhost: await clientHello("localhost", ["other"]),
	"no name over h2": await clientHello("", ["h2"]),
	"neither name nor protocols": await clientHello("", []),
};

/** What a client says that is not enough. */
const halfWords: Readonly<Record<string, Buffer>> = {
	nothing: Buffer.alloc(0),
	"half a method": Buffer.from("PRO"),
	"half a PROXY line": Buffer.from("PROXY TCP4 1.2.3.4"),
	"a PROXY line alone": Buffer.from("PROXY TCP4 192.0.2.7 10.1.2.3 1234 443\r\n"),
	"a request line without its end": Buffer.from("GET / HTTP/1.1"),
	"half a preface": Buffer.from("PRI * HTTP/2.0\r\n"),
	"half a hello": (firstWords["a.b.test"] as Buffer).subarray(0, 60),
	"a hello's first byte": (firstWords["a.b.test"] as Buffer).subarray(0, 1),
	"half a signature": Buffer.from("\r\n\r\n\0\r\nQ"),
};

describe("filter chain matching, beside a real Envoy", { skip: skipReason }, () => {
	let pair: readonly [Proxy, Proxy];
	before(async () => {
		pair = await startPair(
			(accessLog) => ({
				admin: { address: loopback(0) },
				static_resources: {
					listeners: Object.entries({ ...cases, ...quietCases }).map(([name, chains]) => chainListener(listenerOf(name), chains, accessLog)),
				},
			}),
			[...Object.keys(cases), ...Object.keys(quietCases)].map(listenerOf),
		);
	});
	after(async () => {
		for (const proxy of pair ?? []) await proxy.stop();
	});

	for (const name of Object.keys(cases)) {
		test(name, async () => {
			const [envoy, weft] = await Promise.all(pair.map((proxy) => talkToAll(proxy, listenerOf(name))));
			assert.deepEqual(weft?.heard, envoy?.heard);
			assert.deepEqual(weft?.logged, envoy?.logged);
			assert.equal(envoy?.logged.length, origins.length * Object.keys(firstWords).length);
		});
	}

	const testQuiet = (name: string, isEnded: boolean) => {
		test(`${name}${isEnded ? ", and the client ends" : ""}`, async () => {
			const [envoy, weft] = await Promise.all(
				pair.map((proxy) =>
					Promise.all(Object.entries(halfWords).map(async ([what, bytes]) => `${what}: ${await talk(proxy, listenerOf(name), "", bytes, isEnded)}`)),
				),
			);
			assert.deepEqual(weft, envoy);
		});
	};
	for (const name of Object.keys(quietCases)) testQuiet(name, false);

	test("statistics", async () => {
		const pattern =
			/^(listener\.(?!admin|.*worker_).*\.(no_filter_chain_match|downstream_cx_total|downstream_pre_cx_timeout|downstream_listener_filter)|tls_inspector\.|http_inspector\.)/;
		const [envoy, weft] = await Promise.all(pair.map(async (proxy) => Object.fromEntries(await proxy.counters(pattern))));
		const used = (counts: Readonly<Record<string, number>> = {}) => Object.fromEntries(Object.entries(counts).filter(([, value]) => value !== 0));
		assert.deepEqual(used(weft), used(envoy));
	});

	// After the statistics: which inspectors see bytes that come along with an end is a race, in Envoy as well.
	for (const [name, { inspectors }] of Object.entries(quietCases)) if (inspectors === undefined) testQuiet(name, true);
});

/** Every client, one line each, with what it heard; and what the listener's log says, in no order. */
async function talkToAll(proxy: Proxy, listener: string): Promise<{ readonly heard: readonly string[]; readonly logged: readonly string[] }> {
	const heard: string[] = [];
	for (const origin of origins) {
		const clients = Object.entries(firstWords).map(async ([what, bytes]) => `${what} ${origin.trim()}: ${await talk(proxy, listener, origin, bytes)}`);
		heard.push(...(await Promise.all(clients)));
	}
	const end = performance.now() + 5_000;
	for (;;) {
		const lines = proxy.log().filter((line) => line["listener"] === listener);
		if (lines.length >= heard.length || performance.now() > end) return { heard, logged: lines.map((line) => JSON.stringify(line)).toSorted() };
		await sleep(20);
	}
}

/** What is heard until the connection ends. */
async function talk(proxy: Proxy, listener: string, origin: string, bytes: Buffer, isEnded = false): Promise<string> {
	const socket = connect({ port: proxy.port(listener), host: "127.0.0.1" });
	let heard = "";
	socket.on("data", (chunk: Buffer) => void (heard += chunk.toString("latin1")));
	socket.on("error", () => {});
	socket.write(Buffer.concat([Buffer.from(origin), bytes]));
	if (isEnded) socket.end();
	await new Promise((resolve) => socket.on("close", resolve));
	return heard;
}
