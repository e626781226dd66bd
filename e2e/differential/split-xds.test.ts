import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, get, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import { registerImplemented } from "../../packages/proxy/src/config/decode/index.ts";
import { createAuthority } from "../security/identities.ts";
import { extension, httpFilter, httpListener, loopback, router } from "./config.ts";
import { DiscoveryServer, type ServedType } from "./discovery-server.ts";
import { grpcCluster } from "./grpc-services.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

type Mode = "GRPC" | "DELTA_GRPC";

/** The management servers of one proxy. */
interface World {
	readonly main: DiscoveryServer;
	readonly other: DiscoveryServer;
	/** On a Unix socket. */
	readonly secrets: DiscoveryServer;
}

const names = ["envoy", "weft"] as const;
const certificates = createAuthority("mesh.test");

/** The type's own service at a server of the bootstrap. */
const from = (cluster: "main" | "other" | "secrets", api_type: Mode, more: object = {}) => ({
	api_config_source: {
		api_type,
		transport_api_version: "V3",
		grpc_services: [{ envoy_grpc: { cluster_name: cluster }, initial_metadata: [{ key: "x-tenant", value: "blue" }] }],
	},
	resource_api_version: "V3",
	...more,
});
const ads = { ads: {}, resource_api_version: "V3" };

const edsCluster = (name: string, eds_config: object, service_name = name) => ({ name, type: "EDS", eds_cluster_config: { eds_config, service_name } });
const assignment = (cluster_name: string, port: number) => ({ cluster_name, endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(port) } }] }] });
const tableOf = (name: string, routes: Readonly<Record<string, object>>, more: object = {}) => ({
	name,
	virtual_hosts: [{ name: "all", domains: ["*"], routes: Object.entries(routes).map(([prefix, action]) => ({ match: { prefix }, ...action })) }],
	...more,
});
const to = (cluster: string) => ({ route: { cluster } });
const says = (text: string) => ({ direct_response: { status: 200, body: { inline_string: text } } });
const rds = (route_config_name: string, config_source: object) => ({ rds: { route_config_name, config_source } });
const secured = (name: string, table: object, sds_config: object, secret = "own") => {
	const context = { common_tls_context: { tls_certificate_sds_secret_configs: [{ name: secret, sds_config }] } };
	const socket = extension("envoy.transport_sockets.tls", "extensions.transport_sockets.tls.v3.DownstreamTlsContext", context);
	const plain = httpListener(name, table) as { readonly filter_chains: readonly object[] };
	return { ...plain, filter_chains: plain.filter_chains.map((chain) => ({ ...chain, transport_socket: socket })) };
};
const mutation = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";
const adding = (name: string, value: string) => ({
	name,
	typed_config: { "@type": mutation, mutations: { response_mutations: [{ append: { header: { key: "x-filter", value } } }] } },
});
const discovered = (name: string, config_source: object) => ({ name, config_discovery: { config_source, type_urls: [mutation] } });
const secretOf = (name: string, dnsName: string) => {
	const { certChainPem, privateKeyPem } = certificates.issueFor({ dnsNames: [dnsName] });
	return { name, tls_certificate: { certificate_chain: { inline_string: certChainPem }, private_key: { inline_string: privateKeyPem } } };
};

const onDemand = httpFilter("envoy.filters.http.on_demand", "on_demand.v3.OnDemand");
const hostOf = (name: string, text: string) => ({ name, domains: [name.slice(name.indexOf("/") + 1)], routes: [{ match: { prefix: "/" }, ...says(text) }] });

interface Answer {
	readonly status: number;
	readonly body: string;
	readonly filter: string | null;
}

function ask(proxy: Proxy, listener: string, path = "/", host = "any.test"): Promise<Answer> {
	return new Promise((resolve, reject) => {
		get({ host: "127.0.0.1", port: proxy.port(listener), path, agent: false, headers: { host } }, (response) => {
			let body = "";
			response.on("data", (bytes: Buffer) => (body += bytes.toString()));
			response.on("end", () => resolve({ status: response.statusCode ?? 0, body, filter: (response.headers["x-filter"] as string | undefined) ?? null }));
		}).on("error", reject);
	});
}

