import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { ConfigObject } from "@weft/api";
import { decodeYaml } from "@weft/galley";
import { type Json, registerMessages, toJson } from "@weft/xds";
import { TypedExtensionConfig } from "@weft/xds/generated/envoy/config/core/v3/extension.ts";
import { allMessages } from "@weft/xds/registry";
import { translateAll } from "../offline.ts";
import { buildExtensions, type Extension, wantsTraffic } from "./extensions.ts";
import { pushOf, serverContext, service } from "./testing.ts";

registerMessages(allMessages);

const plugin = (name: string, spec: string, rest = "") =>
	`---\napiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: ${name}, namespace: default${rest}}\nspec: {${spec}}\n`;
const extension = (name: string, spec: string, rest = "") => plugin(name, spec, rest).replace("WasmPlugin", "TrafficExtension");
const lua = (name: string, spec = "", rest = "") => extension(name, `lua: {inlineCode: "-- ${name}"}${spec}`, rest);

function built(yaml: string): readonly Extension[] {
	const { objects, diagnostics } = decodeYaml(yaml, "e.yaml");
	assert.deepEqual(
		diagnostics.filter(({ severity }) => severity === "error"),
		[],
	);
	return buildExtensions(
		objects.filter(({ kind }) => kind === "WasmPlugin") as ConfigObject<"WasmPlugin">[],
		objects.filter(({ kind }) => kind === "TrafficExtension") as ConfigObject<"TrafficExtension">[],
	);
}

type Config = { readonly [key: string]: Json };

function shown({ resource }: Extension): Config {
	const { typedConfig } = toJson("envoy.config.core.v3.TypedExtensionConfig", TypedExtensionConfig.decode(resource?.bytes ?? new Uint8Array())) as {
		readonly typedConfig: Config;
	};
	return typedConfig;
}

/** The part of a Wasm configuration that differs. */
function wasm(spec: string, rest = ""): Config {
	const [only] = built(plugin("p", spec, rest));
	assert.ok(only);
	return shown(only)["config"] as Config;
}

const shortName = ({ filter }: Extension) => filter.name.replace(/.*default\./, "").replace("~istio-translated-wasmplugin", "");

test("the higher priority comes first, then the older, whatever the kind", () => {
	const at = (minute: number) => `, creationTimestamp: "2026-01-01T00:0${minute}:00Z"`;
	const yaml = `${lua("young", "", at(2))}${plugin("old", "url: a", at(1))}${lua("low", ", priority: -1", at(0))}${plugin("high", "url: a, priority: 9", at(3))}`;
	assert.deepEqual(built(yaml).map(shortName), ["high", "old", "young", "low"]);
});

suite("where a module comes from", () => {
	const remote = (uri: string, sha256?: string) => ({ remote: { httpUri: { uri, cluster: "_", timeout: "30s" }, ...(sha256 ? { sha256 } : {}) } });
	const cases: readonly (readonly [url: string, code: Json])[] = [
		["registry.example/module:1", remote("oci://registry.example/module:1")],
		["oci://registry.example/module:1", remote("oci://registry.example/module:1")],
		["https://example.com/module.wasm", remote("https://example.com/module.wasm")],
		["file:///opt/module.wasm", { local: { filename: "/opt/module.wasm" } }],
	];
	for (const [url, code] of cases) test(url, () => assert.deepEqual((wasm(`url: "${url}"`)["vmConfig"] as Config)["code"], code));

	test("a checksum is passed on", () => {
		const sum = "a".repeat(64);
		assert.deepEqual((wasm(`url: "https://e.com/m", sha256: ${sum}`)["vmConfig"] as Config)["code"], remote("https://e.com/m", sum));
	});
});

