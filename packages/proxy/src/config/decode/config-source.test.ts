import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fromJson } from "@weft/xds";
import { ConfigSource } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import { keyOf, type ResourceSource } from "../resource-source.ts";
import { decodeConfigSource } from "./config-source.ts";
import { rootAt } from "./issues.ts";

const managementClusters = new Set(["xds"]);
const toCluster = (cluster_name: string, more: object = {}) => ({ envoy_grpc: { cluster_name }, ...more });
const api = (api_type: string, services: readonly object[] = [toCluster("xds")], more: object = {}) => ({
	api_config_source: { api_type, transport_api_version: "V3", grpc_services: services, ...more },
});
const google = (fields: object) => api("GRPC", [{ google_grpc: { target_uri: "localhost:1", stat_prefix: "s", ...fields } }]);

function decode(json: object, origin?: ResourceSource) {
	const at = rootAt("s");
	const source = ConfigSource.fromPartial(fromJson("envoy.config.core.v3.ConfigSource", json) as object);
	const value = decodeConfigSource(at, source, { readFile: () => Buffer.alloc(0), variable: () => undefined, managementClusters, ...(origin && { origin }) });
	return { value, errors: at.errors };
}

describe("where resources come from", () => {
	it("is ADS, a file or a stream, each with its own limit of waiting", () => {
		const [ads, file, stream] = [
			decode({ ads: {}, initial_fetch_timeout: "0s" }),
			decode({ path_config_source: { path: "/a", watched_directory: { path: "/b" } } }),
			decode({ ...api("DELTA_GRPC"), initial_fetch_timeout: "2s" }),
		];
		assert.deepEqual([ads.errors, file.errors, stream.errors], [[], [], []]);
		assert.deepEqual(ads.value, { kind: "ads", id: "", initialFetchTimeoutMs: 0 });
		assert.deepEqual({ ...file.value, id: "" }, { kind: "file", id: "", path: "/a", watchedFolder: "/b", initialFetchTimeoutMs: 15_000 });
		assert.ok(stream.value.kind === "stream");
		assert.deepEqual([stream.value.mode, stream.value.initialFetchTimeoutMs], ["delta", 2_000]);
	});

	it("tells sources apart by what they ask and how, not by how long they wait", () => {
		const id = (json: object) => decode(json).value.id;
		assert.equal(id(api("GRPC")), id({ ...api("GRPC"), initial_fetch_timeout: "1s" }));
		const others = [api("GRPC"), api("DELTA_GRPC"), api("GRPC", [toCluster("xds", { initial_metadata: [{ key: "k", value: "v" }] })]), google({})].map(id);
		assert.equal(new Set(others).size, others.length);
		const { value } = decode(api("GRPC"));
		assert.equal(keyOf({ name: "n", source: value }), `n@${value.id}`);
		assert.doesNotMatch(value.id, /\//);
		assert.equal(keyOf({ name: "n", source: decode({ ads: {} }).value }), "n");
	});

	it("has a rate of requests, where it says so", () => {
		const rate = (settings: object) => {
			const { value } = decode(api("GRPC", undefined, settings));
			return value.kind === "stream" && value.rate;
		};
		assert.equal(rate({}), undefined);
		assert.deepEqual(rate({ rate_limit_settings: {} }), { tokensMax: 100, tokensPerSecond: 10 });
		assert.deepEqual(rate({ rate_limit_settings: { max_tokens: 2, fill_rate: 0.5 } }), { tokensMax: 2, tokensPerSecond: 0.5 });
	});

	it("is with `self` the server that the resource itself came from", () => {
		const { value: origin } = decode(api("DELTA_GRPC"));
		assert.deepEqual(decode({ self: {}, initial_fetch_timeout: "1s" }, origin).value, { ...origin, initialFetchTimeoutMs: 1_000 });
		assert.match(decode({ self: {} }).errors.join(), /^s: Missing config source specifier/);
	});

	const refused: readonly (readonly [what: string, json: object, error: string])[] = [
		["REST", api("REST", [], { cluster_names: ["xds"] }), "s.apiConfigSource.apiType: REST is not implemented: use GRPC or DELTA_GRPC"],
		["aggregated streams", api("AGGREGATED_GRPC"), "s.apiConfigSource.apiType: Unsupported config source AGGREGATED_GRPC"],
		["aggregated delta streams", api("AGGREGATED_DELTA_GRPC"), "s.apiConfigSource.apiType: Unsupported config source AGGREGATED_DELTA_GRPC"],
		["no server", api("GRPC", []), "s.apiConfigSource.grpcServices: exactly one gRPC service must be named"],
		["two servers", api("GRPC", [toCluster("xds"), toCluster("xds")]), "s.apiConfigSource.grpcServices: exactly one gRPC service must be named"],
		[
			"a cluster that is not of the bootstrap",
			api("GRPC", [toCluster("nobody")]),
			"s.apiConfigSource.grpcServices[0].envoyGrpc.clusterName: envoy.config.core.v3.ApiConfigSource must have a statically defined non-EDS cluster: 'nobody' does not exist, was added via api, or is an EDS cluster",
		],
		[
			"metadata of requests, of which there is none",
			api("GRPC", [toCluster("xds", { initial_metadata: [{ key: "k", value: "%REQ(x)%" }] })]),
			"s.apiConfigSource.grpcServices[0].initialMetadata[0]: command operators in initial_metadata are not implemented",
		],
		[
			"credentials of calls",
			google({ call_credentials: [{ access_token: "t" }] }),
			"s.apiConfigSource.grpcServices[0].googleGrpc.callCredentials: call_credentials is not implemented",
		],
		[
			"a client's certificate for gRPC's own client",
			google({ channel_credentials: { ssl_credentials: { cert_chain: { inline_string: "c" } } } }),
			"s.apiConfigSource.grpcServices[0].googleGrpc.channelCredentials.sslCredentials.certChain: cert_chain is not implemented",
		],
		["no address", google({ target_uri: "nowhere" }), 's.apiConfigSource.grpcServices[0].googleGrpc.targetUri: expected HOST:PORT, got "nowhere"'],
	];
	for (const [what, json, error] of refused)
		it(`refuses by name: ${what}`, () => assert.ok(decode(json).errors.includes(error), decode(json).errors.join("\n")));
});
