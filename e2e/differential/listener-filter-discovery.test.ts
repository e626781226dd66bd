import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { extension, listener, loopback } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

const types = "type.googleapis.com/envoy.extensions.filters";
const proxyProtocol = `${types}.listener.proxy_protocol.v3.ProxyProtocol`;
const httpInspector = `${types}.listener.http_inspector.v3.HttpInspector`;
const header = "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n";

/** Listener filters that come from files, beside a real Envoy: the echo shows whether the filter took the PROXY header. */
describe("listener filters that come by themselves, beside a real Envoy", { skip: skipReason }, () => {
	const folder = mkdtempSync(join(tmpdir(), "weft-lds-ecds-"));
	const names = ["changing", "missing", "fallback", "eager"] as const;
	let pair: readonly [Proxy, Proxy];
	let version = 0;

	const file = (name: string) => join(folder, `${name}.json`);
	const write = (name: string, typed_config: object) => {
		const resources = [{ "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", name, typed_config }];
		writeFileSync(`${file(name)}.new`, JSON.stringify({ version_info: `v${++version}`, resources }));
		renameSync(`${file(name)}.new`, file(name));
	};
	const build = () => {
		const discovered = (name: string, more: object) => ({
			...listener(name, [extension("echo", "extensions.filters.network.echo.v3.Echo")]),
			listener_filters: [
				{
					name,
					config_discovery: {
						config_source: { path_config_source: { path: file(name) }, initial_fetch_timeout: "1s" },
						type_urls: [proxyProtocol, httpInspector],
						...more,
					},
				},
			],
		});
		const fallback = { default_config: { "@type": proxyProtocol } };
		return {
			node: { id: "sidecar~1", cluster: "test" },
			admin: { address: loopback(0) },
			static_resources: {
				listeners: [
					discovered("changing", {}),
					discovered("missing", {}),
					discovered("fallback", fallback),
					discovered("eager", { ...fallback, apply_default_config_without_warming: true }),
				],
			},
		};
	};

	/** What comes back until as much has come as was sent without a header, or the connection is closed. */
	const echo = async (proxy: Proxy, name: string) => {
		const socket = connect(proxy.port(name), "127.0.0.1");
		socket.on("error", () => {});
		const answer = await new Promise<string>((resolve) => {
			let text = "";
			socket.on("data", (bytes) => {
				text += bytes.toString();
				if (text.endsWith("ping")) resolve(text);
			});
			socket.once("close", () => resolve(text));
			socket.write(`${header}ping`);
		});
		return { socket, answer };
	};
	const answers = async (name: string) => {
		const both = await Promise.all(pair.map((proxy) => echo(proxy, name)));
		for (const { socket } of both) socket.destroy();
		return both.map(({ answer }) => answer);
	};
	const eventually = async (name: string, wanted: string) => {
		let both = await answers(name);
		for (const end = performance.now() + 20_000; performance.now() < end && both.some((answer) => answer !== wanted); await sleep(30))
			both = await answers(name);
		assert.deepEqual(both, [wanted, wanted], name);
	};
	const counters = async (pattern: RegExp) => {
		const found = await Promise.all(pair.map((proxy) => proxy.counters(pattern)));
		return found.map((one) => [...one].map(([name, value]) => `${name.replace(/127\.0\.0\.1_\d+/, "ADDRESS")} ${value}`).toSorted());
	};

	before(async () => {
		write("changing", { "@type": proxyProtocol });
		// A type that they do not take: the refusal ends the waiting.
		for (const name of ["missing", "fallback", "eager"]) write(name, { "@type": `${types}.http.cors.v3.Cors` });
		pair = await startPair(build, names);
	});
	after(async () => {
		for (const proxy of pair ?? []) await proxy.stop();
		rmSync(folder, { recursive: true, force: true });
	});

	test("what came, what did not, and what stands in for it", async () => {
		await eventually("changing", "ping");
		await eventually("missing", "");
		await eventually("fallback", "ping");
		await eventually("eager", "ping");
	});

	test("connections that are closed for want of a filter are counted", async () => {
		const before = await counters(/^listener\.127\.0\.0\.1_\d+\.extension_config_missing$/);
		const times = before.map((lines) => lines.filter((line) => !line.endsWith(" 0")).length);
		assert.deepEqual(times, [1, 1]);
		const [envoy, weft] = await Promise.all(pair.map((proxy) => proxy.counters(new RegExp(`^listener\\.127\\.0\\.0\\.1_${proxy.port("missing")}\\.`))));
		const plain = (found: ReadonlyMap<string, number> | undefined) =>
			Object.fromEntries(
				[...(found ?? [])]
					.filter(([name]) => /\d\.(downstream_cx_(total|destroy)|no_filter_chain_match|downstream_listener_filter_\w+)$/.test(name))
					.map(([name, value]) => [name.replace(/.*\./, ""), value]),
			);
		assert.deepEqual(plain(weft), plain(envoy));
	});

	test("another filter is for new connections, and one that is refused changes nothing", async () => {
		const open = await Promise.all(pair.map((proxy) => echo(proxy, "changing")));
		write("changing", { "@type": httpInspector });
		await eventually("changing", `${header}ping`);
		for (const { socket } of open) {
			socket.write("still");
			assert.equal(await new Promise((resolve) => socket.once("data", (bytes) => resolve(bytes.toString()))), "still");
			socket.destroy();
		}
		write("changing", { "@type": `${types}.http.cors.v3.Cors` });
		const rejected = /tcp_listener_filter\.changing\.update_rejected/;
		for (const proxy of pair) {
			const count = async () => [...(await proxy.counters(rejected)).values()].reduce((sum, value) => sum + value, 0);
			for (const end = performance.now() + 20_000; performance.now() < end && (await count()) < 1; ) await sleep(30);
		}
		await eventually("changing", `${header}ping`);
		const [envoy, weft] = await counters(/^extension_config_discovery\.tcp_listener_filter\.changing\.(config|update_(success|rejected))/);
		assert.deepEqual(weft, envoy);
		assert.ok(
			envoy?.some((line) => line.endsWith("update_rejected 1")),
			String(envoy),
		);
		write("changing", { "@type": proxyProtocol });
		await eventually("changing", "ping");
	});
});
