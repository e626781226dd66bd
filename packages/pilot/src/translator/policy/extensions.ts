import type { ConfigObject, TrafficExtensionSpec, TrafficSelector, WasmConfig } from "@weft/api";
import { type Any, packAny } from "@weft/xds";
import { TypedExtensionConfig } from "@weft/xds/generated/envoy/config/core/v3/extension.ts";
import { Lua } from "@weft/xds/generated/envoy/extensions/filters/http/lua/v3/lua.ts";
import { Wasm } from "@weft/xds/generated/envoy/extensions/filters/http/wasm/v3/wasm.ts";
import { Wasm as NetworkWasm } from "@weft/xds/generated/envoy/extensions/filters/network/wasm/v3/wasm.ts";
import { PluginConfig_FailurePolicy } from "@weft/xds/generated/envoy/extensions/wasm/v3/wasm.ts";
import { StringValue } from "@weft/xds/generated/google/protobuf/wrappers.ts";
import { byAge } from "../../model/age.ts";
import type { EncodedResource } from "../context.ts";
import { encodeResource } from "../encode.ts";
import { ads } from "../listeners/config-source.ts";
import type { Direction } from "../listeners/http-filters/filter.ts";
import { packed } from "../routes/values.ts";

// WasmPlugin and TrafficExtension: a module is a filter that refers to its configuration, and the configuration by ECDS; a script is in the filter.
// https://istio.io/latest/docs/reference/config/proxy_extensions/

export type Phase = "AUTHN" | "AUTHZ" | "STATS" | "UNSPECIFIED_PHASE";

/** A filter whose configuration comes by the extension config discovery service. */
export interface DiscoveredFilter {
	readonly name: string;
	readonly configDiscovery: object;
}

interface InlineFilter {
	readonly name: string;
	readonly typedConfig: Any;
}

export interface Extension {
	readonly isNetwork: boolean;
	readonly phase: Phase;
	readonly filter: DiscoveredFilter | InlineFilter;
	/** Undefined: the filter says all. */
	readonly resource: EncodedResource | undefined;
	readonly match: readonly TrafficSelector[];
}

type Source = ConfigObject<"WasmPlugin"> | ConfigObject<"TrafficExtension">;

/** In the order in which they run within a phase: the higher priority first, then the older. */
export function buildExtensions(plugins: readonly ConfigObject<"WasmPlugin">[], extensions: readonly ConfigObject<"TrafficExtension">[]): readonly Extension[] {
	const priority = ({ spec }: Source) => spec.priority ?? 0;
	return [...plugins, ...extensions].sort((a: Source, b: Source) => priority(b) - priority(a) || byAge(a, b)).map(extensionOf);
}

const extensionsOf = new WeakMap<Source, Extension>();

function extensionOf(source: Source): Extension {
	let extension = extensionsOf.get(source);
	if (extension === undefined) {
		extension = buildExtension(source);
		extensionsOf.set(source, extension);
	}
	return extension;
}

function buildExtension({ kind, metadata, spec }: Source): Extension {
	// A WasmPlugin is the older way to write a TrafficExtension; its name says so, lest it meet one of the same name.
	const id = `${metadata.namespace}.${metadata.name}${kind === "WasmPlugin" ? "~istio-translated-wasmplugin" : ""}`;
	const name = `extensions.istio.io/trafficextension/${id}`;
	const { wasm, lua }: Pick<TrafficExtensionSpec, "wasm" | "lua"> = "url" in spec ? { wasm: spec } : spec;
	const isNetwork = wasm?.type === "NETWORK";
	const { phase = "UNSPECIFIED", match = [] } = spec;
	const common = { isNetwork, phase: phase === "UNSPECIFIED" ? "UNSPECIFIED_PHASE" : phase, match } as const;
	if (wasm === undefined) return { ...common, filter: { name, typedConfig: luaConfig(lua?.inlineCode ?? "") }, resource: undefined };
	const typedConfig = wasmConfig(wasm, id, metadata, isNetwork);
	return {
		...common,
		filter: { name, configDiscovery: { configSource: ads, typeUrls: typeUrls(isNetwork) } },
		resource: encodeResource("ecds", name, TypedExtensionConfig, TypedExtensionConfig.fromPartial({ name, typedConfig })),
	};
}

