import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Server as GrpcServer, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { createLogger, systemClock } from "@weft/runtime";
import { type MessageFns, packAny, typeUrls, type XdsType } from "@weft/xds";
import { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import { ScopedRouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/scoped_route.ts";
import { TypedExtensionConfig } from "@weft/xds/generated/envoy/config/core/v3/extension.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { VirtualHost } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import { CsrfPolicy } from "@weft/xds/generated/envoy/extensions/filters/http/csrf/v3/csrf.ts";
import { Router } from "@weft/xds/generated/envoy/extensions/filters/http/router/v3/router.ts";
import { HttpConnectionManager } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { decodeBootstrap } from "../config/bootstrap/decode-bootstrap.ts";
import { registerImplemented } from "../config/decode/index.ts";
import { FakeWorker } from "./fake-worker.ts";
import { type Server, startServer } from "./server.ts";

type Stream = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

/** A delta ADS server under the test's hand. */
class ControlPlane {
	readonly #server = new GrpcServer();
	readonly requests: DeltaDiscoveryRequest[] = [];
	readonly #waiting: (() => void)[] = [];
	#stream: Stream | undefined;
	/** Of the last call. */
	metadata: Stream["metadata"] | undefined;
	port = 0;
	#nonce = 0;

	async listen(): Promise<void> {
		const method = {
			path: "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
			requestStream: true,
			responseStream: true,
			requestSerialize: () => Buffer.alloc(0),
			requestDeserialize: (bytes: Buffer) => DeltaDiscoveryRequest.decode(bytes),
			responseSerialize: (message: DeltaDiscoveryResponse) => Buffer.from(DeltaDiscoveryResponse.encode(message).finish()),
			responseDeserialize: () => undefined,
		};
		const handler = (stream: Stream) => {
			this.#stream = stream;
			this.metadata = stream.metadata;
			stream.on("error", () => {});
			stream.on("data", (request: DeltaDiscoveryRequest) => {
				this.requests.push(request);
				for (const wake of this.#waiting.splice(0)) wake();
			});
		};
		this.#server.addService({ delta: method }, { delta: handler });
		this.port = await new Promise((resolve, reject) => {
			this.#server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => (error ? reject(error) : resolve(port)));
		});
	}

	async seen(is: (request: DeltaDiscoveryRequest) => boolean): Promise<DeltaDiscoveryRequest> {
		for (;;) {
			const at = this.requests.findIndex(is);
			if (at >= 0) return this.requests.splice(at, 1)[0] as DeltaDiscoveryRequest;
			await new Promise<void>((resolve) => void this.#waiting.push(resolve));
		}
	}

	/** Sends and gives the answer. */
	async push(
		type: XdsType,
		resources: readonly { name: string; resource: ReturnType<typeof packAny> }[],
		removed: readonly string[] = [],
	): Promise<string | undefined> {
		const nonce = `n${++this.#nonce}`;
		const named = resources.map(({ name, resource }) => ({ name, version: nonce, resource }));
		this.#stream?.write(DeltaDiscoveryResponse.fromPartial({ typeUrl: typeUrls[type], nonce, resources: named, removedResources: [...removed] }));
		return (await this.seen(({ responseNonce }) => responseNonce === nonce)).errorDetail?.message;
	}

	/** As a control plane does that is replaced by another. */
	endStream(): void {
		this.#stream?.end();
	}

	close(): void {
		this.#server.forceShutdown();
	}
}

const packed = <T>(name: string, typeName: string, fns: MessageFns<T>, message: T) => ({ name, resource: packAny(typeName, fns, message) });
const cluster = (name: string) =>
	packed(name, "envoy.config.cluster.v3.Cluster", Cluster, Cluster.fromPartial({ name, type: 3, edsClusterConfig: { edsConfig: { ads: {} } } }));
const endpoints = (name: string, port: number) => {
	const lbEndpoints = [{ endpoint: { address: { socketAddress: { address: "10.0.0.1", portValue: port } } } }];
	return packed(
		name,
		"envoy.config.endpoint.v3.ClusterLoadAssignment",
		ClusterLoadAssignment,
		ClusterLoadAssignment.fromPartial({ clusterName: name, endpoints: [{ lbEndpoints }] }),
	);
};
const routes = (name: string, to: string) => {
	const virtualHosts = [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: to } }] }];
	return packed(name, "envoy.config.route.v3.RouteConfiguration", RouteConfiguration, RouteConfiguration.fromPartial({ name, virtualHosts }));
};
/** A table that has only its catch-all; the others come by themselves. */
const shell = (name: string) => {
	const virtualHosts = [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, directResponse: { status: 404 } }] }];
	const message = RouteConfiguration.fromPartial({ name, virtualHosts, vhds: { configSource: { ads: {} } } });
	return packed(name, "envoy.config.route.v3.RouteConfiguration", RouteConfiguration, message);
};
const host = (name: string, domains: readonly string[], to: string) => {
	const message = VirtualHost.fromPartial({ name, domains: [...domains], routes: [{ match: { prefix: "/" }, route: { cluster: to } }] });
	return packed(name, "envoy.config.route.v3.VirtualHost", VirtualHost, message);
};
const router = { name: "router", typedConfig: packAny("envoy.extensions.filters.http.router.v3.Router", Router, Router.fromPartial({})) };
const listener = (name: string, table: string, extra: object[] = []) => {
	const hcm = HttpConnectionManager.fromPartial({
		statPrefix: name,
		rds: { configSource: { ads: {} }, routeConfigName: table },
		httpFilters: [...extra, router],
	});
	const typedConfig = packAny("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", HttpConnectionManager, hcm);
	const address = { socketAddress: { address: "127.0.0.1", portValue: 80 } };
	return packed(
		name,
		"envoy.config.listener.v3.Listener",
		Listener,
		Listener.fromPartial({ name, address, filterChains: [{ filters: [{ name: "hcm", typedConfig }] }] }),
	);
};

