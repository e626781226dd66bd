import type { ConfigObject, EnvoyConfigObjectMatch, EnvoyConfigObjectPatch } from "@weft/api";
import { fromJson, JsonError, messageFns, registerMessages, validateConstraints } from "@weft/xds";
import { allMessages } from "@weft/xds/registry";
import { RE2JS } from "re2js";
import { byAge } from "./age.ts";
import type { PolicyIndex } from "./policies.ts";
import { policiesFor } from "./policies.ts";
import type { ProxyNode } from "./proxy-node.ts";

// https://istio.io/latest/docs/reference/config/networking/envoy-filter/

export type ApplyTo = Exclude<NonNullable<EnvoyConfigObjectPatch["applyTo"]>, "INVALID">;
export type PatchOperation = Exclude<NonNullable<NonNullable<EnvoyConfigObjectPatch["patch"]>["operation"]>, "INVALID">;
export type PatchContext = "SIDECAR_INBOUND" | "SIDECAR_OUTBOUND" | "GATEWAY";
export type FilterClass = "AUTHN" | "AUTHZ" | "STATS" | undefined;

/** What each kind of patch is a message of. */
export const patchTypes = {
	LISTENER: "envoy.config.listener.v3.Listener",
	FILTER_CHAIN: "envoy.config.listener.v3.FilterChain",
	NETWORK_FILTER: "envoy.config.listener.v3.Filter",
	LISTENER_FILTER: "envoy.config.listener.v3.ListenerFilter",
	HTTP_FILTER: "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
	ROUTE_CONFIGURATION: "envoy.config.route.v3.RouteConfiguration",
	VIRTUAL_HOST: "envoy.config.route.v3.VirtualHost",
	HTTP_ROUTE: "envoy.config.route.v3.Route",
	CLUSTER: "envoy.config.cluster.v3.Cluster",
	EXTENSION_CONFIG: "envoy.config.core.v3.TypedExtensionConfig",
	BOOTSTRAP: "envoy.config.bootstrap.v3.Bootstrap",
} as const satisfies Readonly<Record<ApplyTo, string>>;

/** One patch, its value decoded. */
export interface Patch {
	readonly applyTo: ApplyTo;
	readonly operation: PatchOperation;
	readonly match: EnvoyConfigObjectMatch;
	readonly filterClass: FilterClass;
	/** The message, in the shape of the generated code; undefined for REMOVE. */
	readonly value: unknown;
	/** What the patch is part of, for whoever must be told of a failure. */
	readonly origin: { readonly namespace: string; readonly name: string; readonly index: number };
}

export interface PatchProblem {
	/** Index in `configPatches`. */
	readonly index: number;
	/** In the value, like `typedConfig.statPrefix`; empty: the value as a whole. */
	readonly path: string;
	readonly message: string;
	/** The patch is left out; otherwise only the field is. */
	readonly isFatal: boolean;
}

export interface CompiledFilter {
	readonly patches: readonly Patch[];
	/** What is left out; the rest holds. */
	readonly problems: readonly PatchProblem[];
}

const compiled = new WeakMap<ConfigObject<"EnvoyFilter">, CompiledFilter>();

/** The patches of an EnvoyFilter as messages; one that is no message of its kind is left out and told of. Kept while the object is. */
export function compileEnvoyFilter(object: ConfigObject<"EnvoyFilter">): CompiledFilter {
	let result = compiled.get(object);
	if (result === undefined) {
		result = compile(object);
		compiled.set(object, result);
	}
	return result;
}

function compile({ metadata, spec }: ConfigObject<"EnvoyFilter">): CompiledFilter {
	registerMessages(allMessages);
	const patches: Patch[] = [];
	const problems: PatchProblem[] = [];
	for (const [index, { applyTo = "INVALID", match = {}, patch }] of (spec.configPatches ?? []).entries()) {
		const operation = patch?.operation ?? "INVALID";
		if (applyTo === "INVALID" || operation === "INVALID") continue;
		const origin = { namespace: metadata.namespace, name: metadata.name, index };
		const filterClass = patch?.filterClass === "UNSPECIFIED" ? undefined : patch?.filterClass;
		const value = operation === "REMOVE" && applyTo !== "BOOTSTRAP" ? undefined : decodeValue(applyTo, operation, patch?.value);
		for (const problem of value?.problems ?? []) problems.push({ index, ...problem });
		if (value?.problems.some(({ isFatal }) => isFatal)) continue;
		patches.push({ applyTo, operation, match, filterClass, value: value?.message, origin });
	}
	return { patches, problems };
}

