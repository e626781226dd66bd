import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromJson, type Json, registerMessages, toJson } from "./index.ts";
import { mergeMessages } from "./merge.ts";
import { allMessages } from "./generated/registry.ts";

registerMessages(allMessages);
const cluster = "envoy.config.cluster.v3.Cluster";
const options = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

const cases: readonly (readonly [title: string, message: Json, patch: Json, expected: Json])[] = [
	["what the patch sets counts", { name: "a", connectTimeout: "1s" }, { name: "b" }, { name: "b", connectTimeout: "1s" }],
	["a default value sets nothing", { respectDnsTtl: true }, { respectDnsTtl: false }, { respectDnsTtl: true }],
	["durations are replaced whole", { connectTimeout: "1.5s" }, { connectTimeout: "2s" }, { connectTimeout: "2s" }],
	["wrapped numbers are set to 0", { perConnectionBufferLimitBytes: 5 }, { perConnectionBufferLimitBytes: 0 }, { perConnectionBufferLimitBytes: 0 }],
	[
		"messages are merged",
		{ outlierDetection: { consecutive5xx: 1, interval: "1s" } },
		{ outlierDetection: { consecutive5xx: 2 } },
		{ outlierDetection: { consecutive5xx: 2, interval: "1s" } },
	],
	[
		"lists are appended",
		{ circuitBreakers: { thresholds: [{ maxRequests: 1 }] } },
		{ circuitBreakers: { thresholds: [{ maxRequests: 2 }] } },
		{ circuitBreakers: { thresholds: [{ maxRequests: 1 }, { maxRequests: 2 }] } },
	],
	["of a oneof one member is left", { type: "EDS" }, { clusterType: { name: "a" } }, { clusterType: { name: "a" } }],
	[
		"entries of a struct are replaced",
		{ metadata: { filterMetadata: { a: { x: 1 } } } },
		{ metadata: { filterMetadata: { b: { y: 2 } } } },
		{ metadata: { filterMetadata: { a: { x: 1 }, b: { y: 2 } } } },
	],
	[
		"entries of a map are replaced, packed messages too",
		{ typedExtensionProtocolOptions: { [httpOptions]: { "@type": options, commonHttpProtocolOptions: { idleTimeout: "1s" } } } },
		{ typedExtensionProtocolOptions: { [httpOptions]: { "@type": options, commonHttpProtocolOptions: { maxRequestsPerConnection: 3 } } } },
		{ typedExtensionProtocolOptions: { [httpOptions]: { "@type": options, commonHttpProtocolOptions: { maxRequestsPerConnection: 3 } } } },
	],
	[
		"a packed message of another type replaces",
		{ transportSocket: { name: "a", typedConfig: { "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" } } },
		{ transportSocket: { name: "b", typedConfig: { "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", sni: "s" } } },
		{ transportSocket: { name: "b", typedConfig: { "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", sni: "s" } } },
	],
];

suite("messages are merged as protobuf merges them", () => {
	for (const [title, message, patch, expected] of cases) {
		test(title, () => {
			const before = fromJson(cluster, message);
			const text = JSON.stringify(toJson(cluster, before));
			assert.deepEqual(toJson(cluster, mergeMessages(cluster, before, fromJson(cluster, patch))), expected);
			assert.equal(JSON.stringify(toJson(cluster, before)), text, "the message itself is left alone");
		});
	}

	test("but lists are replaced where that is asked for", () => {
		const lists = (max: number) => ({ circuitBreakers: { thresholds: [{ maxRequests: max }] } });
		const merged = mergeMessages(cluster, fromJson(cluster, lists(1)), fromJson(cluster, lists(2)), { replaceLists: true });
		assert.deepEqual(toJson(cluster, merged), lists(2));
	});
});
