import { type Any, stripTypeUrl, validateConstraints } from "@weft/xds";
import type { ExtensionConfigSource } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import type { TypedExtensionConfig } from "@weft/xds/generated/envoy/config/core/v3/extension.ts";
import { type ConfigDiscovery, type ExtensionConfig, misfit } from "../discovered-filters.ts";
import type { HttpFilterConfig } from "../http-filters.ts";
import type { ListenerFilter } from "../listener-filters.ts";
import type { NetworkFilter } from "../network-filters.ts";
import { type Opened, openAny } from "./any.ts";
import { decodeConfigSource } from "./config-source.ts";
import type { DecodeEnvironment } from "./environment.ts";
import { decodeHttpFilterConfig, isHttpFilterType } from "./filters/http-filters.ts";
import { decodeListenerFilterConfig, isListenerFilterType } from "./listener-filters.ts";
import { type At, collect, type Decoded, report, under } from "./issues.ts";
import { decodeNetworkFilterConfig, isNetworkFilterType } from "./network-filters.ts";

interface DiscoveredKind<Config> {
	readonly kind: "http" | "network" | "listener";
	isType(typeName: string): boolean;
	decode(at: At, name: string, opened: Opened, environment: DecodeEnvironment): Config | undefined;
	asExtension(config: Config): Pick<ExtensionConfig, "http" | "network" | "listener">;
}

const httpKind: DiscoveredKind<HttpFilterConfig> = {
	kind: "http",
	isType: isHttpFilterType,
	decode: decodeHttpFilterConfig,
	asExtension: (http) => ({ http, network: undefined }),
};
const networkKind: DiscoveredKind<NetworkFilter> = {
	kind: "network",
	isType: isNetworkFilterType,
	decode: decodeNetworkFilterConfig,
	asExtension: (network) => ({ http: undefined, network }),
};
const listenerKind: DiscoveredKind<ListenerFilter> = {
	kind: "listener",
	isType: isListenerFilterType,
	decode: decodeListenerFilterConfig,
	asExtension: (listener) => ({ http: undefined, network: undefined, listener }),
};

export function decodeHttpDiscovery(at: At, name: string, source: ExtensionConfigSource, isLast: boolean, environment: DecodeEnvironment) {
	return decodeDiscovery(at, name, source, isLast, environment, httpKind);
}

export function decodeNetworkDiscovery(at: At, name: string, source: ExtensionConfigSource, isLast: boolean, environment: DecodeEnvironment) {
	return decodeDiscovery(at, name, source, isLast, environment, networkKind);
}

export function decodeListenerDiscovery(at: At, name: string, source: ExtensionConfigSource, environment: DecodeEnvironment) {
	return decodeDiscovery(at, name, source, false, environment, listenerKind);
}

function decodeDiscovery<Config>(
	at: At,
	name: string,
	source: ExtensionConfigSource,
	isLast: boolean,
	environment: DecodeEnvironment,
	kind: DiscoveredKind<Config>,
): ConfigDiscovery<Config> {
	const here = under(at, "configDiscovery");
	const typeNames = source.typeUrls.map(stripTypeUrl);
	for (const typeName of typeNames) {
		if (!kind.isType(typeName)) report(here, `${kind.kind} filter ${name}: no factory found for a required type URL ${typeName}: it is not implemented`);
	}
	const discovery = {
		typeNames,
		isAwaited: !source.applyDefaultConfigWithoutWarming,
		source: decodeConfigSource(under(here, "configSource"), source.configSource, environment),
		isLast,
	};
	return { ...discovery, fallback: source.defaultConfig && decodeFallback(here, name, source.defaultConfig, discovery, environment, kind) };
}

function decodeFallback<Config>(
	at: At,
	name: string,
	any: Any,
	discovery: Omit<ConfigDiscovery<never>, "fallback">,
	environment: DecodeEnvironment,
	kind: DiscoveredKind<Config>,
): Config | undefined {
	const here = under(at, "defaultConfig");
	const opened = openAny(here, any, `${kind.kind} filter ${name}`);
	const config = opened && kind.decode(here, name, opened, environment);
	if (opened === undefined || config === undefined) return undefined;
	const use = { kind: kind.kind, name, discovery: { ...discovery, fallback: undefined } };
	const wrong = misfit(use, { name, typeName: opened.typeName, ...kind.asExtension(config) });
	if (wrong !== undefined) report(here, wrong);
	return config;
}

const typeName = "envoy.config.core.v3.TypedExtensionConfig";

/** A resource of ECDS, as all that its type may be: which filters take it is their own word. */
export function decodeExtensionConfig(message: TypedExtensionConfig, environment: DecodeEnvironment): Decoded<ExtensionConfig> {
	const { name, typedConfig } = message;
	const decode = (at: At): ExtensionConfig | undefined => {
		at.errors.push(...validateConstraints(typeName, message));
		const opened = openAny(at, typedConfig, `filter ${name}`);
		if (opened === undefined) return undefined;
		const isHttp = isHttpFilterType(opened.typeName);
		const isNetwork = isNetworkFilterType(opened.typeName);
		const isListener = isListenerFilterType(opened.typeName);
		if (!isHttp && !isNetwork && !isListener) report(at, `filter ${name} of type ${opened.typeName} is not implemented`);
		const network = isNetwork ? decodeNetworkFilterConfig(at, name, opened, environment) : undefined;
		if (network?.kind === "http" && network.filters.some(({ kind }) => kind === "discovered"))
			report(at, `network filter ${name}: config_discovery in what was discovered itself is not implemented`);
		const listener = isListener ? decodeListenerFilterConfig(at, name, opened) : undefined;
		return { name, typeName: opened.typeName, http: isHttp ? decodeHttpFilterConfig(at, name, opened, environment) : undefined, network, listener };
	};
	// Its token buckets are its own, whatever listener has the same name.
	const { value, errors } = collect("", decode, `ecds/${name}`);
	return { value, errors: [...new Set(errors)] };
}