suite("a module's settings", () => {
	const environment = (spec: string) => (wasm(`url: a, ${spec}`)["vmConfig"] as Config)["environmentVariables"] as Config;

	test("the pull policy is told the agent by a variable, and that nobody has credentials for it", () => {
		assert.deepEqual(environment("imagePullSecret: s, imagePullPolicy: Always")["keyValues"], {
			ISTIO_META_WASM_IMAGE_PULL_SECRET: "",
			ISTIO_META_WASM_IMAGE_PULL_POLICY: "Always",
			ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION: "0",
		});
	});

	test("variables, inline and of the host", () => {
		const { keyValues, hostEnvKeys } = environment("vmConfig: {env: [{name: A, value: b}, {name: H, valueFrom: HOST}]}");
		assert.deepEqual([(keyValues as Config)["A"], hostEnvKeys], ["b", ["H"]]);
	});

	test("the plugin's configuration is text, its keys in order", () => {
		assert.deepEqual(wasm("url: a, pluginName: root, pluginConfig: {b: 1, a: {d: 2, c: [3]}}")["configuration"], {
			"@type": "type.googleapis.com/google.protobuf.StringValue",
			value: '{"a":{"c":[3],"d":2},"b":1}',
		});
	});

	const strategies = [
		["FAIL_CLOSE", "FAIL_CLOSED"],
		["FAIL_OPEN", "FAIL_OPEN"],
		["FAIL_RELOAD", "FAIL_RELOAD"],
	] as const;
	for (const [strategy, policy] of strategies) test(strategy, () => assert.equal(wasm(`url: a, failStrategy: ${strategy}`)["failurePolicy"], policy));
	test("no strategy fails closed", () => assert.equal(wasm("url: a")["failurePolicy"], "FAIL_CLOSED"));
});

suite("which traffic", () => {
	const cases: readonly (readonly [match: string, wanted: readonly ("inbound" | "outbound" | "gateway")[], ports: readonly number[]])[] = [
		["", ["inbound", "outbound", "gateway"], [80, 81]],
		["[{mode: SERVER}]", ["inbound"], [80, 81]],
		["[{mode: CLIENT}]", ["outbound", "gateway"], [80, 81]],
		["[{mode: CLIENT_AND_SERVER, ports: [{number: 80}]}]", ["inbound", "outbound", "gateway"], [80]],
		["[{mode: SERVER, ports: [{number: 80}]}, {mode: SERVER, ports: [{number: 81}]}]", ["inbound"], [80, 81]],
	];
	for (const [match, wanted, ports] of cases) {
		test(match || "no match", () => {
			const [only] = built(lua("l", match && `, match: ${match}`));
			assert.ok(only);
			for (const direction of ["inbound", "outbound", "gateway"] as const) {
				for (const port of [80, 81])
					assert.equal(wantsTraffic(only, direction, port), wanted.includes(direction) && ports.includes(port), `${direction} ${port}`);
			}
		});
	}
});

test("phases stand around the filters of Istio that they are named after; network filters stand apart", () => {
	const phases = ["AUTHN", "AUTHZ", "STATS", "UNSPECIFIED"].map((phase) => lua(phase.toLowerCase(), `, phase: ${phase}`)).join("");
	const policies =
		"---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: r, namespace: default}\nspec: {jwtRules: [{issuer: i, jwks: '{\"keys\":[]}'}]}\n" +
		"---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: default}\nspec: {}\n";
	const network = plugin("net", "url: a, type: NETWORK");
	const { push, node } = serverContext(pushOf(service("server") + phases + policies + network, { defaultProviders: { metrics: ["prometheus"] } }), {
		ISTIO_VERSION: "1.30.3",
	});
	const { lds, ecds } = translateAll(push, node);
	const inbound = lds.find((listener) => (listener as Config)["name"] === "virtualInbound") as {
		readonly filterChains: readonly {
			readonly filters: readonly { readonly name: string; readonly typedConfig?: { readonly httpFilters?: readonly { readonly name: string }[] } }[];
		}[];
	};
	const chains = inbound.filterChains.map(({ filters }) => filters);
	const short = (name: string) =>
		name
			.replace(/.*default\./, "")
			.replace("~istio-translated-wasmplugin", "")
			.replace(/^envoy\.filters\.http\./, "");
	const http = chains.flatMap((filters) =>
		filters.flatMap(({ typedConfig }) => (typedConfig?.httpFilters ? [typedConfig.httpFilters.map(({ name }) => short(name))] : [])),
	);
	assert.ok(http.length > 0);
	for (const names of http) {
		const kept = names.filter((name) => /^(authn|authz|stats|unspecified|jwt_authn|rbac|istio\.stats|router)$/.test(name));
		assert.deepEqual(kept, ["authn", "jwt_authn", "authz", "rbac", "stats", "unspecified", "istio.stats", "router"]);
	}
	assert.ok(chains.some((filters) => filters.some(({ name }) => short(name) === "net")));
	assert.equal(ecds.length, 1, "scripts are in their filters");
});
