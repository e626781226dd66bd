import { fromJson } from "@weft/xds";
import type { RBAC as RbacMessage } from "@weft/xds/generated/envoy/extensions/filters/http/rbac/v3/rbac.ts";
import { CommandError } from "../output/errors.ts";
import { isMap, type Json, type JsonMap } from "../proxy-config/dump.ts";

/** A key of a message as proto3 JSON (`filterChains`) or a config_dump (`filter_chains`) spells it. */
export function field(value: Json, name: string): Json {
	if (!isMap(value)) return undefined;
	return value[name] ?? value[name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)];
}

export function list(value: Json, name: string): readonly Json[] {
	const found = field(value, name);
	return Array.isArray(found) ? (found as readonly Json[]) : [];
}

export const text = (value: Json, name: string): string => {
	const found = field(value, name);
	return typeof found === "string" || typeof found === "number" ? String(found) : "";
};

/** A filter that has a say in whether a request gets through. */
export type JudgingFilter = { readonly kind: "rbac"; readonly rbac: RbacMessage } | { readonly kind: "jwt"; readonly providers: readonly JwtProvider[] };

export interface JwtProvider {
	readonly issuer: string;
	readonly audiences: readonly string[];
	readonly spaceDelimitedClaims: readonly string[];
}

export interface InboundChain {
	/** Undefined: any port that no other chain names. */
	readonly port: number | undefined;
	readonly isMutualTls: boolean;
	readonly isHttp: boolean;
	readonly filters: readonly JudgingFilter[];
	/** The HttpConnectionManager; undefined for TCP. */
	readonly manager: JsonMap | undefined;
}

const httpManager = /\.HttpConnectionManager$/;

/** Filter chains of the listeners for traffic into a workload, from LDS resources as JSON. */
export function inboundChains(listeners: readonly Json[]): readonly InboundChain[] {
	return listeners
		.filter((listener) => text(listener, "trafficDirection") === "INBOUND")
		.flatMap((listener) => [...list(listener, "filterChains"), ...[field(listener, "defaultFilterChain")].filter(isMap)].map(decodeChain));
}

function decodeChain(chain: Json): InboundChain {
	const configs = list(chain, "filters").map((filter) => field(filter, "typedConfig"));
	const manager = configs.filter(isMap).find((config) => httpManager.test(text(config, "@type")));
	const judging = manager === undefined ? list(chain, "filters") : list(manager, "httpFilters");
	return {
		port: portOf(chain, manager),
		isMutualTls: field(chain, "transportSocket") !== undefined,
		isHttp: manager !== undefined,
		filters: judging.flatMap(decodeFilter),
		manager,
	};
}

/** Where traffic is captured a chain matches its port; elsewhere the cluster that it leads to (`inbound|8080||`) tells. */
function portOf(chain: Json, manager: JsonMap | undefined): number | undefined {
	const matched = Number(text(field(chain, "filterChainMatch"), "destinationPort") || "NaN");
	if (!Number.isNaN(matched)) return matched;
	const tcp = list(chain, "filters").map((filter) => text(field(filter, "typedConfig"), "cluster"));
	const [host] = list(field(manager, "routeConfig"), "virtualHosts");
	const routed = list(host, "routes").map((route) => text(field(route, "route"), "cluster"));
	const port = [...tcp, ...routed].map((name) => /^inbound\|(\d+)\|/.exec(name)?.[1]).find((found) => found !== undefined);
	return port === undefined ? undefined : Number(port);
}

function decodeFilter(filter: Json): readonly JudgingFilter[] {
	const config = field(filter, "typedConfig");
	const type = text(config, "@type");
	if (type.endsWith(".rbac.v3.RBAC")) return [{ kind: "rbac", rbac: decodeRbac(config) }];
	if (!type.endsWith(".JwtAuthentication")) return [];
	const providers = Object.values((field(config, "providers") ?? {}) as JsonMap);
	return [{ kind: "jwt", providers: providers.map(decodeProvider) }];
}

/** The network filter's configuration has the same rules under the same names. */
function decodeRbac(config: Json): RbacMessage {
	const known = ["rules", "shadowRules", "rulesStatPrefix", "shadowRulesStatPrefix"] as const;
	const json = Object.fromEntries(known.map((name) => [name, field(config, name)] as const).filter(([, value]) => value !== undefined));
	try {
		return fromJson("envoy.extensions.filters.http.rbac.v3.RBAC", json) as RbacMessage;
	} catch (error) {
		throw new CommandError(`the proxy's rules cannot be read: ${error instanceof Error ? error.message : String(error)}`);
	}
}

function decodeProvider(provider: Json): JwtProvider {
	const normalized = field(provider, "normalizePayloadInMetadata");
	return {
		issuer: text(provider, "issuer"),
		audiences: list(provider, "audiences").map(String),
		spaceDelimitedClaims: list(normalized, "spaceDelimitedClaims").map(String),
	};
}
