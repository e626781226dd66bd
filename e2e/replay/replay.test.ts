import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { loopback as loopbackAddress, staticCluster } from "../differential/config.ts";
import { AdsReplay } from "./ads-replay.ts";
import { type Json, readCorpus, type Resources, skipReason } from "./corpus.ts";
import { Hosts } from "./hosts.ts";
import { boundNames, Loopback, type Probe } from "./loopback.ts";
import { closeConnections, clustersOf, reachRoutes, tableOf } from "./reach.ts";

const main = join(import.meta.dirname, "../../packages/proxy/src/main.ts");

/** All that is left for later; what has it is refused by a message that names it: Lua and Wasm. */
const later = /filters\.http\.lua\.v3\.Lua is not implemented|no factory found for a required type URL \S+\.(Lua|Wasm): it is not implemented/;

for (const [protocol, apiType] of [
	["state of the world", "GRPC"],
	["delta", "DELTA_GRPC"],
] as const) {
	describe(`what istiod sends, over ${protocol}`, { skip: skipReason }, () => {
		const replay = new AdsReplay();
		const hosts = new Hosts();
		const loopback = new Loopback(hosts);
		const isNew = createMemory();
		const folder = mkdtempSync(join(tmpdir(), "weft-replay-"));
		const total = { asked: 0, unasked: 0 };
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
			closeConnections();
			replay.stop();
			proxy?.kill("SIGKILL");
			if (proxy !== undefined && proxy.exitCode === null && proxy.signalCode === null) await once(proxy, "exit");
			await hosts.close();
			rmSync(folder, { recursive: true, force: true });
		});

		for (const { name, resources } of skipReason === false ? readCorpus() : []) {
			it(name, async () => {
				const local = await loopback.move(resources);
				// A request a route, where the listener, the routes or their clusters differ from all that was asked before.
				const probes = [...local.lds.values()].flatMap((listener) => loopback.probesOf(listener)).filter((probe) => isNew(probe, local));
				const sent = { ...local, lds: new Map([...local.lds, ...probes.map(({ listener }) => [String(listener["name"]), listener] as const)]) };
				const refusals = (await replay.send(sent)).flatMap((message) => message.split("\n"));
				assert.deepEqual(
					refusals.filter((message) => !later.test(message)),
					[],
				);
				assert.equal(proxy.exitCode, null);
				const refused = new Set(refusals.map((message) => message.replace(/^[a-z]+: /, "").split(": ", 1)[0]));
				const served = boundNames(sent).filter((one) => !refused.has(one));
				await until(async () => isSame([...(await openPorts(admin)).keys()], served, refused));
				const ports = await openPorts(admin);
				assert.ok(isSame([...ports.keys()], served, refused), [...ports.keys()].join());
				for (const one of served) await accepts(ports.get(one) ?? 0);
				for (const probe of probes) {
					const listener = String(probe.listener["name"]);
					if (refused.has(listener)) continue;
					const { asked, unasked, wrong } = await reachRoutes(probe, ports.get(listener) ?? 0, local);
					assert.deepEqual(wrong, []);
					total.asked += asked;
					total.unasked += unasked;
				}
			});
		}

		it("asked nearly all routes", () => assert.ok(total.asked > 1000 && total.unasked * 20 < total.asked, JSON.stringify(total)));
	});
}

/** Of a listener that is refused, what was there before may serve on. */
function isSame(open: readonly string[], served: readonly string[], refused: ReadonlySet<string | undefined>): boolean {
	const rest = open.filter((name) => !refused.has(name));
	return rest.length === served.length && served.every((name) => rest.includes(name));
}

/** Tells what was not there before: a probe with the table that it serves and the clusters that the table names. */
function createMemory(): (probe: Probe, resources: Resources) => boolean {
	const ids = new WeakMap<Json, number>();
	const seen = new Set<string>();
	let count = 0;
	const idOf = (json: Json | undefined) => {
		if (json === undefined) return 0;
		const id = ids.get(json) ?? ++count;
		ids.set(json, id);
		return id;
	};
	return (probe, resources) => {
		const table = tableOf(probe, resources);
		const clusters = table === undefined ? [] : clustersOf(table).map((name) => `${idOf(resources.cds.get(name))}/${idOf(resources.eds.get(name))}`);
		const key = [String(probe.listener["name"]), idOf(table), ...clusters].join(" ");
		const isNew = !seen.has(key);
		seen.add(key);
		return isNew;
	};
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
		admin: { address: loopbackAddress(0) },
		dynamic_resources: {
			ads_config: { api_type: apiType, transport_api_version: "V3", grpc_services: [{ envoy_grpc: { cluster_name: "xds-grpc" } }] },
			lds_config: ads,
			cds_config: ads,
		},
		static_resources: { clusters: [staticCluster("xds-grpc", port, http2), staticCluster("sds-grpc", 1, http2)] },
	};
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
