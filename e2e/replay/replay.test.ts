import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { loopback, staticCluster } from "../differential/config.ts";
import { AdsReplay } from "./ads-replay.ts";
import { type Json, readCorpus, type Resources, skipReason } from "./corpus.ts";

const main = join(import.meta.dirname, "../../packages/proxy/src/main.ts");

/** All that is left for later; what has it is refused by a message that names it: Lua and Wasm. */
const later = /filters\.http\.lua\.v3\.Lua is not implemented|no factory found for a required type URL \S+\.(Lua|Wasm): it is not implemented/;

for (const [protocol, apiType] of [
	["state of the world", "GRPC"],
	["delta", "DELTA_GRPC"],
] as const) {
	describe(`what istiod sends, over ${protocol}`, { skip: skipReason }, () => {
		const replay = new AdsReplay();
		const folder = mkdtempSync(join(tmpdir(), "weft-replay-"));
		let proxy: ChildProcess;
		let admin = "";

		before(async () => {
			await replay.listen();
			writeFileSync(join(folder, "bootstrap.json"), JSON.stringify(bootstrap(replay.port, apiType)));
			const args = ["-c", join(folder, "bootstrap.json"), "--concurrency", "1", "--admin-address-path", join(folder, "admin"), "--log-level", "error"];
			proxy = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "ignore", "inherit"] });
			await until(() => replay.isConnected && existsSync(join(folder, "admin")));
			admin = readFileSync(join(folder, "admin"), "utf8").trim();
		});
		after(async () => {
			replay.stop();
			proxy?.kill("SIGKILL");
			if (proxy !== undefined && proxy.exitCode === null && proxy.signalCode === null) await once(proxy, "exit");
			rmSync(folder, { recursive: true, force: true });
		});

		for (const { name, resources } of skipReason === false ? readCorpus() : []) {
			it(name, async () => {
				const local = onLoopback(resources);
				const refused = await replay.send(local);
				assert.deepEqual(
					refused.flatMap((message) => message.split("\n")).filter((message) => !later.test(message)),
					[],
				);
				assert.equal(proxy.exitCode, null);
				if (refused.length > 0) return;
				await until(async () => (await openPorts(admin)).size === boundNames(local).length);
				const ports = await openPorts(admin);
				assert.deepEqual([...ports.keys()].toSorted(), boundNames(local).toSorted());
				for (const port of ports.values()) await accepts(port);
			});
		}
	});
}

function bootstrap(port: number, apiType: string): object {
	const http2 = {
		typed_extension_protocol_options: {
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
				"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				explicit_http_config: { http2_protocol_options: {} },
			},
		},
	};
	const ads = { ads: {}, resource_api_version: "V3" };
	return {
		node: { id: "sidecar~10.0.0.1~sleep.default~default.svc.cluster.local", cluster: "sleep.default" },
		admin: { address: loopback(0) },
		dynamic_resources: {
			ads_config: { api_type: apiType, transport_api_version: "V3", grpc_services: [{ envoy_grpc: { cluster_name: "xds-grpc" } }] },
			lds_config: ads,
			cds_config: ads,
		},
		static_resources: { clusters: [staticCluster("xds-grpc", port, http2), staticCluster("sds-grpc", 1, http2)] },
	};
}

const isBound = (listener: Json): boolean => listener["bindToPort"] !== false;
const boundNames = ({ lds }: Resources): readonly string[] => [...lds].filter(([, listener]) => isBound(listener)).map(([name]) => name);

/**
 * Listeners bind any free port of the loopback address: the corpus's own may be in use, or need rights. Secrets come by
 * the same stream, as no agent stands beside this proxy.
 */
function onLoopback({ cds, lds, ...rest }: Resources): Resources {
	return { ...rest, cds: mapValues(cds, withSecrets), lds: mapValues(lds, (listener) => withSecrets(isBound(listener) ? moved(listener) : listener)) };
}

function mapValues(all: ReadonlyMap<string, Json>, change: (json: Json) => Json): ReadonlyMap<string, Json> {
	return new Map([...all].map(([name, json]) => [name, change(json)]));
}

function moved(listener: Json): Json {
	return { ...listener, additionalAddresses: [], address: { socketAddress: { address: "127.0.0.1", portValue: 0 } } };
}

function withSecrets(json: Json): Json {
	return JSON.parse(JSON.stringify(json, (key, value: unknown) => (key === "sdsConfig" ? { ads: {}, resourceApiVersion: "V3" } : value))) as Json;
}

async function openPorts(admin: string): Promise<ReadonlyMap<string, number>> {
	const text = await (await fetch(`http://${admin}/listeners`)).text();
	const pairs = text.split("\n").map((line) => {
		const [name = "", address = ""] = line.split("::", 2);
		return [name, Number(address.slice(address.lastIndexOf(":") + 1))] as const;
	});
	return new Map(pairs.filter(([name, port]) => name !== "" && port > 0));
}

async function accepts(port: number): Promise<void> {
	const socket = connect({ port, host: "127.0.0.1" });
	await once(socket, "connect");
	socket.destroy();
}

async function until(is: () => boolean | Promise<boolean>): Promise<void> {
	for (const end = performance.now() + 30_000; performance.now() < end; await sleep(15)) if (await is()) return;
}
