import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { decodeYaml } from "@weft/galley";
import type { Json } from "@weft/xds";
import { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import { buildPush } from "../../model/build-push.ts";
import { compileEnvoyFilter } from "../../model/envoy-filters.ts";
import { decodeNode } from "../../model/node.ts";
import { objectChecks } from "../../model/object-checks.ts";
import { type OfflineResources, translateAll } from "../offline.ts";
import { resourceView } from "../resource-view.ts";
import { createTestMesh } from "../routes/test-mesh.ts";

const mesh = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: default}
spec: {clusterIP: 10.96.0.2, selector: {app: db}, ports: [{name: tcp, port: 5432}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: default, labels: {app: web}}
spec: {containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}]}
`;

const filter = (patches: string, rest = "", metadata = "name: e, namespace: default") =>
	`---\napiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {${metadata}}\nspec: {${rest}configPatches: [${patches}]}\n`;

function proxyOf(yaml: string, metadata: Readonly<Record<string, unknown>> = {}, kind = "sidecar") {
	const test = createTestMesh();
	test.apply(mesh + yaml);
	const push = buildPush({ snapshot: test.store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
	const node = {
		id: `${kind}~10.0.0.1~web-1.default~default.svc.cluster.local`,
		metadata: { NAMESPACE: "default", ISTIO_VERSION: "1.30.3", INSTANCE_IPS: "10.0.0.1", ...metadata },
	};
	return { push, node: decodeNode(node, push) };
}

function resourcesOf(yaml: string, metadata: Readonly<Record<string, unknown>> = {}): OfflineResources {
	const { push, node } = proxyOf(yaml, metadata);
	return translateAll(push, node);
}

type Any = Readonly<Record<string, unknown>>;
const named = (list: readonly Json[], name: string) => (list as readonly Any[]).find((resource) => resource["name"] === name);

/** Everything of that name anywhere inside, in order. */
function all(value: unknown, key: string): readonly unknown[] {
	if (Array.isArray(value)) return value.flatMap((item) => all(item, key));
	if (typeof value !== "object" || value === null) return [];
	return Object.entries(value).flatMap(([name, inner]) => [...(name === key ? [inner] : []), ...all(inner, key)]);
}

/** Names of the HTTP filters of each connection manager of a listener, the distinct ones. */
function httpFilters(resources: OfflineResources, listener: string): readonly string[] {
	const chains = all(named(resources.lds, listener), "httpFilters") as readonly (readonly { readonly name: string }[])[];
	return [...new Set(chains.map((chain) => chain.map(({ name }) => name.replace(/^envoy\.filters\.http\./, "")).join(" ")))];
}

const lua = (name: string) =>
	`{name: ${name}, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, default_source_code: {inline_string: "--"}}}`;
const manager = "envoy.filters.network.http_connection_manager";
const http = (operation: string, sub: string | undefined, value: string, context = "SIDECAR_OUTBOUND", rest = "") =>
	`{applyTo: HTTP_FILTER, match: {context: ${context}, listener: {filterChain: {filter: {name: ${manager}${sub ? `, subFilter: {name: ${sub}}` : ""}}}}}, patch: {operation: ${operation}, value: ${value}${rest}}}`;
const plain = "istio.metadata_exchange grpc_stats istio.alpn fault cors router";

const httpCases: readonly (readonly [title: string, patches: string, expected: string])[] = [
	["nothing", http("INSERT_BEFORE", "envoy.filters.http.gone", lua("l")), plain],
	["INSERT_FIRST", http("INSERT_FIRST", undefined, lua("l")), `l ${plain}`],
	["INSERT_BEFORE a filter", http("INSERT_BEFORE", "envoy.filters.http.cors", lua("l")), plain.replace("cors", "l cors")],
	["INSERT_BEFORE a filter by its old name is nothing", http("INSERT_BEFORE", "envoy.cors", lua("l")), plain],
	["INSERT_BEFORE nothing in particular", http("INSERT_BEFORE", undefined, lua("l")), `l ${plain}`],
	["INSERT_AFTER a filter", http("INSERT_AFTER", "envoy.filters.http.cors", lua("l")), plain.replace("cors", "cors l")],
	["ADD", http("ADD", undefined, lua("l")), `${plain} l`],
	["ADD before the class of statistics, where there is none", http("ADD", undefined, lua("l"), "SIDECAR_OUTBOUND", ", filterClass: STATS"), `l ${plain}`],
	["REMOVE a filter", http("REMOVE", "envoy.filters.http.fault", "{}"), plain.replace("fault ", "")],
	["REPLACE a filter", http("REPLACE", "envoy.filters.http.fault", lua("l")), plain.replace("fault", "l")],
	[
		"two patches in their order",
		`${http("INSERT_BEFORE", "envoy.filters.http.cors", lua("a"))}, ${http("INSERT_AFTER", "a", lua("b"))}`,
		plain.replace("cors", "a b cors"),
	],
	["a patch of the other direction", http("INSERT_FIRST", undefined, lua("l"), "SIDECAR_INBOUND"), plain],
	["a patch of a gateway", http("INSERT_FIRST", undefined, lua("l"), "GATEWAY"), plain],
	["a patch of any context", http("INSERT_FIRST", undefined, lua("l"), "ANY"), `l ${plain}`],
];

suite("HTTP filters after", () => {
	for (const [title, patches, expected] of httpCases) {
		test(title, () => assert.deepEqual(httpFilters(resourcesOf(filter(patches)), "0.0.0.0_80"), [expected]));
	}
});

const selection: readonly (readonly [title: string, yaml: string, isApplied: boolean])[] = [
	["of its own labels", filter(http("INSERT_FIRST", undefined, lua("l")), "workloadSelector: {labels: {app: web}}, "), true],
	["of other labels", filter(http("INSERT_FIRST", undefined, lua("l")), "workloadSelector: {labels: {app: db}}, "), false],
	["of another namespace", filter(http("INSERT_FIRST", undefined, lua("l")), "", "name: e, namespace: other"), false],
	["of the root namespace", filter(http("INSERT_FIRST", undefined, lua("l")), "", "name: e, namespace: istio-system"), true],
	["of its version", filter(http("INSERT_FIRST", undefined, lua("l")).replace("listener:", "proxy: {proxyVersion: '^1\\.30.*'}, listener:")), true],
	["of another version", filter(http("INSERT_FIRST", undefined, lua("l")).replace("listener:", "proxy: {proxyVersion: '^1\\.29.*'}, listener:")), false],
	["of its metadata", filter(http("INSERT_FIRST", undefined, lua("l")).replace("listener:", "proxy: {metadata: {A: b}}, listener:")), true],
	["of other metadata", filter(http("INSERT_FIRST", undefined, lua("l")).replace("listener:", "proxy: {metadata: {A: c}}, listener:")), false],
	["of its listener's port", filter(http("INSERT_FIRST", undefined, lua("l")).replace("listener: {", "listener: {portNumber: 80, ")), true],
	["of another listener's port", filter(http("INSERT_FIRST", undefined, lua("l")).replace("listener: {", "listener: {portNumber: 81, ")), false],
	["of another listener", filter(http("INSERT_FIRST", undefined, lua("l")).replace("listener: {", "listener: {name: a, ")), false],
];

suite("a proxy is patched by an EnvoyFilter", () => {
	for (const [title, yaml, isApplied] of selection) {
		test(`${title}: ${isApplied}`, () => assert.equal(httpFilters(resourcesOf(yaml, { A: "b" }), "0.0.0.0_80")[0]?.startsWith("l "), isApplied));
	}

	test("sec/e46: of no version that is made for an expression to be slow", () => {
		// An engine that backtracks would not come back before the end of the world.
		const version = `${"1".repeat(10_000)}!`;
		for (const pattern of ["^(1+)+$", "^(1|11)+$", "^(1*)*2", "^([0-9]+.)+[a-z]$"]) {
			const yaml = filter(http("INSERT_FIRST", undefined, lua("l")).replace("listener:", () => `proxy: {proxyVersion: '${pattern}'}, listener:`));
			assert.deepEqual(httpFilters(resourcesOf(yaml, { ISTIO_VERSION: version }), "0.0.0.0_80"), [plain]);
		}
	});

	test("by priority, the mesh's first, then by age", () => {
		const one = (name: string, rest: string, metadata: string) => filter(http("INSERT_FIRST", undefined, lua(name)), rest, metadata);
		const yaml = [
			one("late", "priority: 5, ", "name: a, namespace: istio-system"),
			one("early", "priority: -5, ", "name: b, namespace: default"),
			one("own", "", "name: c, namespace: default, creationTimestamp: '2026-01-02T00:00:00Z'"),
			one("older", "", "name: d, namespace: default, creationTimestamp: '2026-01-01T00:00:00Z'"),
			one("root", "", "name: e, namespace: istio-system, creationTimestamp: '2026-01-03T00:00:00Z'"),
		].join("");
		// Each is put in front of those before it.
		assert.deepEqual(httpFilters(resourcesOf(yaml), "0.0.0.0_80"), [`late own older root early ${plain}`]);
	});
});

suite("clusters after", () => {
	const cluster = (match: string, operation: string, value = "{}", context = "ANY") =>
		filter(`{applyTo: CLUSTER, match: {context: ${context}${match ? `, cluster: {${match}}` : ""}}, patch: {operation: ${operation}, value: ${value}}}`);
	const patchedBy = (yaml: string) => (resourcesOf(yaml).cds as readonly Any[]).filter(({ connectTimeout }) => connectTimeout === "7s").map(({ name }) => name);
	const merge = (match: string, context?: string) => cluster(match, "MERGE", "{connect_timeout: 7s}", context);
	const web = "outbound|80||web.default.svc.cluster.local";
	const db = "outbound|5432||db.default.svc.cluster.local";

	for (const [title, yaml, expected] of [
		["a merge by service", merge("service: web.default.svc.cluster.local"), ["inbound|8080||", web]],
		["a merge by service and context", merge("service: web.default.svc.cluster.local", "SIDECAR_OUTBOUND"), [web]],
		["a merge by port", merge("portNumber: 5432"), [db]],
		["a merge by name", merge("name: BlackHoleCluster"), ["BlackHoleCluster"]],
		["a merge of all that is inbound", merge("", "SIDECAR_INBOUND"), ["InboundPassthroughCluster", "inbound|8080||"]],
		["a merge by a subset that is not there", merge("subset: v1"), []],
	] as const) {
		test(title, () => assert.deepEqual(patchedBy(yaml), expected));
	}

	test("a removal", () => assert.equal(named(resourcesOf(cluster(`name: "${db}"`, "REMOVE")).cds, db), undefined));

	test("an addition, once though both contexts want it", () => {
		const yaml = cluster("", "ADD", "{name: mine, type: STATIC, connect_timeout: 1s}");
		assert.equal((resourcesOf(yaml).cds as readonly Any[]).filter(({ name }) => name === "mine").length, 1);
	});

	test("a merge into the mesh's own transport socket", () => {
		const type = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
		const yaml = cluster(
			`name: "${web}"`,
			"MERGE",
			`{transport_socket: {name: envoy.transport_sockets.tls, typed_config: {"@type": ${type}, max_session_keys: 0}}}`,
		);
		const [match] = (named(resourcesOf(yaml).cds, web)?.["transportSocketMatches"] ?? []) as readonly {
			readonly transportSocket: { readonly typedConfig: Any };
		}[];
		assert.equal(match?.transportSocket.typedConfig["maxSessionKeys"], 0);
		assert.match(String(match?.transportSocket.typedConfig["sni"]), /^outbound_\.80/);
	});
});

suite("routes after", () => {
	const route = (applyTo: string, match: string, operation: string, value: string, context = "SIDECAR_OUTBOUND") =>
		filter(`{applyTo: ${applyTo}, match: {context: ${context}, routeConfiguration: {${match}}}, patch: {operation: ${operation}, value: ${value}}}`);
	const hosts = (yaml: string) => (named(resourcesOf(yaml).rds, "80")?.["virtualHosts"] ?? []) as readonly Any[];
	const webHost = "web.default.svc.cluster.local:80";
	const routesOf = (yaml: string) => ((hosts(yaml).find(({ name }) => name === webHost)?.["routes"] ?? []) as readonly Any[]).map(({ name }) => name);
	const answer = "{name: mine, match: {prefix: /}, direct_response: {status: 200}}";

	test("a virtual host is added, by the table's name", () => {
		const names = hosts(route("VIRTUAL_HOST", "name: '80'", "ADD", "{name: mine, domains: [a.com]}")).map(({ name }) => name);
		assert.ok(names.includes("mine"));
	});

	test("a virtual host is removed by one of its domains", () => {
		const names = hosts(route("VIRTUAL_HOST", "vhost: {domainName: web.default}", "REMOVE", "{}")).map(({ name }) => name);
		assert.ok(!names.includes(webHost) && names.includes("allow_any"));
	});

	for (const [title, match, operation, expected] of [
		["a route is put first", `vhost: {name: "${webHost}"}`, "INSERT_FIRST", ["mine", "default"]],
		["a route is put in front of another", `vhost: {name: "${webHost}", route: {name: default}}`, "INSERT_BEFORE", ["mine", "default"]],
		["a route is put behind another", `vhost: {name: "${webHost}", route: {action: ROUTE}}`, "INSERT_AFTER", ["default", "mine"]],
		["a route is replaced", `vhost: {name: "${webHost}", route: {name: default}}`, "REPLACE", ["mine"]],
		["a route with another action is left alone", `vhost: {name: "${webHost}", route: {action: REDIRECT}}`, "REPLACE", ["default"]],
		["routes of another port are left alone", `portNumber: 81, vhost: {name: "${webHost}"}`, "INSERT_FIRST", ["default"]],
		["routes of another host are left alone", "vhost: {name: a}", "INSERT_FIRST", ["default"]],
	] as const) {
		test(title, () => assert.deepEqual(routesOf(route("HTTP_ROUTE", match, operation, answer)), expected));
	}

	test("the server's own table is patched where it stands", () => {
		const yaml = route("HTTP_ROUTE", "portNumber: 8080", "MERGE", "{route: {timeout: 9s}}", "SIDECAR_INBOUND");
		const timeouts = new Set(all(named(resourcesOf(yaml).lds, "virtualInbound"), "timeout"));
		assert.deepEqual([...timeouts].sort(), ["0s", "9s"]);
	});
});

suite("listeners after", () => {
	const listener = (applyTo: string, match: string, operation: string, value: string, context = "ANY") =>
		filter(`{applyTo: ${applyTo}, match: {context: ${context}, listener: {${match}}}, patch: {operation: ${operation}, value: ${value}}}`);

	test("one is removed", () => assert.equal(named(resourcesOf(listener("LISTENER", "name: 10.96.0.2_5432", "REMOVE", "{}")).lds, "10.96.0.2_5432"), undefined));

	test("one is removed by its port, and those that stand for many ports stay", () => {
		const { lds } = resourcesOf(listener("LISTENER", "portNumber: 5432", "REMOVE", "{}"));
		assert.equal(named(lds, "10.96.0.2_5432"), undefined);
		for (const name of ["virtualOutbound", "virtualInbound"]) assert.notEqual(named(lds, name), undefined);
	});

	test("one is added", () => {
		const value = "{name: mine, address: {socket_address: {address: 127.0.0.1, port_value: 9}}}";
		assert.ok(named(resourcesOf(listener("LISTENER", "", "ADD", value, "SIDECAR_OUTBOUND")).lds, "mine"));
	});

	test("a network filter is put in front of another", () => {
		const value = `{name: mine, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}`;
		const match = "portNumber: 5432, filterChain: {filter: {name: envoy.filters.network.tcp_proxy}}";
		const filters = all(named(resourcesOf(listener("NETWORK_FILTER", match, "INSERT_BEFORE", value)).lds, "10.96.0.2_5432"), "filters")[0];
		assert.deepEqual(
			(filters as readonly Any[]).map(({ name }) => name),
			["mine", "envoy.filters.network.tcp_proxy"],
		);
	});

	test("a configuration of another type is not merged", () => {
		const value = `{typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}`;
		const yaml = listener("NETWORK_FILTER", "filterChain: {filter: {name: envoy.filters.network.tcp_proxy}}", "MERGE", value);
		assert.deepEqual(named(resourcesOf(yaml).lds, "10.96.0.2_5432"), named(resourcesOf("").lds, "10.96.0.2_5432"));
	});

	test("chains of one port are removed", () => {
		const yaml = listener("FILTER_CHAIN", "name: virtualInbound, filterChain: {destinationPort: 8080}", "REMOVE", "{}");
		const ports = all(named(resourcesOf(yaml).lds, "virtualInbound"), "destinationPort");
		assert.ok(!ports.includes(8080) && ports.includes(15006));
	});

	test("a listener filter is removed", () => {
		const yaml = listener("LISTENER_FILTER", "name: virtualInbound, listenerFilter: envoy.filters.listener.http_inspector", "REMOVE", "{}");
		assert.ok(!JSON.stringify(named(resourcesOf(yaml).lds, "virtualInbound")).includes("http_inspector"));
	});

	test("a list is replaced instead of appended to", () => {
		const yaml = listener(
			"LISTENER",
			"name: virtualInbound",
			"MERGE_AND_REPLACE_LIST",
			"{listener_filters: [{name: a, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}}]}",
		);
		assert.equal(((named(resourcesOf(yaml).lds, "virtualInbound")?.["listenerFilters"] ?? []) as readonly unknown[]).length, 1);
	});
});

suite("a patch that is no message of its kind", () => {
	const bad = filter(`${http("INSERT_FIRST", undefined, "{name: [a]}")}, ${http("INSERT_FIRST", undefined, lua("good"))}`);
	const told = (yaml: string) => {
		const [object] = decodeYaml(yaml, "t.yaml").objects;
		return objectChecks
			.flatMap((check) => (object ? check(object) : []))
			.map(({ severity, code, path, line, message }) => ({ severity, code, path, line, message }));
	};

	test("is left out, the rest holds", () => assert.deepEqual(httpFilters(resourcesOf(bad), "0.0.0.0_80"), [`good ${plain}`]));

	test("is told of, with its place", () => {
		assert.deepEqual(told(bad), [
			{
				severity: "warning",
				code: "WEFT-V011",
				path: "spec.configPatches[0].patch.value",
				line: 5,
				message: 'name: expected a string, got ["a"]; this patch is left out, the others hold',
			},
		]);
	});

	for (const [title, value, expected] of [
		[
			"of a type that is not known",
			"{name: a, typed_config: {'@type': type.googleapis.com/envoy.B}}",
			/typed_config: unknown type type\.googleapis\.com\/envoy\.B/,
		],
		[
			"that Envoy would refuse",
			"{typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}}",
			/name: value length must be at least 1/,
		],
		["with a field that is not known", "{name: a, is_mine: true}", /^is_mine: .*has no such field: it is left out$/],
	] as const) {
		test(`${title} is told of`, () => assert.match(told(filter(http("INSERT_FIRST", undefined, value)))[0]?.message ?? "", expected));
	}

	test("is decoded once", () => {
		const [object] = decodeYaml(bad, "t.yaml").objects;
		assert.ok(object?.kind === "EnvoyFilter" && compileEnvoyFilter(object) === compileEnvoyFilter(object));
	});
});

suite("bootstraps", () => {
	const sets = (region: string, rest = "", operation = "MERGE") =>
		`{applyTo: BOOTSTRAP, match: {${rest}}, patch: {operation: ${operation}, value: {node: {locality: {region: ${region}}}, stats_config: {stats_tags: [{tag_name: ${region}}]}}}}`;
	const patched = (yaml: string, kind?: string) => {
		const { push, node } = proxyOf(yaml, {}, kind);
		const [resource, ...others] = resourceView(push, node).all("bootstrap").values();
		assert.ok(resource !== undefined && others.length === 0 && resource.name === "");
		const { node: { locality } = {}, statsConfig } = Bootstrap.decode(resource.bytes);
		return { region: locality?.region, tags: (statsConfig?.statsTags ?? []).map(({ tagName }) => tagName) };
	};

	test("are what all patches say, merged in their order", () => {
		const later = filter(sets("b"), "priority: 1, ", "name: a, namespace: default");
		assert.deepEqual(patched(later + filter(sets("a"))), { region: "b", tags: ["a", "b"] });
	});

	for (const [title, kind, context, isFor] of [
		["a patch of inbound configuration is for a sidecar", "sidecar", "SIDECAR_INBOUND", true],
		["one of outbound configuration, too", "sidecar", "SIDECAR_OUTBOUND", true],
		["one of gateways is not", "sidecar", "GATEWAY", false],
		["it is for a gateway", "router", "GATEWAY", true],
		["to which one of sidecars says nothing", "router", "SIDECAR_INBOUND", false],
	] as const) {
		test(title, () => assert.deepEqual(patched(filter(sets("a", `context: ${context}`)), kind).tags, isFor ? ["a"] : []));
	}

	test("are answered where nothing is patched, too: who starts waits for it", () => {
		assert.deepEqual(patched(""), { region: undefined, tags: [] });
		assert.deepEqual(patched(filter("{applyTo: CLUSTER, patch: {operation: REMOVE}}")), { region: undefined, tags: [] });
	});

	test("stay the same object while the patches do", () => {
		const { push, node } = proxyOf(filter(sets("a")));
		assert.equal(resourceView(push, node).revision("bootstrap"), resourceView(push, node).revision("bootstrap"));
	});

	test("are merged and nothing else: another operation is left out and told of, the others hold", () => {
		const yaml = filter(`${sets("a", "", "MERGE_AND_REPLACE_LIST")}, {applyTo: BOOTSTRAP, patch: {operation: REMOVE}}, ${sets("b")}`);
		assert.deepEqual(patched(yaml).tags, ["b"]);
		const [object] = decodeYaml(yaml, "t.yaml").objects;
		assert.ok(object?.kind === "EnvoyFilter");
		assert.deepEqual(
			compileEnvoyFilter(object).problems.map(({ index, isFatal }) => [index, isFatal]),
			[
				[0, true],
				[1, true],
			],
		);
	});
});

suite("configurations by ECDS", () => {
	test("are what EXTENSION_CONFIG adds and some filter asks for", () => {
		const value = `{name: ext, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}}`;
		const asking = `{name: ext, config_discovery: {config_source: {ads: {}}, type_urls: [a]}}`;
		const yaml = filter(`{applyTo: EXTENSION_CONFIG, patch: {operation: ADD, value: ${value}}}, ${http("INSERT_FIRST", undefined, asking)}`);
		assert.deepEqual(
			(resourcesOf(yaml).ecds as readonly Any[]).map(({ name }) => name),
			["ext"],
		);
	});
});
