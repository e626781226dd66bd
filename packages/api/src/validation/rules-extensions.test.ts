import { testRules } from "./testing.ts";

testRules("Telemetry", [
	["an empty one is valid", "{}"],
	[
		"all three signals are valid",
		"{tracing: [{providers: [{name: a}], randomSamplingPercentage: 1.5, customTags: {t: {literal: {value: v}}}}], metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {a: {value: b}, c: {operation: REMOVE}}}]}], accessLogging: [{filter: {expression: 'a.b[\"(\"] == 1'}}]}",
	],
	["percentages are percentages", "{tracing: [{randomSamplingPercentage: 101}]}", /randomSamplingPercentage: 101/],
	[
		"one tracing is enough",
		"{tracing: [{providers: [{name: a}, {name: b}]}, {}]}",
		/warning .*tracing: multiple tracing/,
		/warning .*providers: multiple providers/,
	],
	["a tag has one source", "{tracing: [{customTags: {t: {literal: {value: v}, header: {name: h}}}}]}", /only one of/],
	["a tag has a source", "{tracing: [{customTags: {t: {}}}]}", /customTags\.t: .*no value/],
	["metrics are known", "{metrics: [{overrides: [{match: {metric: REQUESTS}}]}]}", /metric: "REQUESTS"/],
	["UPSERT has a value", "{metrics: [{overrides: [{tagOverrides: {a: {}}}]}]}", /tagOverrides\.a\.value: .*UPSERT/],
	["REMOVE has none", "{metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE, value: b}}}]}]}", /tagOverrides\.a\.value: .*REMOVE/],
	["providers have names", "{accessLogging: [{providers: [{name: ''}]}]}", /providers\[0\]\.name/],
	["a filter says something", "{accessLogging: [{filter: {}}]}", /expression: .*empty/],
	["brackets of a filter match", "{accessLogging: [{filter: {expression: '(a'}}]}", /expression: a \) is missing/],
	["strings of a filter end", `{accessLogging: [{filter: {expression: "a == 'b"}}]}`, /does not end/],
]);

const patch = (fields: string) => `{configPatches: [{${fields}}]}`;
const remark = /warning spec: EnvoyFilter exposes/;

testRules("EnvoyFilter", [
	["a merge is valid", patch("applyTo: LISTENER, match: {listener: {name: a}}, patch: {operation: MERGE, value: {a: 1}}"), remark],
	["applyTo is required", patch("patch: {operation: REMOVE}"), remark, /applyTo: .*missing/],
	["an operation is required", patch("applyTo: CLUSTER, patch: {}"), remark, /operation: .*missing/],
	["a value is required", patch("applyTo: CLUSTER, patch: {operation: ADD}"), remark, /value: .*missing/],
	["a value is an object", patch("applyTo: CLUSTER, patch: {operation: ADD, value: a}"), remark, /value: .*object/],
	["REMOVE has no value", patch("applyTo: CLUSTER, patch: {operation: REMOVE}"), remark],
	["clusters are matched by cluster", patch("applyTo: CLUSTER, match: {listener: {}}, patch: {operation: REMOVE}"), remark, /match\.listener: .*cluster/],
	[
		"routes are matched by route configuration",
		patch("applyTo: HTTP_ROUTE, match: {cluster: {}}, patch: {operation: REMOVE}"),
		remark,
		/match\.cluster: .*routeConfiguration/,
	],
	[
		"a filter match has a name",
		patch("applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {}}}}, patch: {operation: REMOVE}"),
		remark,
		/filter\.name: .*no name/,
	],
	[
		"subfilters are of connection managers",
		patch("applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: a, subFilter: {name: b}}}}}, patch: {operation: REMOVE}"),
		remark,
		/filter\.name: .*http_connection_manager/,
	],
	[
		"subfilters are for HTTP filters",
		patch("applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {name: a, subFilter: {name: b}}}}}, patch: {operation: REMOVE}"),
		remark,
		/subFilter: .*HTTP_FILTER only/,
	],
	[
		"names of old are named",
		patch("applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {name: envoy.tcp_proxy}}}}, patch: {operation: REMOVE}"),
		remark,
		/warning .*deprecated filter name/,
	],
	["versions are expressions", patch("applyTo: CLUSTER, match: {proxy: {proxyVersion: '('}}, patch: {operation: REMOVE}"), remark, /proxyVersion/],
	["one kind of match", patch("applyTo: CLUSTER, match: {cluster: {}, listener: {}}, patch: {operation: REMOVE}"), remark, /only one of/, /match\.listener/],
	[
		"types are Envoy's, of its third API",
		patch(
			'applyTo: HTTP_FILTER, patch: {operation: INSERT_FIRST, value: {name: a, typed_config: {"@type": "t/foo.Bar", b: [{"@type": t/envoy.config.filter.http.lua.v2.Lua}, {"@type": t/envoy.extensions.filters.http.lua.v3.Lua}, {"@type": t/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig}, {"@type": t/udpa.type.v1.TypedStruct, value: {"@type": own}}]}}}',
		),
		remark,
		/error spec\.configPatches\[0\]\.patch\.value\.typed_config\["@type"\]: .*foo\.Bar.* no message of Envoy/,
		/error .*b\[0\]\["@type"\]: .*v2 API/,
	],
	[
		"a match that nothing reads is a warning",
		patch("applyTo: EXTENSION_CONFIG, match: {cluster: {}}, patch: {operation: REMOVE}"),
		remark,
		/warning .*match\.cluster/,
	],
	[
		"waypoints are matched by waypoint",
		patch("applyTo: CLUSTER, match: {context: WAYPOINT, cluster: {}}, patch: {operation: REMOVE}"),
		remark,
		/error .*match: with the context WAYPOINT/,
		/warning .*match: there are no waypoints/,
	],
	["bootstraps are for new proxies", patch("applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {}}"), remark, /warning .*bootstraps/],
]);

