import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { registerImplemented } from "../decode/index.ts";
import { decodeBootstrap } from "./decode-bootstrap.ts";
import { loadBootstrap } from "./load.ts";

const testdata = join(import.meta.dirname, "../../../testdata/bootstrap");
const environment = { readFile: () => Buffer.from("file"), variable: () => undefined };

function load(name: string, strict = false) {
	return loadBootstrap([{ name, text: readFileSync(join(testdata, name), "utf8") }], { strict });
}

function loadText(text: string) {
	return loadBootstrap([{ name: "envoy.yaml", text }], { strict: false });
}

describe("bootstrap files", () => {
	before(registerImplemented);

	it("reads an ordinary v3 file without a warning", () => {
		const { bootstrap, errors, warnings } = load("static-v3.yaml", true);
		assert.deepEqual([errors, warnings], [[], []]);
		assert.ok(bootstrap);
		const { value } = decodeBootstrap(bootstrap, environment);
		assert.equal(value?.listeners[0]?.value.name, "web");
		assert.equal(value?.clusters[0]?.value.dns?.refreshMs, 5000);
	});

	it("reads a v2 tutorial as v3, one warning a line", () => {
		const { bootstrap, errors, warnings } = load("static-v2.yaml");
		assert.deepEqual(errors, []);
		assert.deepEqual(
			warnings.map((warning) => warning.replace(/^static-v2\.yaml:(\d+):\d+: (.*) is not what Envoy accepts: write .*$/, "$1 $2")).sort(),
			[
				"12 config of envoy.http_connection_manager",
				"21 host_rewrite",
				"23 envoy.router without typed_config",
				"27 type: STATIC with the host name app.example",
				"28 hosts",
				"30 tls_context",
			].sort(),
		);
		assert.ok(bootstrap);
		const { value } = decodeBootstrap(bootstrap, environment);
		const cluster = value?.clusters[0]?.value;
		assert.equal(cluster?.cluster.kind, "strictDns");
		assert.equal(cluster?.cluster.transport.kind, "tls");
		assert.equal(cluster?.cluster.connectTimeoutMs, 250);
	});

	it("refuses the same file when strict, and says what to write", () => {
		const { bootstrap, errors } = load("static-v2.yaml", true);
		assert.equal(bootstrap, undefined);
		assert.ok(errors.some((error) => error.endsWith("host_rewrite is not what Envoy accepts: write host_rewrite_literal")));
	});

	const mistakes = [
		["an unknown field", "node:\n  idd: a\n", 'envoy.yaml:2:3: node.idd: envoy.config.core.v3.Node has no field "idd"'],
		[
			"a wrong type",
			"static_resources:\n  clusters:\n  - name: a\n    connect_timeout: 5\n",
			'envoy.yaml:4:5: static_resources.clusters[0].connect_timeout: expected a duration such as "1.5s", got 5',
		],
		[
			"a violated constraint",
			"static_resources:\n  clusters:\n  - name: a\n    connect_timeout: 0s\n",
			"envoy.yaml:4:5: ClusterValidationError.staticResources.clusters[0].connectTimeout: value must be greater than 0s",
		],
		[
			"an extension that is not there",
			'static_resources:\n  listeners:\n  - filter_chains:\n    - filters:\n      - name: x\n        typed_config: { "@type": type.googleapis.com/a.B }\n',
			"envoy.yaml:6:9: static_resources.listeners[0].filter_chains[0].filters[0].typed_config: unknown type type.googleapis.com/a.B",
		],
		["broken YAML", "a: [1\n", "envoy.yaml:2:1: Flow sequence in block collection must be sufficiently indented and end with a ]"],
		["an empty file", "", "envoy.yaml: the file is empty"],
	] as const;
	for (const [name, text, expected] of mistakes) {
		it(`names the place of ${name}`, () => assert.deepEqual(loadText(text).errors.slice(0, 1), [expected]));
	}

	it("names the place of an alias that stands for nothing, and of too many", () => {
		const dangling = "Unresolved alias (the anchor must be set before the alias): nobody";
		assert.deepEqual(loadText("node: &n { id: a }\nadmin: *n\nx: *nobody\n").errors, [`envoy.yaml:3:4: ${dangling}`]);
		const tenfold = (name: string, of: string) => `${name}: &${name} [${Array(10).fill(of).join(", ")}]\n`;
		const [error] = loadText(tenfold("a", "x") + tenfold("b", "*a") + tenfold("c", "*b") + tenfold("d", "*c") + tenfold("e", "*d")).errors;
		assert.equal(error, "envoy.yaml:2:8: Excessive alias count indicates a resource exhaustion attack");
	});

	it("merges --config-yaml over the file: lists are joined, scalars replaced", () => {
		const texts = [
			{ name: "a", text: "node: { id: one, cluster: c }\nstatic_resources: { clusters: [ { name: a } ] }\n" },
			{ name: "b", text: "node: { id: two }\nstatic_resources: { clusters: [ { name: b } ] }\n" },
		];
		const { bootstrap } = loadBootstrap(texts, { strict: false });
		assert.deepEqual([bootstrap?.node?.id, bootstrap?.node?.cluster], ["two", "c"]);
		assert.deepEqual(
			bootstrap?.staticResources?.clusters.map(({ name }) => name),
			["a", "b"],
		);
	});

	it("takes the runtime of the v2 days for the layers that it stood for", () => {
		const runtime = "runtime: { symlink_root: /srv/current, subdirectory: envoy, override_subdirectory: override, base: { a: 1 } }\n";
		const { bootstrap, warnings } = loadText(`node: { id: n, cluster: service }\n${runtime}`);
		assert.ok(bootstrap);
		assert.equal(warnings.length, 1);
		const { errors, value } = decodeBootstrap(bootstrap, environment);
		assert.deepEqual(errors, []);
		assert.deepEqual(
			value?.runtime.map((layer) => [layer.name, layer.kind, layer.kind === "disk" ? layer.folder : ""]),
			[
				["base", "static", ""],
				["root", "disk", "/srv/current/envoy"],
				["override", "disk", "/srv/current/override/service"],
				["admin", "admin", ""],
			],
		);
	});

	it("wants the local cluster among its own, and names what has no effect", () => {
		const decode = (text: string) => {
			const { bootstrap } = loadText(text);
			assert.ok(bootstrap);
			return decodeBootstrap(bootstrap, environment);
		};
		const absent = decode("cluster_manager: { local_cluster_name: self }\n");
		assert.deepEqual(absent.errors, ["clusterManager: local cluster 'self' must be defined"]);
		const there = decode(
			"cluster_manager: { local_cluster_name: self, enable_deferred_cluster_creation: true }\nstatic_resources: { clusters: [ { name: self, connect_timeout: 1s } ] }\n",
		);
		assert.deepEqual([there.errors, there.value?.localCluster], [[], "self"]);
		assert.deepEqual(there.warnings, ["these bootstrap fields have no effect here: clusterManager.enableDeferredClusterCreation"]);
	});

	it("reads how statistics are named and where they go, and says what it cannot", () => {
		const decode = (fields: object) => {
			const { bootstrap, errors } = loadText(JSON.stringify({ static_resources: { clusters: [{ name: "statsd", connect_timeout: "1s" }] }, ...fields }));
			assert.ok(bootstrap, errors.join());
			return decodeBootstrap(bootstrap, environment);
		};
		const sink = (type: string, config: object) => ({
			stats_sinks: [{ name: "s", typed_config: { "@type": `type.googleapis.com/envoy.config.metrics.v3.${type}`, ...config } }],
		});
		const address = { socket_address: { address: "127.0.0.1", port_value: 8125 } };
		assert.deepEqual(decode({ stats_flush_interval: "2s", ...sink("StatsdSink", { tcp_cluster_name: "statsd" }) }).value?.stats, {
			config: { tags: [], defaultTags: "all", matcher: { kind: "all" }, histogramBounds: [] },
			sinks: [{ kind: "statsd", prefix: "envoy", datagramBytesMax: 1432, target: { kind: "tcp", cluster: "statsd" } }],
			flushMs: 2000,
		});
		assert.deepEqual(decode(sink("DogStatsdSink", { address, max_bytes_per_datagram: 500, prefix: "p" })).value?.stats.sinks, [
			{ kind: "dogStatsd", prefix: "p", datagramBytesMax: 500, target: { kind: "udp", address: { kind: "ip", address: "127.0.0.1", port: 8125 } } },
		]);
		const refused: readonly (readonly [object, RegExp])[] = [
			[{ stats_flush_interval: "2s", stats_flush_on_admin: true }, /Only one of stats_flush_interval or stats_flush_on_admin should be set!/],
			[sink("StatsdSink", { tcp_cluster_name: "absent" }), /unknown cluster 'absent'/],
			[sink("StatsdSink", { address: { socket_address: { address: "statsd.example", port_value: 1 } } }), /statsd over UDP wants an IP address/],
			[{ stats_config: { stats_tags: [{ tag_name: "envoy.bogus" }] } }, /No regex specified for tag specifier and no default regex for name: 'envoy.bogus'/],
			[{ stats_config: { stats_tags: [{ tag_name: "a", regex: "(" }] } }, /invalid regular expression/],
		];
		for (const [fields, message] of refused) assert.match(decode(fields).errors.join(), message);
	});

	it("reads the overload manager, and says what it cannot", () => {
		const decode = (manager: object) => {
			const { bootstrap, errors } = loadText(JSON.stringify({ overload_manager: manager }));
			assert.ok(bootstrap, errors.join());
			return decodeBootstrap(bootstrap, environment);
		};
		const type = "type.googleapis.com/envoy.extensions.resource_monitors";
		const heap = { name: "heap", typed_config: { "@type": `${type}.fixed_heap.v3.FixedHeapConfig`, max_heap_size_bytes: "1000" } };
		const action = (name: string, more: object = {}) => ({
			name: `envoy.overload_actions.${name}`,
			triggers: [{ name: "heap", threshold: { value: 0.9 } }],
			...more,
		});
		assert.deepEqual(decode({ resource_monitors: [heap], actions: [action("shrink_heap")] }).value?.overload, {
			refreshMs: 1000,
			monitors: [{ kind: "fixedHeap", name: "heap", bytesMax: 1000 }],
			actions: [{ name: "shrink_heap", triggers: [{ resource: "heap", scaling: 0.9, saturation: 0.9 }], timers: [] }],
			shedPoints: [],
			connectionsMax: undefined,
		});
		const refused: readonly (readonly [object, RegExp])[] = [
			[
				{ resource_monitors: [heap], actions: [action("reset_high_memory_stream")] },
				/overload action envoy.overload_actions.reset_high_memory_stream is not implemented/,
			],
			[
				{ resource_monitors: [heap], actions: [action("shrink_heap", { triggers: [{ name: "x", threshold: { value: 1 } }] })] },
				/Unknown trigger resource x for overload action/,
			],
			[{ resource_monitors: [heap, heap] }, /Duplicate resource monitor heap/],
			[{ resource_monitors: [heap], actions: [action("reduce_timeouts")] }, /reduce_timeouts has no typed_config/],
			[
				{
					resource_monitors: [heap],
					actions: [action("shrink_heap", { triggers: [{ name: "heap", scaled: { scaling_threshold: 0.5, saturation_threshold: 0.5 } }] })],
				},
				/scaling_threshold must be less than saturation_threshold/,
			],
			[
				{ resource_monitors: [heap], loadshed_points: [{ name: "p", triggers: [{ name: "heap", threshold: { value: 1 } }] }] },
				/load shed point p is not implemented/,
			],
		];
		for (const [manager, message] of refused) assert.match(decode(manager).errors.join(), message);
	});
});