/** As istiod had it. */
const bootstrapOperations = "a bootstrap is patched by the operation MERGE alone";

interface DecodedValue {
	readonly message: unknown;
	readonly problems: readonly Omit<PatchProblem, "index">[];
}

function decodeValue(applyTo: ApplyTo, operation: PatchOperation, json: unknown): DecodedValue {
	if (applyTo === "BOOTSTRAP" && operation !== "MERGE") return { message: undefined, problems: [{ path: "", message: bootstrapOperations, isFatal: true }] };
	const typeName = patchTypes[applyTo];
	const problems: Omit<PatchProblem, "index">[] = [];
	// Fields that this version does not know are left out and told of: the proxy may be newer than its control plane.
	const onUnknownField = (path: string, owner: string) => void problems.push({ path, message: `${owner} has no such field: it is left out`, isFatal: false });
	try {
		const decoded = fromJson(typeName, json, { onUnknownField });
		const message = messageFns(typeName)?.fromPartial(decoded as object) ?? decoded;
		// A part of a message may well be incomplete, a whole one that Envoy would refuse takes all the others with it.
		const isPart = operation === "MERGE" || operation === "MERGE_AND_REPLACE_LIST";
		const violations = isPart ? [] : validateConstraints(typeName, message);
		return { message, problems: [...problems, ...violations.map((text) => ({ path: "", message: text, isFatal: true }))] };
	} catch (error) {
		if (!(error instanceof JsonError)) throw error;
		const { path, message } = error;
		return { message: undefined, problems: [...problems, { path, message: path ? message.slice(path.length + 2) : message, isFatal: true }] };
	}
}

/** Those that hold for a proxy, in the order in which they are applied: by priority, the mesh's before the namespace's, the older first. */
export function envoyFiltersFor(index: PolicyIndex<"EnvoyFilter">, node: ProxyNode): readonly ConfigObject<"EnvoyFilter">[] {
	const isRoot = ({ metadata }: ConfigObject<"EnvoyFilter">) => metadata.namespace === index.rootNamespace;
	return policiesFor(index, node).toSorted((a, b) => (a.spec.priority ?? 0) - (b.spec.priority ?? 0) || Number(isRoot(b)) - Number(isRoot(a)) || byAge(a, b));
}

/** Is the patch for proxies of this version and with this metadata? A proxy that does not tell its version matches no expression. */
export function matchesProxy({ match: { proxy } }: Patch, { istioVersion, metadata }: ProxyNode): boolean {
	if (proxy?.proxyVersion && (istioVersion === "" || !versionMatches(proxy.proxyVersion, istioVersion))) return false;
	return Object.entries(proxy?.metadata ?? {}).every(([key, value]) => Object.hasOwn(metadata, key) && metadata[key] === value);
}

/**
 * Anybody who may write an EnvoyFilter gives the pattern, and any workload its version: an engine that backtracks could be made to
 * never come back. Validation has made sure that it is an expression of RE2; an unreadable one matches nothing.
 */
function versionMatches(pattern: string, version: string): boolean {
	let compiled = versionPatterns.get(pattern);
	if (compiled === undefined) {
		if (versionPatterns.size >= versionPatternsMax) versionPatterns.clear();
		versionPatterns.set(pattern, (compiled = compilePattern(pattern)));
	}
	return compiled !== "unreadable" && compiled.matcher(version).find();
}

const versionPatternsMax = 256;
const versionPatterns = new Map<string, RE2JS | "unreadable">();

function compilePattern(pattern: string): RE2JS | "unreadable" {
	try {
		return RE2JS.compile(pattern);
	} catch {
		// A version is never worth guessing about.
		return "unreadable";
	}
}