const filters = "type.googleapis.com/envoy.extensions.filters";

/** Beside Wasm an RBAC that denies all: what the agent puts in place of a module that it could not fetch. */
function typeUrls(isNetwork: boolean): readonly string[] {
	const layer = isNetwork ? "network" : "http";
	return [`${filters}.${layer}.wasm.v3.Wasm`, `${filters}.${layer}.rbac.v3.RBAC`];
}

function luaConfig(inlineString: string): Any {
	return packed("envoy.extensions.filters.http.lua.v3.Lua", Lua, { defaultSourceCode: { inlineString } });
}

const policies = PluginConfig_FailurePolicy;
const failurePolicies = { FAIL_CLOSE: policies.FAIL_CLOSED, FAIL_OPEN: policies.FAIL_OPEN, FAIL_RELOAD: policies.FAIL_RELOAD } as const;

function wasmConfig(wasm: WasmConfig, id: string, metadata: Source["metadata"], isNetwork: boolean): Any {
	const { pluginName = "", pluginConfig, failStrategy = "FAIL_CLOSE" } = wasm;
	const config = {
		name: id,
		rootId: pluginName,
		...(pluginConfig === undefined ? {} : { configuration: packAny("google.protobuf.StringValue", StringValue, { value: sortedJson(pluginConfig) }) }),
		failurePolicy: failurePolicies[failStrategy],
		vmConfig: { runtime: "envoy.wasm.runtime.v8", code: codeOf(wasm), environmentVariables: environment(wasm, metadata) },
	};
	if (isNetwork) return packed("envoy.extensions.filters.network.wasm.v3.Wasm", NetworkWasm, { config });
	return packed("envoy.extensions.filters.http.wasm.v3.Wasm", Wasm, { config });
}

/** A module elsewhere is fetched by the agent beside the proxy, which puts a file in its place: the cluster is never used. */
function codeOf({ url, sha256 = "" }: WasmConfig): object {
	if (url.startsWith("file://")) return { local: { filename: url.slice("file://".length) } };
	const uri = /^[a-z]+:\/\//i.test(url) ? url : `oci://${url}`;
	return { remote: { httpUri: { uri, cluster: "_", timeout: { seconds: 30n, nanos: 0 } }, sha256 } };
}

function environment(wasm: WasmConfig, { resourceVersion }: Source["metadata"]): object {
	const { imagePullSecret, imagePullPolicy = "UNSPECIFIED_POLICY", vmConfig } = wasm;
	const env = vmConfig?.env ?? [];
	return {
		keyValues: {
			// The credentials themselves belong here, and nobody is handed any: empty, the agent refuses the module and says why.
			...(imagePullSecret ? { ISTIO_META_WASM_IMAGE_PULL_SECRET: "" } : {}),
			...(imagePullPolicy === "UNSPECIFIED_POLICY" ? {} : { ISTIO_META_WASM_IMAGE_PULL_POLICY: imagePullPolicy }),
			ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION: resourceVersion ?? "0",
			...Object.fromEntries(env.filter(({ valueFrom }) => valueFrom !== "HOST").map(({ name, value = "" }) => [name, value])),
		},
		hostEnvKeys: env.filter(({ valueFrom }) => valueFrom === "HOST").map(({ name }) => name),
	};
}

/** Equal values are equal texts, whatever order their keys were written in. */
function sortedJson(value: unknown): string {
	return JSON.stringify(value, (_, inner: unknown) => {
		if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
		return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
	});
}

/** Does the extension want traffic of this direction to this port? 0: a chain for any port. */
export function wantsTraffic({ match }: Extension, direction: Direction, port: number): boolean {
	const side = direction === "inbound" ? "SERVER" : "CLIENT";
	const sideFits = (mode: TrafficSelector["mode"]) => mode === undefined || mode === "UNDEFINED" || mode === "CLIENT_AND_SERVER" || mode === side;
	const portFits = (ports: TrafficSelector["ports"]) => !ports?.length || ports.some(({ number }) => number === port);
	return match.length === 0 || match.some(({ mode, ports }) => sideFits(mode) && portFits(ports));
}
