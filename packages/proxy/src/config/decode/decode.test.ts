import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { fromJson, packAny } from "@weft/xds";
import type { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import type { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { decodeAssignment, decodeCluster, decodeRouteTable, decodeSecret, registerImplemented } from "./index.ts";

const environment = {
	readFile: (path: string) => {
		if (path === "missing") throw new Error("no such file");
		return Buffer.from(`text of ${path}`);
	},
	variable: () => undefined,
};

const cluster = (json: object) => decodeCluster(fromJson("envoy.config.cluster.v3.Cluster", { name: "a", ...json }) as Cluster, environment);
const table = (...routes: object[]) =>
	decodeRouteTable(
		fromJson("envoy.config.route.v3.RouteConfiguration", { virtualHosts: [{ name: "v", domains: ["*"], routes }] }) as RouteConfiguration,
		environment,
	);
const tls = (context: object) => ({
	name: "tls",
	typedConfig: { "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", ...context },
});

before(registerImplemented);

describe("a cluster", () => {
	it("has Envoy's defaults", () => {
		const value = cluster({}).value?.cluster;
		assert.equal(value?.connectTimeoutMs, 5000);
		assert.deepEqual(value?.lb, { kind: "roundRobin", slowStart: undefined });
		assert.deepEqual(value?.breakers.default, {
			connectionsMax: 1024,
			pendingRequestsMax: 1024,
			requestsMax: 1024,
			perHostConnectionsMax: undefined,
			retriesMax: 3,
			retryBudget: undefined,
			tracksRemaining: false,
		});
		assert.deepEqual([value?.panicThresholdPercent, value?.overprovisioningFactor, value?.idleTimeoutMs], [50, 140, 3_600_000]);
	});

	it("reads both spellings of the load balancer the same", () => {
		const config = { "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.maglev.v3.Maglev", tableSize: 251 };
		const newer = cluster({
			lbPolicy: "LOAD_BALANCING_POLICY_CONFIG",
			loadBalancingPolicy: { policies: [{ typedExtensionConfig: { name: "m", typedConfig: config } }] },
		});
		const older = cluster({ lbPolicy: "MAGLEV", maglevLbConfig: { tableSize: 251 } });
		assert.deepEqual(newer.value?.cluster.lb, older.value?.cluster.lb);
		assert.deepEqual(older.value?.cluster.lb, { kind: "maglev", tableSize: 251, useHostname: false, balanceFactor: 0 });
	});

	it("reads what is to be tracked of requests, in both spellings, and refuses what is not there", () => {
		assert.deepEqual(cluster({ trackTimeoutBudgets: true }).value?.cluster.tracking, { timeoutBudgets: true, sizes: false });
		assert.deepEqual(cluster({ trackClusterStats: { timeoutBudgets: true, requestResponseSizes: true } }).value?.cluster.tracking, {
			timeoutBudgets: true,
			sizes: true,
		});
		assert.equal(cluster({ trackClusterStats: {} }).value?.cluster.tracking, undefined);
		assert.deepEqual(cluster({ trackClusterStats: { perEndpointStats: true } }).errors, ["trackClusterStats: per_endpoint_stats is not implemented"]);
	});

	it("sends sessions back to draining hosts where the cluster says so", () => {
		const sent = (statuses: readonly string[]) => cluster({ commonLbConfig: { overrideHostStatus: { statuses } } }).value?.cluster.sessionsOutliveDraining;
		assert.equal(sent(["HEALTHY", "DRAINING"]), true);
		assert.equal(sent(["HEALTHY"]), undefined);
	});

	it("reads zone-aware routing wherever it stands", () => {
		const zones = { routingEnabled: { value: 50 }, failTrafficOnPanic: true };
		const wanted = { routingEnabledPercent: 50, minClusterSize: 6, failsOnPanic: true, localZoneMin: undefined, basis: "hosts" };
		const config = (more: object) => ({
			"@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin",
			localityLbConfig: { zoneAwareLbConfig: { ...zones, ...more } },
		});
		const newer = (more: object) =>
			cluster({
				lbPolicy: "LOAD_BALANCING_POLICY_CONFIG",
				loadBalancingPolicy: { policies: [{ typedExtensionConfig: { name: "r", typedConfig: config(more) } }] },
			});
		assert.deepEqual(cluster({ commonLbConfig: { zoneAwareLbConfig: zones } }).value?.cluster.zoneAware, wanted);
		assert.deepEqual(newer({}).value?.cluster.zoneAware, wanted);
		const forced = newer({ forceLocalZone: { minSize: 3 }, minClusterSize: "2", localityBasis: "HEALTHY_HOSTS_WEIGHT" });
		assert.deepEqual(forced.value?.cluster.zoneAware, { ...wanted, minClusterSize: 2, localZoneMin: 3, basis: "weight" });
		assert.equal(cluster({}).value?.cluster.zoneAware, undefined);
	});

	const checkTimes = { timeout: "1s", interval: "1s", unhealthyThreshold: 1, healthyThreshold: 1 };
	const endpointAt = (address: string) => ({ endpoint: { address: { socketAddress: { address, portValue: 80 } } } });
	const tcpCheck = { ...checkTimes, tcpHealthCheck: {} };
	const refused = [
		[
			"a Maglev table that is no prime",
			{ lbPolicy: "MAGLEV", maglevLbConfig: { tableSize: 250 } },
			"The table size of maglev must be a prime number up to 5000011, got 250",
		],
		["two active health checks", { healthChecks: [tcpCheck, tcpCheck] }, "healthChecks: multiple health checks not supported"],
		[
			"a health check of a custom kind",
			{ healthChecks: [{ ...checkTimes, customHealthCheck: { name: "x.y" } }] },
			"healthChecks[0]: custom health check x.y is not implemented",
		],
		[
			"a payload that is no hexadecimal",
			{ healthChecks: [{ ...checkTimes, tcpHealthCheck: { send: { text: "0g" } } }] },
			"healthChecks[0].tcpHealthCheck.send: invalid hex string '0g'",
		],
		[
			"a range of statuses that ends before it starts",
			{ healthChecks: [{ ...checkTimes, httpHealthCheck: { path: "/", expectedStatuses: [{ start: "300", end: "200" }] } }] },
			"healthChecks[0].httpHealthCheck.expectedStatuses[0]: Invalid http status range: expecting start < end, start >= 100 and end <= 600, but found start=300 and end=200",
		],
		[
			"subset keys that fall back on others",
			{ lbSubsetConfig: { subsetSelectors: [{ keys: ["a"], fallbackPolicy: "KEYS_SUBSET", fallbackKeysSubset: ["b"] }] } },
			"lbSubsetConfig.subsetSelectors[0]: fallback_keys_subset must be a non-empty proper subset of keys",
		],
		[
			"a limit on connection pools",
			{ circuitBreakers: { thresholds: [{ maxConnectionPools: 5 }] } },
			"circuitBreakers.thresholds[0].maxConnectionPools: max_connection_pools is not implemented",
		],
		[
			"a name to resolve that has two endpoints",
			{ type: "LOGICAL_DNS", loadAssignment: { clusterName: "a", endpoints: [{ lbEndpoints: ["a", "b"].map(endpointAt) }] } },
			"loadAssignment: LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint",
		],
		[
			"a name to resolve that has two localities",
			{ type: "LOGICAL_DNS", loadAssignment: { clusterName: "a", endpoints: ["a", "b"].map((name) => ({ lbEndpoints: [endpointAt(name)] })) } },
			"loadAssignment: LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint",
		],
		[
			"a source address that is a name",
			{ upstreamBindConfig: { sourceAddress: { address: "127.0.0.1", portValue: 0 }, extraSourceAddresses: [{ address: { address: "a", portValue: 0 } }] } },
			"upstreamBindConfig: malformed IP address: a",
		],
		["a match that leads to no socket", { transportSocketMatches: [{ name: "m" }] }, "transportSocketMatches[0].transportSocket: transport_socket is missing"],
		["EDS without a source", { type: "EDS" }, "cannot create an EDS cluster without an EDS config"],
		[
			"original destination with a balancer of its own",
			{ type: "ORIGINAL_DST" },
			"cluster: LB policy is not valid for Cluster type ORIGINAL_DST. Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'",
		],
		[
			"names to check without anything to trust",
			{ transportSocket: tls({ commonTlsContext: { validationContext: { matchTypedSubjectAltNames: [{ sanType: "DNS", matcher: { exact: "a" } }] } } }) },
			"transportSocket.commonTlsContext.validationContext: SAN-based verification of peer certificates without trusted CA is insecure and not allowed",
		],
		[
			"a root file that is not there",
			{ transportSocket: tls({ commonTlsContext: { validationContext: { trustedCa: { filename: "missing" } } } }) },
			"transportSocket.commonTlsContext.validationContext.trustedCa: unable to read file missing: no such file",
		],
	] as const;
	for (const [name, json, error] of refused) {
		it(`refuses ${name}`, () => assert.deepEqual(cluster(json), { value: undefined, errors: [error] }));
	}
});

describe("routes", () => {
	it("time out after 15 s unless they say otherwise", () => {
		const action = table({ match: { prefix: "/" }, route: { cluster: "a" } }).value?.virtualHosts[0]?.routes[0]?.action;
		assert.equal(action?.kind === "route" && action.timeoutMs, 15_000);
	});

	it("say all that is wrong with them, each with its place", () => {
		const { errors } = table(
			{ match: { safeRegex: { regex: "(" } }, route: { cluster: "a" } },
			{ match: { prefix: "/" }, route: { weightedClusters: { clusters: [{ name: "a", weight: 0 }] } } },
			{ match: { prefix: "/" }, route: { cluster: "a", internalRedirectPolicy: { responseHeadersToCopy: ["Host"] } } },
		);
		assert.equal(errors.length, 3);
		assert.match(errors[0] ?? "", /^virtualHosts\[0\]\.routes\[0\]\.match\.safeRegex: invalid regex "\(": /);
		assert.match(errors[1] ?? "", /^virtualHosts\[0\]\.routes\[1\]\.route\.weightedClusters: Sum of weights/);
	});

	it("may stand in virtual hosts of the same name", () => {
		const hosts = ["a.example", "b.example"].map((domain) => ({ name: "v", domains: [domain] }));
		assert.deepEqual(
			decodeRouteTable(fromJson("envoy.config.route.v3.RouteConfiguration", { virtualHosts: hosts }) as RouteConfiguration, environment).errors,
			[],
		);
	});

	it("refuse a domain that two virtual hosts claim", () => {
		const hosts = ["x", "y"].map((name) => ({ name, domains: ["a.example"] }));
		const { errors } = decodeRouteTable(fromJson("envoy.config.route.v3.RouteConfiguration", { virtualHosts: hosts }) as RouteConfiguration, environment);
		assert.deepEqual(errors, ["Only unique values for domains are permitted. Duplicate entry of domain a.example"]);
	});
});

describe("endpoints", () => {
	it("are sorted by priority and keep what the mesh says of them", () => {
		const endpoint = (address: string, extra: object = {}) => ({ endpoint: { address: { socketAddress: { address, portValue: 1 } } }, ...extra });
		const json = {
			clusterName: "a",
			endpoints: [
				{ priority: 1, lbEndpoints: [endpoint("10.0.0.2", { healthStatus: "DRAINING" })] },
				{
					lbEndpoints: [
						endpoint("10.0.0.1", {
							loadBalancingWeight: 3,
							metadata: { filterMetadata: { "envoy.transport_socket_match": { tlsMode: "istio" }, istio: { workload: "w;n;c;r;k" } } },
						}),
					],
				},
			],
		};
		const { value } = decodeAssignment(fromJson("envoy.config.endpoint.v3.ClusterLoadAssignment", json) as ClusterLoadAssignment);
		const first = value?.priorities[0]?.[0]?.hosts[0];
		assert.deepEqual([first?.weight, first?.transportMatch, first?.istioWorkload], [3, { tlsMode: "istio" }, "w;n;c;r;k"]);
		assert.equal(value?.priorities[1]?.[0]?.hosts[0]?.health, "draining");
	});
});

describe("a secret", () => {
	it("reads its files", () => {
		const message = Secret.fromPartial({ name: "s", tlsCertificate: { certificateChain: { filename: "chain" }, privateKey: { filename: "key" } } });
		assert.deepEqual(decodeSecret(message, environment).value?.certificate, { certChainPem: "text of chain", privateKeyPem: "text of key" });
	});

	it("that holds no certificate is refused", () => {
		const message = Secret.fromPartial({ name: "s", genericSecret: { secret: { inlineString: "x" } } });
		assert.deepEqual(decodeSecret(message, environment).errors, ["only tls_certificate and validation_context secrets are implemented"]);
	});
});

it("a type that is not implemented is named", () => {
	const typedConfig = packAny("a.b.C", Secret, Secret.fromPartial({}));
	const message = fromJson("envoy.config.cluster.v3.Cluster", { name: "a" }) as Cluster;
	const { errors } = decodeCluster({ ...message, transportSocket: { name: "x", typedConfig } }, environment);
	assert.deepEqual(errors, ["transportSocket: transport socket x of type a.b.C is not implemented"]);
});

describe("outlier detection", () => {
	it("is refused where ejections would be shorter at most than to begin with", () => {
		assert.deepEqual(cluster({ outlierDetection: { baseEjectionTime: "10s", maxEjectionTime: "1s" } }).errors, [
			"outlierDetection.maxEjectionTime: max_ejection_time cannot be smaller than base_ejection_time",
		]);
	});
});