testRules("WasmPlugin", [
	["a module is valid", "{url: 'oci://a/b:c', phase: AUTHN, priority: 3, pluginConfig: {a: [1]}, match: [{mode: SERVER, ports: [{number: 80}]}]}"],
	["a module without scheme is an image", "{url: a.com/b:c}"],
	["a module has an address", "{}", /url.* is required/],
	["schemes are known", "{url: 'ftp://a/b'}", /url: .*scheme/],
	["digests are digests", "{url: a, sha256: abc}", /sha256: "abc"/],
	["two digests are one", `{url: 'oci://a/b@sha256:${"0".repeat(64)}', sha256: ${"'1".padEnd(65, "1")}'}`, /sha256: .*differ/],
	["variables are set once", "{url: a, vmConfig: {env: [{name: a, value: b}, {name: a}]}}", /env\[1\]\.name: .*twice/],
	["the host's variables have no value", "{url: a, vmConfig: {env: [{name: a, valueFrom: HOST, value: b}]}}", /env\[0\]\.value/],
	["ports stand there once", "{url: a, match: [{ports: [{number: 80}, {number: 81}, {number: 80}]}]}", /match\[0\]\.ports\[2\]: .*twice/],
	["its configuration is an object", "{url: a, pluginConfig: [b]}", /pluginConfig: .*object/],
	["names are not empty", "{url: a, pluginName: '', imagePullSecret: ''}", /pluginName: .*empty/, /imagePullSecret: .*empty/],
	["ports are ports", "{url: a, match: [{ports: [{number: 0}]}]}", /number: 0/],
]);

testRules("TrafficExtension", [
	["Lua is valid", "{lua: {inlineCode: 'x'}, phase: STATS}"],
	["Wasm is valid", "{wasm: {url: a}, phase: UNSPECIFIED}"],
	["one of them is required", "{}", /exactly one of/],
	["one of them is enough", "{wasm: {url: a}, lua: {inlineCode: x}}", /only one of/],
]);

testRules("ProxyConfig", [
	["its fields are valid", "{concurrency: 0, environmentVariables: {A: b}, image: {imageType: distroless}}"],
	["an empty selector is a warning", "{selector: {}}", /warning spec\.selector: .*without labels/],
	["threads are counted from 0", "{concurrency: -1}", /concurrency: -1/],
	["unknown fields are named", "{image: {type: a}}", /unknown field "type"/],
]);

testRules("WorkloadGroup", [
	["a template is valid", "{metadata: {labels: {a: b}}, template: {serviceAccount: a, ports: {http: 80}}, probe: {httpGet: {port: 80}}}"],
	["a template is required", "{}", /template.* is required/],
	["a template's address is not used", "{template: {address: 1.2.3.4}}", /warning .*template\.address/],
	["a probe has a method", "{template: {}, probe: {periodSeconds: 3}}", /probe: .*no method/],
	["a probe has one method", "{template: {}, probe: {httpGet: {port: 1}, tcpSocket: {port: 1}}}", /only one of/],
	["a probe's port is a port", "{template: {}, probe: {tcpSocket: {port: 0}}}", /tcpSocket\.port/],
]);