/** The name in the certificate that a listener shows; undefined: no handshake. */
function shownName(proxy: Proxy, listener: string): Promise<string | undefined> {
	return new Promise((resolve) => {
		const socket = connect({ port: proxy.port(listener), host: "127.0.0.1", servername: "any.test", rejectUnauthorized: false });
		socket.on("error", () => resolve(undefined));
		socket.on("close", () => resolve(undefined));
		socket.on("secureConnect", () => {
			resolve(socket.getPeerX509Certificate()?.subjectAltName);
			socket.destroy();
		});
	});
}

const waitMsMax = 20_000;

async function waitUntil(isTrue: () => boolean | Promise<boolean>, what: () => string): Promise<void> {
	for (const end = performance.now() + waitMsMax; performance.now() < end; await sleep(30)) if (await isTrue()) return;
	assert.fail(what());
}

describe("each type over streams of its own, beside a real Envoy", { skip: skipReason }, () => {
	const folder = mkdtempSync(join(tmpdir(), "weft-split-"));
	const upstreams: Server[] = [];
	const ports: number[] = [];
	let worlds: readonly [World, World];
	let mainPorts: readonly [number, number];
	let pair: readonly [Proxy, Proxy];
	const port = (i: number) => ports[i] ?? 0;
	const routesFile = join(folder, "routes.json");

	const writeRoutes = (text: string) => {
		const table = { "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", ...tableOf("filed", { "/": says(text) }) };
		writeFileSync(`${routesFile}.new`, JSON.stringify({ version_info: text, resources: [table] }));
		renameSync(`${routesFile}.new`, routesFile);
	};
	const set = (server: keyof World, type: ServedType, name: string, json: object | undefined) => {
		for (const world of worlds) world[server].set(type, name, json);
	};
	/** Waits for both to answer so. */
	const both = async (look: (proxy: Proxy) => Promise<unknown>, expected: unknown) => {
		for (const proxy of pair) {
			let seen: unknown;
			const isThere = async () => JSON.stringify((seen = await look(proxy))) === JSON.stringify(expected);
			await waitUntil(isThere, () => `${proxy.name}: ${JSON.stringify(seen)} instead of ${JSON.stringify(expected)}`);
		}
	};
	const bodies = (expected: string, listener: string, path?: string) => both(async (proxy) => (await ask(proxy, listener, path)).body, expected);
	/** What was asked of a server by each proxy: the methods, and the names of each type. */
	const asked = (server: keyof World) =>
		worlds.map((world) => {
			// Of virtual hosts Envoy asks by the wildcard, and weft-proxy by the table's name.
			const open = world[server].open.filter(({ service }) => service !== "vhds");
			const streams = open.flatMap(({ mode, names, service }) => [...names.values()].flatMap((some) => [...some].map((name) => `${service} ${mode} ${name}`)));
			return [...new Set(streams)].toSorted();
		});
	const sameNames = async (server: keyof World) => {
		await waitUntil(
			() => JSON.stringify(asked(server)[0]) === JSON.stringify(asked(server)[1]),
			() => JSON.stringify(asked(server)),
		);
		return asked(server)[0];
	};

	before(async () => {
		registerImplemented();
		for (const text of ["one", "two"]) {
			const server = createServer((_, response) => response.end(text));
			await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
			upstreams.push(server);
			ports.push((server.address() as AddressInfo).port);
		}
		writeRoutes("filed");
		worlds = [0, 1].map(() => ({ main: new DiscoveryServer(), other: new DiscoveryServer(), secrets: new DiscoveryServer() })) as unknown as [World, World];
		set("main", "cds", "a", edsCluster("a", from("other", "GRPC")));
		set("main", "cds", "b", edsCluster("b", from("other", "DELTA_GRPC")));
		// One name, of which two servers know different things.
		set("main", "cds", "twice", edsCluster("twice", from("main", "GRPC"), "shared"));
		set("main", "cds", "again", edsCluster("again", from("other", "GRPC"), "shared"));
		set("other", "eds", "a", assignment("a", port(0)));
		set("other", "eds", "b", assignment("b", port(1)));
		set("main", "eds", "shared", assignment("shared", port(0)));
		set("other", "eds", "shared", assignment("shared", port(1)));
		const routes = { "/a": to("a"), "/b": to("b"), "/twice": to("twice"), "/second": to("again"), "/": says("own") };
		set("main", "rds", "own", tableOf("own", routes));
		set("other", "rds", "own", tableOf("own", { "/": says("the other's") }));
		set("other", "rds", "delta", tableOf("delta", { "/": says("delta") }));
		set("main", "ecds", "filter", adding("filter", "first"));
		set("secrets", "sds", "own", secretOf("own", "first.test"));
		set("secrets", "sds", "delta", secretOf("delta", "delta.test"));
		const vhds = { config_source: from("other", "DELTA_GRPC") };
		set("main", "rds", "hosts", { name: "hosts", virtual_hosts: [], vhds });
		set("other", "vhds", "hosts/known.test", hostOf("hosts/known.test", "known"));
		set("main", "lds", "hosts", httpListener("hosts", { ...rds("hosts", from("main", "GRPC")), http_filters: [onDemand, router] }));
		set("main", "lds", "own", httpListener("own", { ...rds("own", from("main", "GRPC")), http_filters: [discovered("filter", from("main", "GRPC")), router] }));
		set("main", "lds", "other", httpListener("other", rds("own", from("other", "GRPC"))));
		set("main", "lds", "delta", httpListener("delta", rds("delta", from("other", "DELTA_GRPC"))));
		set("main", "lds", "filed", httpListener("filed", rds("filed", { path_config_source: { path: routesFile }, resource_api_version: "V3" })));
		set("main", "lds", "silent", httpListener("silent", rds("nobody-has-it", from("other", "GRPC", { initial_fetch_timeout: "1s" }))));
		set("main", "lds", "secured", secured("secured", rds("own", from("main", "GRPC")), from("secrets", "GRPC")));
		set("main", "lds", "secured-delta", secured("secured-delta", rds("own", from("main", "GRPC")), from("secrets", "DELTA_GRPC"), "delta"));
		// Names a cluster that must be there already, while clusters take their time.
		const inline = { route_config: tableOf("inline", { "/": to("a") }, { validate_clusters: true }) };
		set("main", "lds", "inline", httpListener("inline", inline));
		for (const { main } of worlds) main.delaysMs.set("cds", 500);
		mainPorts = [await worlds[0].main.listen(), await worlds[1].main.listen()];
		const otherPorts = [await worlds[0].other.listen(), await worlds[1].other.listen()];
		const sockets = names.map((name) => join(folder, `${name}.sock`));
		for (const [i, path] of sockets.entries()) await worlds[i]?.secrets.listen(path);
		pair = await startPair(
			(_log, name) => {
				const i = names.indexOf(name);
				const onSocket = { endpoint: { address: { pipe: { path: sockets[i] } } } };
				return {
					node: { id: "n", cluster: "c" },
					admin: { address: loopback(0) },
					dynamic_resources: {
						ads_config: { api_type: "GRPC", transport_api_version: "V3", grpc_services: [{ envoy_grpc: { cluster_name: "main" } }] },
						cds_config: { api_config_source: { ...from("main", "DELTA_GRPC").api_config_source, ...paced }, resource_api_version: "V3" },
						lds_config: ads,
					},
					static_resources: {
						clusters: [
							grpcCluster("main", mainPorts[i] ?? 0),
							grpcCluster("other", otherPorts[i] ?? 0),
							{ ...grpcCluster("secrets", 0), load_assignment: { cluster_name: "secrets", endpoints: [{ lb_endpoints: [onSocket] }] } },
						],
					},
				};
			},
			["own", "other", "delta", "filed", "silent", "hosts", "inline", "secured", "secured-delta"],
		);
	});
	// Envoy shows a port before anybody listens there.
	before(() => both(async (proxy) => (await proxy.admin("/ready")).startsWith("LIVE"), true));
	after(async () => {
		for (const proxy of pair ?? []) await proxy.stop();
		for (const world of worlds ?? []) for (const server of Object.values(world) as DiscoveryServer[]) server.stop();
		for (const upstream of upstreams) upstream.close();
		rmSync(folder, { recursive: true, force: true });
	});

	test("clusters by a delta stream, listeners over ADS, and all that they refer to from elsewhere", async () => {
		await both((proxy) => ask(proxy, "own"), { status: 200, body: "own", filter: "first" });
		for (const [path, body] of Object.entries({ "/a": "one", "/b": "two", "/twice": "one", "/second": "two" })) await bodies(body, "own", path);
		await bodies("the other's", "other");
		await bodies("one", "inline");
		await bodies("delta", "delta");
		await bodies("filed", "filed");
		await both((proxy) => shownName(proxy, "secured"), "DNS:first.test");
		await both((proxy) => shownName(proxy, "secured-delta"), "DNS:delta.test");
	});

	test("a table that does not come in time is done without", () => both(async (proxy) => (await ask(proxy, "silent")).status, 404));

	test("the services are the types' own, and the same names are asked for", async () => {
		assert.deepEqual(await sameNames("main"), ["ecds sotw filter", "eds sotw shared", "rds sotw hosts", "rds sotw own"]);
		const elsewhere = ["eds delta b", "eds sotw a", "eds sotw shared", "rds delta delta", "rds sotw nobody-has-it", "rds sotw own"];
		assert.deepEqual(await sameNames("other"), elsewhere);
		assert.deepEqual(await sameNames("secrets"), ["sds delta delta", "sds sotw own"]);
		for (const world of worlds) {
			const whole = world.main.open.filter(({ names }) => [...names.values()].some(({ size }) => size === 0)).map(({ mode, service }) => `${service} ${mode}`);
			assert.deepEqual(whole.toSorted(), ["ads sotw", "cds delta"]);
			assert.ok(world.other.open.some(({ mode, service }) => `${service} ${mode}` === "vhds delta"));
			for (const { metadata, requests, service } of world.other.open) {
				assert.equal(metadata["x-tenant"], "blue", service);
				assert.equal(requests[0]?.node?.id, "n", service);
			}
		}
	});

	test("the streams of clusters and listeners tell that they are there", () =>
		both(
			async (proxy) => (await proxy.stats(/^(cluster_manager\.cds\.)?control_plane\.connected_state/)).toSorted(),
			["cluster_manager.cds.control_plane.connected_state: 1", "control_plane.connected_state: 1"],
		));

	test("virtual hosts: those of a table, one that a request asks for, and one that is not there", async () => {
		const answers = (host: string) => (proxy: Proxy) => ask(proxy, "hosts", "/", host).then(({ body, status }) => `${status} ${body}`);
		await both(answers("known.test"), "200 known");
		await both(answers("nobody.test"), "404 ");
		set("other", "vhds", "hosts/known.test", hostOf("hosts/known.test", "changed"));
		await both(answers("known.test"), "200 changed");
		set("other", "vhds", "hosts/late.test", hostOf("hosts/late.test", "late"));
		await both(answers("late.test"), "200 late");
		set("other", "vhds", "hosts/known.test", undefined);
		await both(answers("known.test"), "404 ");
	});

	test("updates take effect, from whichever source", async () => {
		set("other", "eds", "a", assignment("a", port(1)));
		await bodies("two", "own", "/a");
		set("other", "rds", "delta", tableOf("delta", { "/": says("delta, changed") }));
		await bodies("delta, changed", "delta");
		writeRoutes("filed, changed");
		await bodies("filed, changed", "filed");
		set("main", "ecds", "filter", adding("filter", "second"));
		await both(async (proxy) => (await ask(proxy, "own")).filter, "second");
		set("secrets", "sds", "own", secretOf("own", "second.test"));
		await both((proxy) => shownName(proxy, "secured"), "DNS:second.test");
	});

	test("what is wrong is refused on its own stream, and changes nothing", async () => {
		const refusals = (server: keyof World, service: string) =>
			worlds.map((world) => world[server].streams.filter((stream) => stream.service === service).flatMap((stream) => stream.refusals));
		const refused = async (server: keyof World, service: string, pattern: RegExp) => {
			await waitUntil(
				() => refusals(server, service).every((all) => pattern.test(all.at(-1) ?? "")),
				() => JSON.stringify(refusals(server, service)),
			);
		};
		set("main", "cds", "bad", edsCluster("bad", { ...from("main", "GRPC"), api_config_source: { ...from("main", "GRPC").api_config_source, ...noServer } }));
		await refused("main", "cds", /bad.*'nobody' does not exist/);
		set("main", "cds", "bad", undefined);
		set("main", "lds", "bad", httpListener("bad", rds("own", { ...from("main", "GRPC"), api_config_source: aggregated })));
		await refused("main", "ads", /bad.*Unsupported config source AGGREGATED_GRPC/);
		set("main", "lds", "bad", undefined);
		set("other", "rds", "delta", tableOf("delta", { "/": { route: {} } }));
		await refused("other", "rds", /./);
		set("main", "ecds", "filter", { name: "filter", typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors" } });
		await refused("main", "ecds", /./);
		await bodies("delta, changed", "delta");
		await both((proxy) => ask(proxy, "own"), { status: 200, body: "own", filter: "second" });
		const codes = worlds.map(({ other }) => other.streams.flatMap(({ requests }) => requests.flatMap(({ errorDetail }) => errorDetail?.code ?? [])));
		assert.deepEqual([...new Set(codes.flat())], [13]);
		set("other", "rds", "delta", tableOf("delta", { "/": says("delta, good again") }));
		await bodies("delta, good again", "delta");
	});

	test("what is gone from a stream is gone, and nothing is asked for that nobody wants", async () => {
		set("main", "rds", "own", tableOf("own", { "/a": to("a"), "/twice": to("twice"), "/second": to("again"), "/": says("own") }));
		await bodies("own", "own", "/b");
		set("main", "cds", "b", undefined);
		await waitUntil(
			() => asked("other").every((all) => !all.includes("eds delta b")),
			() => JSON.stringify(asked("other")),
		);
		assert.ok(
			worlds.every(({ other }) => other.open.every(({ mode, service }) => service !== "eds" || mode === "sotw")),
			"the stream that has nothing to say is closed",
		);
		await bodies("two", "own", "/a");
	});

	test("streams come back with what they have when a server is gone, which meanwhile changes nothing", async () => {
		for (const world of worlds) world.main.stop();
		await bodies("two", "own", "/a");
		await both((proxy) => ask(proxy, "own"), { status: 200, body: "own", filter: "second" });
		const seen = worlds.map(({ main }) => main.streams.length);
		set("main", "ecds", "filter", adding("filter", "third"));
		for (const [i, world] of worlds.entries()) await world.main.listen(mainPorts[i]);
		await both(async (proxy) => (await ask(proxy, "own")).filter, "third");
		set("main", "eds", "shared", assignment("shared", port(1)));
		await bodies("two", "own", "/twice");
		for (const [i, { main }] of worlds.entries()) {
			const again = main.streams.slice(seen[i]).filter(({ requests }) => requests.length > 0);
			const first = (service: string) => again.find((stream) => stream.service === service)?.requests[0];
			const cds = first("cds");
			assert.ok(cds !== undefined && "initialResourceVersions" in cds);
			assert.deepEqual(Object.keys(cds.initialResourceVersions).toSorted(), ["a", "again", "twice"]);
			const filter = first("ecds");
			assert.ok(filter !== undefined && "versionInfo" in filter);
			assert.match(filter.versionInfo, /^\d+$/);
			assert.equal(filter.responseNonce, "");
		}
	});
});

const paced = { rate_limit_settings: { max_tokens: 2, fill_rate: 20 } };
const noServer = { grpc_services: [{ envoy_grpc: { cluster_name: "nobody" } }] };
const aggregated = { api_type: "AGGREGATED_GRPC", transport_api_version: "V3", grpc_services: [{ envoy_grpc: { cluster_name: "main" } }] };
