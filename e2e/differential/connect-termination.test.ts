import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileLog, httpListener, loopback, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

const hosts = ["echo", "greeting", "dead", "slow-per-try"] as const;
type Host = (typeof hosts)[number];

/** A route for each host, chosen by the authority that CONNECT names. */
function listenerOf(name: string, accessLog: string): object {
	const virtualHosts = hosts.map((host) => ({
		name: host,
		domains: [`${host}.test:1`],
		routes: [
			{
				match: { connect_matcher: {} },
				route: {
					cluster: host === "slow-per-try" ? "echo" : host,
					timeout: "0s",
					upgrade_configs: [{ upgrade_type: "CONNECT", connect_config: {} }],
					...(host === "slow-per-try" && { retry_policy: { retry_on: "5xx", per_try_timeout: "0.05s" } }),
				},
			},
		],
	}));
	const log = fileLog(accessLog, {
		authority: "%REQ(:AUTHORITY)%",
		status: "%RESPONSE_CODE%",
		flags: "%RESPONSE_FLAGS%",
		details: "%RESPONSE_CODE_DETAILS%",
		received: "%BYTES_RECEIVED%",
		sent: "%BYTES_SENT%",
		cluster: "%UPSTREAM_CLUSTER%",
		upstreamProtocol: "%UPSTREAM_PROTOCOL%",
	});
	return httpListener(name, { access_log: [log], http2_protocol_options: { allow_connect: true }, route_config: { virtual_hosts: virtualHosts } });
}

void describe("CONNECT that ends at the proxy, beside a real Envoy", { skip: skipReason }, () => {
	let echo: Server;
	let greeting: Server;
	let pair: readonly [Proxy, Proxy];
	before(async () => {
		echo = createServer((socket) => socket.pipe(socket).on("error", () => undefined));
		greeting = createServer((socket) => socket.end("hello and good-bye"));
		const closed = createServer();
		for (const server of [echo, greeting, closed]) await once(server.listen(0, "127.0.0.1"), "listening");
		const port = (server: Server) => (server.address() as AddressInfo).port;
		const clusters = [staticCluster("echo", port(echo)), staticCluster("greeting", port(greeting)), staticCluster("dead", port(closed))];
		closed.close();
		pair = await startPair((log) => ({ admin: { address: loopback(0) }, static_resources: { listeners: [listenerOf("main", log)], clusters } }), ["main"]);
	});
	after(async () => {
		for (const server of [echo, greeting]) server?.close();
		for (const proxy of pair ?? []) await proxy.stop();
	});

	/** What the client reads until the end, after `sends` went out behind the answer's head; it hangs up once `until` was read. */
	async function overHttp1(proxy: Proxy, host: Host, sends: string, until: string, early = ""): Promise<string> {
		const socket = connect(proxy.port("main"), "127.0.0.1");
		let text = "";
		socket.setTimeout(10_000, () => socket.destroy());
		socket.write(`CONNECT ${host}.test:1 HTTP/1.1\r\nhost: ${host}.test:1\r\n\r\n${early}`);
		socket.on("data", (bytes) => {
			const isFirst = text === "";
			text += bytes.toString("latin1");
			if (isFirst && sends !== "") socket.write(sends);
			if (text.endsWith(until)) socket.destroy();
		});
		socket.on("error", () => undefined);
		await once(socket, "close");
		return text.replace(/\r\n(date|x-envoy-upstream-service-time): [^\r]*/g, "");
	}

	async function overHttp2(proxy: Proxy, host: Host, sends: string): Promise<readonly [outcome: unknown, body: string]> {
		const session = connectHttp2(`http://127.0.0.1:${proxy.port("main")}`);
		session.on("error", () => undefined);
		const stream = session.request({ ":method": "CONNECT", ":authority": `${host}.test:1` });
		let outcome: unknown;
		let body = "";
		stream.on("error", ({ message }) => {
			outcome ??= message;
		});
		stream.on("response", (headers) => {
			outcome = headers[":status"];
			if (sends !== "") stream.write(sends);
		});
		stream.on("data", (bytes: Buffer) => {
			body += bytes.toString("latin1");
			if (sends !== "" && body.length === sends.length) stream.end();
		});
		await new Promise((resolve) => stream.on("close", resolve));
		session.destroy();
		return [outcome, body];
	}

	async function lastLog(proxy: Proxy, lines: number): Promise<Readonly<Record<string, unknown>>> {
		for (const end = performance.now() + 5000; performance.now() < end && proxy.log().length <= lines; ) await sleep(20);
		return proxy.log().at(-1) ?? {};
	}

	/** What the log says of the end is left out where the client hangs up: its half-close is passed on, and Envoy takes it for the end of both directions. */
	async function same(run: (proxy: Proxy) => Promise<unknown>, check: (seen: unknown) => void = () => undefined, hangsUp = false): Promise<void> {
		const [envoy, weft] = await Promise.all(
			pair.map(async (proxy) => {
				const before = proxy.log().length;
				const seen = await run(proxy);
				const { details, flags, ...log } = await lastLog(proxy, before);
				return { seen, log: hangsUp ? log : { ...log, details, flags } };
			}),
		);
		check(envoy?.seen);
		assert.deepEqual(weft, envoy);
	}
	const ends = (text: string) => (seen: unknown) => assert.ok(String(seen).endsWith(text), String(seen));

	test("HTTP/1: bytes go both ways", () => same((proxy) => overHttp1(proxy, "echo", "there and back", "back"), ends("there and back"), true));
	test("HTTP/1: bytes that came with the head", () => same((proxy) => overHttp1(proxy, "echo", "", "early", "early"), ends("early"), true));
	test("HTTP/1: the host speaks first, and ends", () => same((proxy) => overHttp1(proxy, "greeting", "", "-"), ends("hello and good-bye")));
	test("HTTP/1: nobody listens", () => same((proxy) => overHttp1(proxy, "dead", "", "refused")));
	test("HTTP/2: bytes go both ways", () => same((proxy) => overHttp2(proxy, "echo", "x".repeat(200_000)), ends("x")));
	test("HTTP/2: the host speaks first, and ends", () => same((proxy) => overHttp2(proxy, "greeting", ""), ends("hello and good-bye")));
	test("HTTP/2: nobody listens", () => same((proxy) => overHttp2(proxy, "dead", "")));
	test("a tunnel outlives the timeout of an attempt", () =>
		same(
			async (proxy) => {
				const socket = connect(proxy.port("main"), "127.0.0.1");
				socket.on("error", () => undefined);
				socket.write("CONNECT slow-per-try.test:1 HTTP/1.1\r\nhost: slow-per-try.test:1\r\n\r\n");
				await once(socket, "data");
				await sleep(200);
				socket.write("late");
				const [bytes] = (await once(socket, "data")) as [Buffer];
				socket.destroy();
				return bytes.toString();
			},
			ends("late"),
			true,
		));
	test("statistics of the cluster", async () => {
		const stats = /^cluster\.(echo|dead)\.upstream_(rq_total|cx_total|cx_active|rq_active|cx_connect_fail|rq_pending_total|cx_http1_total)/;
		const [envoy, weft] = await Promise.all(pair.map((proxy) => proxy.stats(stats)));
		assert.deepEqual(weft?.toSorted(), envoy?.toSorted());
	});
});