const scopedListener = (name: string) => {
	const fragments = [{ headerValueExtractor: { name: "x-scope", index: 0 } }];
	const scopedRoutes = { name: "s", scopeKeyBuilder: { fragments }, rdsConfigSource: { ads: {} }, scopedRds: { scopedRdsConfigSource: { ads: {} } } };
	const hcm = HttpConnectionManager.fromPartial({ statPrefix: name, scopedRoutes, httpFilters: [router] });
	const typedConfig = packAny("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", HttpConnectionManager, hcm);
	const message = Listener.fromPartial({
		name,
		address: { socketAddress: { address: "127.0.0.1", portValue: 80 } },
		filterChains: [{ filters: [{ name: "hcm", typedConfig }] }],
	});
	return packed(name, "envoy.config.listener.v3.Listener", Listener, message);
};
const scope = (name: string, key: string, routeConfigurationName: string, onDemand = false) => {
	const message = ScopedRouteConfiguration.fromPartial({ name, onDemand, routeConfigurationName, key: { fragments: [{ stringKey: key }] } });
	return packed(name, "envoy.config.route.v3.ScopedRouteConfiguration", ScopedRouteConfiguration, message);
};

const csrfType = "envoy.extensions.filters.http.csrf.v3.CsrfPolicy";
const csrf = packAny(csrfType, CsrfPolicy, CsrfPolicy.fromPartial({ filterEnabled: { defaultValue: { numerator: 100 } } }));
/** An HTTP filter whose configuration comes by itself. */
const discovered = (name: string, type = csrfType) => ({ name, configDiscovery: { configSource: { ads: {} }, typeUrls: [`type.googleapis.com/${type}`] } });
const filterConfig = (name: string, typedConfig: ReturnType<typeof packAny>) =>
	packed(name, "envoy.config.core.v3.TypedExtensionConfig", TypedExtensionConfig, TypedExtensionConfig.fromPartial({ name, typedConfig }));

describe("the main thread under a control plane", () => {
	const controlPlane = new ControlPlane();
	const workers: FakeWorker[] = [];
	let server: Server;

	before(async () => {
		registerImplemented();
		await controlPlane.listen();
		const environment = { readFile: () => Buffer.alloc(0), variable: () => undefined };
		const bootstrap = Bootstrap.fromPartial({
			node: { id: "sidecar~1" },
			admin: { address: { socketAddress: { address: "127.0.0.1", portValue: 0 } } },
			dynamicResources: { adsConfig: { apiType: 3, grpcServices: [{ envoyGrpc: { clusterName: "xds" } }] }, cdsConfig: { ads: {} }, ldsConfig: { ads: {} } },
			staticResources: {
				clusters: [
					{
						name: "xds",
						loadAssignment: {
							clusterName: "xds",
							endpoints: [{ lbEndpoints: [{ endpoint: { address: { socketAddress: { address: "127.0.0.1", portValue: controlPlane.port } } } }] }],
						},
					},
				],
			},
		});
		const { value: config, errors } = decodeBootstrap(bootstrap, environment);
		assert.ok(config, errors.join());
		const logger = createLogger({ level: "none" });
		const rest = {
			logLevel: "none" as const,
			version: "test",
			clock: systemClock,
			random: () => 0,
			logger,
			ownSecrets: new Set<string>(),
			initialSecrets: [],
			secretsOverAds: false,
			xdsHeaders: { "x-tenant": "blue" },
			onQuit: () => {},
		};
		server = await startServer({
			...rest,
			config,
			environment,
			concurrency: 1,
			spawn: (init, events) => {
				const worker = new FakeWorker(init, events);
				workers.push(worker);
				return worker;
			},
		});
	});
	after(async () => {
		await server.stop();
		controlPlane.close();
	});

	const updates = () => workers[0]?.updates() ?? [];
	const ready = async () => (await fetch(`http://${server.adminAddress}/ready`)).status;

	it("asks for clusters and listeners, then for what they refer to, and serves when all is there", async () => {
		assert.equal(await ready(), 503);
		const first = await controlPlane.seen(({ typeUrl }) => typeUrl === typeUrls.cds);
		assert.equal(first.node?.id, "sidecar~1");
		assert.deepEqual(controlPlane.metadata?.get("x-tenant"), ["blue"]);
		await controlPlane.seen(({ typeUrl }) => typeUrl === typeUrls.lds);
		assert.equal(await controlPlane.push("cds", [cluster("a")]), undefined);
		assert.deepEqual((await controlPlane.seen(({ typeUrl }) => typeUrl === typeUrls.eds)).resourceNamesSubscribe, ["a"]);
		assert.equal(await controlPlane.push("lds", [listener("l", "r")]), undefined);
		assert.deepEqual((await controlPlane.seen(({ typeUrl }) => typeUrl === typeUrls.rds)).resourceNamesSubscribe, ["r"]);
		assert.equal(await controlPlane.push("rds", [routes("r", "a")]), undefined);
		// Only the static cluster so far: everything else waits for a's endpoints.
		assert.equal(updates().length, 1);
		assert.equal(await controlPlane.push("eds", [endpoints("a", 8080)]), undefined);
		const last = updates().at(-1);
		assert.deepEqual([last?.clusters.upsert[0]?.name, last?.routes.upsert[0]?.name, last?.listeners.upsert[0]?.name], ["a", "r", "l"]);
		assert.equal(await ready(), 200);
	});

	it("tells whether the control plane is there, and comes back to it with what it has", async () => {
		const connected = async () => /connected_state: (\d)/.exec(await (await fetch(`http://${server.adminAddress}/stats?filter=control_plane`)).text())?.[1];
		assert.equal(await connected(), "1");
		controlPlane.endStream();
		while ((await connected()) === "1") await new Promise((resolve) => setTimeout(resolve, 5));
		assert.equal(await connected(), "0");
		const again = await controlPlane.seen(({ typeUrl, node }) => typeUrl === typeUrls.cds && node !== undefined);
		assert.deepEqual(Object.keys(again.initialResourceVersions), ["a"]);
		assert.equal(await controlPlane.push("cds", []), undefined);
		assert.equal(await connected(), "1");
		assert.equal(await ready(), 200);
	});

	it("changes nothing when it gets what it has", async () => {
		const before = updates().length;
		assert.equal(await controlPlane.push("cds", [cluster("a")]), undefined);
		assert.equal(await controlPlane.push("eds", [endpoints("a", 8080)]), undefined);
		assert.equal(updates().length, before);
	});

	it("refuses a field of a later Envoy by name, which the messages lack", async () => {
		const [table, good] = [routes("late", "a"), routes("good", "a")];
		// The field 18.
		const value = Buffer.concat([table.resource.value, Buffer.from([0x92, 0x01, 0x01, 0x78])]);
		assert.equal(
			await controlPlane.push("rds", [{ ...table, resource: { ...table.resource, value } }, good]),
			"late: vhostHeader: vhost_header is not implemented",
		);
	});

	it("refuses what it has not implemented by name, and takes the rest of the response", async () => {
		const lua = { name: "lua", typedConfig: { typeUrl: "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua", value: new Uint8Array(0) } };
		const error = await controlPlane.push("lds", [listener("bad", "r", [lua]), listener("good", "r")]);
		assert.equal(error, "bad: filterChains[0].filters[0].httpFilters[0]: HTTP filter lua of type envoy.extensions.filters.http.lua.v3.Lua is not implemented");
		assert.deepEqual(
			updates()
				.at(-1)
				?.listeners.upsert.map(({ name }) => name),
			["good"],
		);
	});

	it("refuses a listener that a worker cannot bind", async () => {
		workers[0]?.refuses.add("taken");
		assert.equal(await controlPlane.push("lds", [listener("taken", "r")]), "taken: cannot bind");
	});

	it("keeps a host's slot over an endpoint change, and gives a new host its own", async () => {
		const slots = () =>
			updates()
				.at(-1)
				?.hosts[0]?.priorities[0]?.[0]?.hosts.map(({ slot }) => slot);
		const before = updates()
			.findLast(({ hosts }) => hosts.some((h) => h.cluster === "a"))
			?.hosts.find((h) => h.cluster === "a")?.priorities[0]?.[0]?.hosts[0]?.slot;
		await controlPlane.push("eds", [endpoints("a", 9090)]);
		assert.notDeepEqual(slots(), [before]);
	});

	it("drops the cluster only when the routes no longer lead to it", async () => {
		await controlPlane.push("cds", [cluster("b")], ["a"]);
		assert.deepEqual(updates().at(-1)?.clusters.remove ?? [], []);
		await controlPlane.push("eds", [endpoints("b", 1)]);
		await controlPlane.push("rds", [routes("r", "b")]);
		assert.deepEqual(updates().at(-1)?.clusters.remove, ["a"]);
		assert.equal(updates().at(-1)?.routes.upsert[0]?.name, "r");
	});

	it("takes a cluster back with the endpoints that it had before", async () => {
		await controlPlane.push("cds", [cluster("a")]);
		await controlPlane.push("eds", [endpoints("a", 9090)]);
		assert.deepEqual(
			updates()
				.at(-1)
				?.clusters.upsert.map(({ name }) => name),
			["a"],
		);
	});

	it("takes virtual hosts one by one: all of a table before it serves, then single ones without the table", async () => {
		const last = () => updates().at(-1);
		const hostNames = (update = last()) => update?.virtualHosts.map(({ table, upsert, remove }) => [table, upsert.map(({ name }) => name), remove]);
		await controlPlane.push("lds", [listener("l2", "t")]);
		await controlPlane.seen(({ typeUrl, resourceNamesSubscribe }) => typeUrl === typeUrls.rds && resourceNamesSubscribe.includes("t"));
		assert.equal(await controlPlane.push("rds", [shell("t")]), undefined);
		const asked = await controlPlane.seen(({ typeUrl }) => typeUrl === typeUrls.vhds);
		assert.deepEqual(asked.resourceNamesSubscribe, ["t"]);
		assert.ok(!updates().some(({ routes }) => routes.upsert.some(({ name }) => name === "t")), "the table waits for its virtual hosts");
		assert.equal(await controlPlane.push("vhds", [host("t/a:80", ["a", "a.x"], "a"), host("t/b:80", ["b"], "b")]), undefined);
		assert.deepEqual(
			last()?.routes.upsert.map(({ name, virtualHosts }) => [name, virtualHosts.map((h) => h.name)]),
			[["t", ["a:80", "b:80", "all"]]],
		);

		assert.equal(await controlPlane.push("vhds", [host("t/b:80", ["b"], "a")]), undefined);
		assert.deepEqual([hostNames(), last()?.routes.upsert], [[["t", ["b:80"], []]], []]);
		assert.equal(await controlPlane.push("vhds", [host("t/c:80", ["a.x"], "a")], ["t/a:80"]), undefined, "a domain moves with what had it");
		assert.deepEqual(hostNames(), [["t", ["c:80"], ["a:80"]]]);
		assert.match(
			(await controlPlane.push("vhds", [host("t/d:80", ["b"], "a"), host("t/e:80", ["e"], "a")])) ?? "",
			/^t\/d:80: domain "b" is already taken by virtual host t\/b:80$/,
		);
		assert.deepEqual(hostNames(), [["t", ["e:80"], []]]);
		const dump = await (await fetch(`http://${server.adminAddress}/config_dump?resource=dynamic_route_configs`)).text();
		for (const name of ["b:80", "c:80", "e:80", "all"]) assert.match(dump, new RegExp(`"name": "${name}"`));
	});

	it("holds a virtual host back until its cluster is warm", async () => {
		const before = updates().length;
		await controlPlane.push("cds", [cluster("late")]);
		assert.equal(await controlPlane.push("vhds", [host("t/b:80", ["b"], "late")]), undefined);
		assert.ok(
			!updates()
				.slice(before)
				.some(({ virtualHosts }) => virtualHosts.length > 0),
		);
		await controlPlane.push("eds", [endpoints("late", 1)]);
		assert.deepEqual(
			updates()
				.at(-1)
				?.virtualHosts.map(({ upsert }) => upsert.map(({ name }) => name)),
			[["b:80"]],
		);
	});

	it("asks for the configurations of filters, and serves a listener once it has them or knows that there is none", async () => {
		const last = () => updates().at(-1);
		const listeners = () => updates().flatMap((update) => update.listeners.upsert.map(({ name }) => name));
		assert.equal(await controlPlane.push("lds", [listener("d", "r", [discovered("ext"), discovered("bad")])]), undefined);
		const asked = await controlPlane.seen(({ typeUrl }) => typeUrl === typeUrls.ecds);
		assert.deepEqual(asked.resourceNamesSubscribe, ["ext", "bad"]);
		assert.ok(!listeners().includes("d"), "the listener waits");
		const wrong = await controlPlane.push("ecds", [
			filterConfig("ext", csrf),
			filterConfig("bad", { typeUrl: "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua", value: new Uint8Array(0) }),
		]);
		assert.equal(wrong, "bad: filter bad of type envoy.extensions.filters.http.lua.v3.Lua is not implemented");
		assert.ok(listeners().includes("d"), "what is refused is not waited for");
		assert.deepEqual(
			last()?.extensions.upsert.map(({ name, http }) => [name, http?.kind]),
			[["ext", "csrf"]],
		);

		const before = listeners().length;
		const router = filterConfig("bad", packAny("envoy.extensions.filters.http.router.v3.Router", Router, Router.fromPartial({})));
		assert.equal(
			await controlPlane.push("ecds", [router]),
			`bad: Error: filter config has type URL envoy.extensions.filters.http.router.v3.Router but expect ${csrfType}.`,
		);
		assert.equal(await controlPlane.push("ecds", [filterConfig("bad", csrf)]), undefined);
		assert.deepEqual(
			last()?.extensions.upsert.map(({ name }) => name),
			["bad"],
		);
		assert.equal(await controlPlane.push("ecds", [], ["ext"]), undefined);
		assert.deepEqual(last()?.extensions.remove, ["ext"]);
		assert.equal(listeners().length, before, "the listener stays as it is");
		const stats = await (await fetch(`http://${server.adminAddress}/stats?filter=extension_config_discovery`)).text();
		assert.match(stats, /http_filter\.bad\.config_reload: 1/);
	});

	it("takes a listener whose filter has a configuration already, and forgets what nobody has any more", async () => {
		assert.equal(await controlPlane.push("lds", [listener("d2", "r", [discovered("bad")])]), undefined);
		assert.ok(updates().some(({ listeners }) => listeners.upsert.some(({ name }) => name === "d2")));
		await controlPlane.push("lds", [listener("d", "r"), listener("d2", "r")]);
		const gone = await controlPlane.seen(({ typeUrl, resourceNamesUnsubscribe }) => typeUrl === typeUrls.ecds && resourceNamesUnsubscribe.length > 0);
		assert.deepEqual(gone.resourceNamesUnsubscribe.toSorted(), ["bad", "ext"]);
		assert.deepEqual(updates().at(-1)?.extensions.remove, ["bad"]);
	});

	it("refuses a filter that may be what there is no filter for", async () => {
		const error = await controlPlane.push("lds", [listener("d3", "r", [discovered("lua", "envoy.extensions.filters.http.lua.v3.Lua")])]);
		assert.match(error ?? "", /^d3: .*http filter lua: no factory found for a required type URL envoy\.extensions\.filters\.http\.lua\.v3\.Lua/);
	});

	it("asks for clusters that somebody wants, and tells so once they are warm, or are not there", async () => {
		const [worker] = workers;
		const answers = () =>
			worker?.received.flatMap((message) => (message.kind === "answered" && message.what === "cluster" ? [`${message.what} ${message.names.join()}`] : []));
		const asks = ({ typeUrl, resourceNamesSubscribe }: DeltaDiscoveryRequest) => typeUrl === typeUrls.cds && resourceNamesSubscribe.length > 0;
		worker?.say({ kind: "want", what: "cluster", name: "wanted" });
		worker?.say({ kind: "want", what: "cluster", name: "wanted" });
		assert.deepEqual((await controlPlane.seen(asks)).resourceNamesSubscribe, ["wanted"]);
		assert.equal(await controlPlane.push("cds", [cluster("wanted")]), undefined);
		assert.deepEqual(answers(), [], "it has no endpoints yet");
		assert.equal(await controlPlane.push("eds", [endpoints("wanted", 80)]), undefined);
		assert.deepEqual(answers(), ["cluster wanted"]);

		worker?.say({ kind: "want", what: "cluster", name: "absent" });
		assert.deepEqual((await controlPlane.seen(asks)).resourceNamesSubscribe, ["absent"]);
		assert.equal(await controlPlane.push("cds", [], ["absent"]), undefined);
		const gone = await controlPlane.seen(({ typeUrl, resourceNamesUnsubscribe }) => typeUrl === typeUrls.cds && resourceNamesUnsubscribe.length > 0);
		assert.deepEqual(gone.resourceNamesUnsubscribe, ["absent"]);
		for (const name of ["", "*", "wanted"]) worker?.say({ kind: "want", what: "cluster", name });
		assert.deepEqual(answers()?.slice(1), ["cluster absent", "cluster ", "cluster *", "cluster wanted"]);
	});

	it("serves a cluster that has no endpoints at all", async () => {
		assert.equal(await controlPlane.push("cds", [cluster("empty")]), undefined);
		assert.ok(!updates().some(({ clusters }) => clusters.upsert.some(({ name }) => name === "empty")));
		assert.equal(await controlPlane.push("eds", [], ["empty"]), undefined);
		assert.ok(updates().some(({ clusters }) => clusters.upsert.some(({ name }) => name === "empty")));
	});

	it("asks for scopes and their tables, and takes a response of scopes as a whole", async () => {
		const [worker] = workers;
		const scopesSent = () =>
			updates().flatMap(({ scopes }) => [...scopes.upsert.map(({ name, key }) => `${name} ${key.join()}`), ...scopes.remove.map((name) => `-${name}`)]);
		const rdsNamed = (name: string) =>
			controlPlane.seen(({ typeUrl, resourceNamesSubscribe }) => typeUrl === typeUrls.rds && resourceNamesSubscribe.includes(name));
		assert.equal(await controlPlane.push("lds", [scopedListener("scoped")]), undefined);
		const asked = await controlPlane.seen(({ typeUrl }) => typeUrl === typeUrls.srds);
		assert.deepEqual(asked.resourceNamesSubscribe, []);
		assert.equal(await controlPlane.push("srds", [scope("one", "1", "s1"), scope("lazy", "2", "s2", true)]), undefined);
		assert.deepEqual((await rdsNamed("s1")).resourceNamesSubscribe, ["s1"], "the other one is fetched on demand");
		assert.deepEqual(scopesSent(), ["lazy 2"]);
		assert.equal(await controlPlane.push("rds", [routes("s1", "a")]), undefined);
		assert.deepEqual(scopesSent(), ["lazy 2", "one 1"]);
		assert.ok(updates().some(({ listeners }) => listeners.upsert.some(({ name }) => name === "scoped")));

		worker?.say({ kind: "want", what: "routes", name: "s2" });
		worker?.say({ kind: "want", what: "routes", name: "nobody names it" });
		assert.deepEqual((await rdsNamed("s2")).resourceNamesSubscribe, ["s2"]);
		assert.equal(await controlPlane.push("rds", [routes("s2", "a")]), undefined);
		const answers = worker?.received.flatMap((message) => (message.kind === "answered" && message.what === "routes" ? message.names : []));
		assert.deepEqual(answers, ["nobody names it", "s2"]);

		const refused = await controlPlane.push("srds", [scope("three", "3", "s1"), scope("twin", "1", "s1")]);
		assert.equal(refused, "twin: scope key conflict found, first scope is 'one', second scope is 'twin'\nthree: refused together with another scope");
		assert.deepEqual(scopesSent().length, 2);
		assert.equal(await controlPlane.push("srds", [scope("three", "1", "s1")], ["one"]), undefined, "a key moves with what had it");
		assert.deepEqual(scopesSent().slice(2), ["three 1", "-one"]);
		const stats = await (await fetch(`http://${server.adminAddress}/stats?filter=scoped_rds`)).text();
		for (const line of ["all_scopes: 2", "active_scopes: 2", "on_demand_scopes: 1", "update_rejected: 1", "update_success: 2"])
			assert.ok(stats.includes(`http.scoped.scoped_rds.s.${line}`), stats);
	});

	it("forgets scopes and their tables when no listener has scoped routes any more", async () => {
		await controlPlane.push("lds", [], ["scoped"]);
		const gone = await controlPlane.seen(({ typeUrl, resourceNamesUnsubscribe }) => typeUrl === typeUrls.srds && resourceNamesUnsubscribe.length > 0);
		assert.deepEqual(gone.resourceNamesUnsubscribe, ["*"]);
		const tables = await controlPlane.seen(({ typeUrl, resourceNamesUnsubscribe }) => typeUrl === typeUrls.rds && resourceNamesUnsubscribe.includes("s1"));
		assert.deepEqual(tables.resourceNamesUnsubscribe.toSorted(), ["s1", "s2"]);
		assert.deepEqual(
			updates()
				.flatMap(({ scopes }) => scopes.remove)
				.toSorted(),
			["lazy", "one", "three"],
		);
	});

	it("forgets the virtual hosts of a table that no listener names any more", async () => {
		await controlPlane.push("lds", [listener("l2", "r")]);
		const gone = await controlPlane.seen(({ typeUrl, resourceNamesUnsubscribe }) => typeUrl === typeUrls.vhds && resourceNamesUnsubscribe.length > 0);
		assert.deepEqual(gone.resourceNamesUnsubscribe, ["t"]);
		assert.deepEqual(updates().at(-1)?.routes.remove, ["t"]);
	});
});
