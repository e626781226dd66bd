import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { fromJson } from "@weft/xds";
import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import type { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { decodeListener, decodeRouteTable, registerImplemented } from "./index.ts";

const environment = { readFile: () => Buffer.alloc(0), variable: () => undefined };
const typed = (name: string, type: string, config: object = {}) => ({ name, typedConfig: { "@type": `type.googleapis.com/${type}`, ...config } });

const bandwidthType = "envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit";
const rbacType = "envoy.extensions.filters.http.rbac.v3.RBAC";
const managerType = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const router = typed("router", "envoy.extensions.filters.http.router.v3.Router");

const table = (json: object) => decodeRouteTable(fromJson("envoy.config.route.v3.RouteConfiguration", json) as RouteConfiguration, environment);
const tableBy = (route: object, more: object = {}) =>
	table({ virtualHosts: [{ name: "v", domains: ["*"], routes: [{ match: { prefix: "/" }, route, ...more }] }] });
const tableOf = (route: object) => tableBy({ cluster: "a", ...route });
const listener = (manager: object, parts: object = {}) =>
	decodeListener(
		fromJson("envoy.config.listener.v3.Listener", {
			name: "l",
			address: { socketAddress: { address: "127.0.0.1", portValue: 80 } },
			filterChains: [
				{
					filters: [
						typed("http", managerType, { statPrefix: "s", ...("scopedRoutes" in manager ? {} : { routeConfig: {} }), httpFilters: [router], ...manager }),
					],
				},
			],
			...parts,
		}) as Listener,
		environment,
	);
const denied = { action: typed("a", "envoy.config.rbac.v3.Action", { name: "p", action: "DENY" }) };
const treeOver = (type: string, config: object = {}) => ({ matcherTree: { input: typed("i", type, config), exactMatchMap: { map: { k: denied } } } });
const specifierTypes = "envoy.extensions.router.cluster_specifiers.matcher.v3";
const ownRoute = { match: { prefix: "/" }, route: { cluster: "a" } };
const ownRouteAction = { action: typed("a", "envoy.config.route.v3.Route", ownRoute) };
const treeOf = (onMatch: object, input = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput") => ({
	matcherTree: { input: typed("i", input, input.endsWith("HeaderMatchInput") ? { headerName: "x" } : {}), exactMatchMap: { map: { k: onMatch } } },
});
const setState = (value: object) =>
	typed("s", "envoy.extensions.filters.http.set_filter_state.v3.Config", {
		onRequestHeaders: [{ formatString: { textFormatSource: { inlineString: "x" } }, ...value }],
	});
const withFilter = (filter: object) => listener({ httpFilters: [filter, router] });
const inspector = (filterDisabled: object | undefined, type = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector") =>
	listener({}, { listenerFilters: [{ ...typed("f", type), ...(filterDisabled && { filterDisabled }) }] });

before(registerImplemented);

describe("fields that have an effect in Envoy and none here are refused by name", () => {
	const action = "virtualHosts[0].routes[0].route";
	const filter = "filterChains[0].filters[0].httpFilters[0]";
	const onDemandType = "envoy.extensions.filters.http.on_demand.v3.OnDemand";
	const fromFile = { pathConfigSource: { path: "/a" } };
	const scoped = (fragment: object, source: object) => ({
		scopedRoutes: { name: "s", scopeKeyBuilder: { fragments: [{ headerValueExtractor: { name: "a", ...fragment } }] }, ...source },
	});
	const oneScope = (more: object) => ({
		scopedRouteConfigurationsList: { scopedRouteConfigurations: [{ name: "one", key: { fragments: [{ stringKey: "1" }] }, ...more }] },
	});
	const scopedRoutes = "filterChains[0].filters[0].scopedRoutes";
	const refused = [
		[
			"another path by a header",
			() => tableBy({ cluster: "a" }, { requestHeadersToAdd: [{ header: { key: ":path", value: "/x" } }] }),
			"virtualHosts[0].routes[0].requestHeadersToAdd[0]: :-prefixed or host headers may not be modified",
		],
		[
			"two ways to strip a port",
			() => listener({ stripAnyHostPort: true, stripMatchingHostPort: true }),
			"filterChains[0].filters[0].stripAnyHostPort: Only one of `strip_matching_host_port` or `strip_any_host_port` can be set.",
		],
		[
			"a range without a port",
			() =>
				withFilter(
					typed("r", rbacType, { rules: { policies: { p: { permissions: [{ destinationPortRange: { start: 5, end: 5 } }], principals: [{ any: true }] } } } }),
				),
			`${filter}.rules.policies["p"].permissions[0].destinationPortRange: range start 5 cannot be greater or equal than range end 5`,
		],
		[
			"reason phrases as they came",
			() =>
				listener({
					httpProtocolOptions: {
						headerKeyFormat: {
							statefulFormatter: typed("p", "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig", {
								forwardReasonPhrase: true,
							}),
						},
					},
				}),
			"filterChains[0].filters[0].httpProtocolOptions.headerKeyFormat.statefulFormatter.forwardReasonPhrase: forward_reason_phrase is not implemented",
		],
		[
			"clusters on demand from a file",
			() => withFilter(typed("o", onDemandType, { odcds: { source: fromFile } })),
			`${filter}.odcds.source: only ads is implemented`,
		],
		[
			"clusters on demand by a locator",
			() => withFilter(typed("o", onDemandType, { odcds: { source: { ads: {} }, resourcesLocator: "xdstp://a/b/c" } })),
			`${filter}.odcds.resourcesLocator: resources_locator (xdstp) is not implemented`,
		],
		[
			"scopes from a file",
			() => listener(scoped({ index: 0 }, { rdsConfigSource: { ads: {} }, scopedRds: { scopedRdsConfigSource: fromFile } })),
			`${scopedRoutes}.scopedRds.scopedRdsConfigSource: only ads is implemented`,
		],
		[
			"the tables of scopes from a file",
			() => listener(scoped({ index: 0 }, { rdsConfigSource: fromFile, scopedRds: { scopedRdsConfigSource: { ads: {} } } })),
			`${scopedRoutes}.rdsConfigSource: only ads is implemented`,
		],
		[
			"a later element of a value that is not split",
			() => listener(scoped({ index: 1 }, oneScope({ routeConfiguration: {} }))),
			`${scopedRoutes}.scopeKeyBuilder.fragments[0]: Index > 0 for empty string element separator.`,
		],
		[
			"a scope of a list whose table is fetched",
			() => listener(scoped({ index: 0 }, oneScope({ routeConfigurationName: "r" }))),
			`${scopedRoutes}.scopedRouteConfigurationsList.scopedRouteConfigurations[0]: Fetching routes via RDS (route_configuration_name) is not supported with inline scoped routes.`,
		],
		[
			"virtual hosts by themselves for the table of a scope",
			() => listener(scoped({ index: 0 }, oneScope({ routeConfiguration: { vhds: { configSource: { ads: {} } } } }))),
			`${scopedRoutes}.scopedRouteConfigurationsList.scopedRouteConfigurations[0].routeConfiguration.vhds: vhds of a table inside a scope is not implemented`,
		],
		[
			"more than one request to begin with",
			() => tableOf({ hedgePolicy: { initialRequests: 2 } }),
			`${action}.hedgePolicy.initialRequests: initial_requests other than 1 is not implemented (Envoy ignores it)`,
		],
		[
			"a second request by chance",
			() => tableOf({ hedgePolicy: { additionalRequestChance: { numerator: 5 } } }),
			`${action}.hedgePolicy.additionalRequestChance: additional_request_chance other than 0 is not implemented (Envoy ignores it)`,
		],
		[
			"CONNECT by POST",
			() => tableOf({ upgradeConfigs: [{ upgradeType: "CONNECT", connectConfig: { allowPost: true } }] }),
			`${action}.upgradeConfigs[0].connectConfig.allowPost: allow_post is not implemented`,
		],
		[
			"a PROXY header before what comes inside CONNECT",
			() => tableOf({ upgradeConfigs: [{ upgradeType: "CONNECT", connectConfig: { proxyProtocolConfig: {} } }] }),
			`${action}.upgradeConfigs[0].connectConfig.proxyProtocolConfig: proxy_protocol_config is not implemented`,
		],
		[
			"another upgrade that ends here",
			() => tableOf({ upgradeConfigs: [{ upgradeType: "websocket", connectConfig: {} }] }),
			`${action}.upgradeConfigs[0].connectConfig: non-CONNECT upgrade type websocket has connect_config`,
		],
		[
			"two rewrites of the path",
			() => tableOf({ prefixRewrite: "/a", pathRewrite: "/b" }),
			`${action}: only one of prefix_rewrite and path_rewrite may be set`,
		],
		[
			"a rewrite by a template where none was matched",
			() =>
				tableOf({
					pathRewritePolicy: typed("r", "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig", { pathTemplateRewrite: "/a" }),
				}),
			`${action}.pathRewritePolicy: it needs a path_match_policy of uri_template`,
		],
		["headers for internal requests only", () => table({ internalOnlyHeaders: ["x-a"] }), "internalOnlyHeaders: internal_only_headers is not implemented"],
		[
			"a bandwidth limit without a limit, which would let nothing through",
			() => withFilter(typed("limit", bandwidthType, { statPrefix: "s", enableMode: "RESPONSE" })),
			`${filter}: without limit_kbps nothing would ever pass`,
		],
		[
			"a route's bandwidth limit without a limit",
			() => table({ typedPerFilterConfig: { limit: typed("limit", bandwidthType, { statPrefix: "s" }).typedConfig } }),
			'typedPerFilterConfig["limit"]: limit must be set for per route filter config',
		],
		[
			"an authorization service by Google's client",
			() =>
				withFilter(
					typed("authz", "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", { grpcService: { googleGrpc: { targetUri: "a:1", statPrefix: "a" } } }),
				),
			`${filter}.grpcService.googleGrpc: google_grpc is not implemented`,
		],
		[
			"metadata of gRPC calls with operators",
			() =>
				withFilter(
					typed("authz", "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", {
						grpcService: { envoyGrpc: { clusterName: "a" }, initialMetadata: [{ key: "x", value: "%REQ(y)%" }] },
					}),
				),
			`${filter}.grpcService.initialMetadata[0]: command operators in initial_metadata are not implemented`,
		],
		[
			"a CEL condition with a macro",
			() =>
				withFilter(
					typed("rbac", rbacType, {
						rules: { policies: { p: { permissions: [{ any: true }], principals: [{ any: true }], condition: { comprehensionExpr: {} } } } },
					}),
				),
			`${filter}.rules.policies["p"].condition: comprehension support is disabled, as it is in Envoy`,
		],
		[
			"a tree of matchers over metadata, which is no text",
			() =>
				withFilter(
					typed("rbac", rbacType, {
						matcher: treeOver("envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput", { filter: "f", path: [{ key: "k" }] }),
					}),
				),
			`${filter}.matcher.matcherTree.input: metadata is no text, which a tree needs`,
		],
		[
			"a tree of matchers that goes on after a match",
			() => withFilter(typed("rbac", rbacType, { matcher: { onNoMatch: { ...denied, keepMatching: true } } })),
			`${filter}.matcher.onNoMatch.keepMatching: keep_matching is not supported in this context`,
		],
		[
			"a matcher of connections that looks at headers",
			() =>
				listener(
					{},
					{
						filterChains: [
							{
								filters: [
									typed("rbac", "envoy.extensions.filters.network.rbac.v3.RBAC", {
										statPrefix: "s",
										matcher: treeOver("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", { headerName: "x" }),
									}),
									typed("echo", "envoy.extensions.filters.network.echo.v3.Echo"),
								],
							},
						],
					},
				),
			"filterChains[0].filters[0].matcher.matcherTree.input: RBAC network filter cannot match 'envoy.type.matcher.v3.HttpRequestHeaderMatchInput'",
		],
		[
			"routes beside a tree of routes",
			() => table({ virtualHosts: [{ name: "v", domains: ["*"], routes: [ownRoute], matcher: treeOf(ownRouteAction) }] }),
			"virtualHosts[0]: cannot set both matcher and routes on virtual host",
		],
		[
			"a tree of routes that looks at addresses",
			() =>
				table({
					virtualHosts: [{ name: "v", domains: ["*"], matcher: treeOf(ownRouteAction, "envoy.extensions.matching.common_inputs.network.v3.SourceIPInput") }],
				}),
			"virtualHosts[0].matcher.matcherTree.input: requirement violation while creating route match tree: Route table can only match on request headers, saw 'envoy.extensions.matching.common_inputs.network.v3.SourceIPInput'",
		],
		[
			"a tree of routes with another action",
			() => table({ virtualHosts: [{ name: "v", domains: ["*"], matcher: treeOf(denied) }] }),
			'virtualHosts[0].matcher.matcherTree.exactMatchMap.map["k"].action: action of type envoy.config.rbac.v3.Action is no route (envoy.config.route.v3.Route, envoy.config.route.v3.RouteList)',
		],
		[
			"a cluster specifier that is not there",
			() => tableBy({ clusterSpecifierPlugin: "gone" }),
			`${action}.clusterSpecifierPlugin: Unknown cluster specifier plugin name: gone is used in the route`,
		],
		[
			"a cluster specifier of another type",
			() => tableBy({ inlineClusterSpecifierPlugin: { extension: typed("p", rbacType) } }),
			`${action}.inlineClusterSpecifierPlugin.extension: cluster specifier plugin of type ${rbacType} is not implemented`,
		],
		[
			"a cluster specifier that looks at certificates",
			() =>
				tableBy({
					inlineClusterSpecifierPlugin: {
						extension: typed("p", `${specifierTypes}.MatcherClusterSpecifier`, {
							clusterMatcher: treeOf(
								{ action: typed("a", `${specifierTypes}.ClusterAction`, { cluster: "a" }) },
								"envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput",
							),
						}),
					},
				}),
			`${action}.inlineClusterSpecifierPlugin.extension.clusterMatcher.matcherTree.input: cluster specifier can only match on request headers and filter state, saw 'envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput'`,
		],
		[
			"an address in the filter state",
			() =>
				table({
					virtualHosts: [
						{ name: "v", domains: ["*"], routes: [{ ...ownRoute, match: { prefix: "/", filterState: [{ key: "k", addressMatch: { ranges: [] } }] } }] },
					],
				}),
			"virtualHosts[0].routes[0].match.filterState[0].addressMatch: address_match is not implemented",
		],
		[
			"an object that Envoy acts upon and this proxy does not",
			() => withFilter(setState({ objectKey: "envoy.network.upstream_subject_alt_names" })),
			`${filter}.onRequestHeaders[0]: object factory 'envoy.network.upstream_subject_alt_names' is not implemented`,
		],
		["an object without a factory", () => withFilter(setState({ objectKey: "k" })), `${filter}.onRequestHeaders[0]: 'k' does not have an object factory`],
		[
			"an object that goes on to the upstream connection",
			() => withFilter(setState({ objectKey: "k", factoryKey: "envoy.string", sharedWithUpstream: "ONCE" })),
			`${filter}.onRequestHeaders[0].sharedWithUpstream: shared_with_upstream is not implemented`,
		],
		[
			"metadata of types",
			() =>
				withFilter(
					typed("m", "envoy.extensions.filters.http.set_metadata.v3.Config", {
						metadata: [{ metadataNamespace: "a", typedValue: { "@type": "type.googleapis.com/google.protobuf.StringValue", value: "x" } }],
					}),
				),
			`${filter}.metadata[0].typedValue: typed_value is not implemented`,
		],
		[
			"a path that is taken off the request",
			() =>
				withFilter(
					typed("h", "envoy.extensions.filters.http.header_to_metadata.v3.Config", {
						requestRules: [{ header: ":path", remove: true, onHeaderPresent: { key: "k" } }],
					}),
				),
			`${filter}.requestRules[0].remove: remove of :path is not implemented`,
		],
		[
			"a length beside chunks",
			() => listener({ httpProtocolOptions: { allowChunkedLength: true } }),
			"filterChains[0].filters[0].httpProtocolOptions.allowChunkedLength: allow_chunked_length is not implemented",
		],
		[
			"conditions on a listener filter other than the inspectors",
			() => inspector({ anyMatch: true }, "envoy.extensions.filters.listener.original_dst.v3.OriginalDst"),
			"listenerFilters[0].filterDisabled: filter_disabled is implemented for the TLS and HTTP inspectors only",
		],
	] as const;
	for (const [name, decode, error] of refused) {
		it(name, () => assert.deepEqual(decode(), { value: undefined, errors: [error] }));
	}

	it("not the gRPC counts that istiod always asks for", () => {
		assert.deepEqual(
			withFilter(typed("stats", "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", { emitFilterState: true, statsForAllMethods: false })).errors,
			[],
		);
	});
});

it("a listener filter's conditions are kept as they nest", () => {
	const port = (start: number) => ({ destinationPortRange: { start, end: start + 1 } });
	const { value } = inspector({ orMatch: { rules: [port(9080), { notMatch: { andMatch: { rules: [port(15006), { anyMatch: true }] } } }] } });
	const decoded = (start: number) => ({ kind: "destinationPort", start, end: start + 1 });
	assert.deepEqual(value?.tlsInspectorDisabled, {
		kind: "or",
		rules: [decoded(9080), { kind: "not", rule: { kind: "and", rules: [decoded(15006), { kind: "any" }] } }],
	});
	assert.equal(inspector(undefined).value?.tlsInspectorDisabled, undefined);
});

it("a route lets gRPC callers choose the timeout only when it says so", () => {
	const timeouts = (route: object) => {
		const action = tableOf(route).value?.virtualHosts[0]?.routes[0]?.action;
		return action?.kind === "route" && [action.timeoutMs, action.grpcTimeoutMaxMs];
	};
	const deadline = (maxStreamDuration: object) => {
		const action = tableOf({ maxStreamDuration }).value?.virtualHosts[0]?.routes[0]?.action;
		return action?.kind === "route" && action.grpcDeadline;
	};
	assert.deepEqual(deadline({ grpcTimeoutHeaderMax: "2s", grpcTimeoutHeaderOffset: "0.5s" }), { maxMs: 2000, offsetMs: 500 });
	assert.equal(deadline({ grpcTimeoutHeaderOffset: "0.5s" }), undefined);
	assert.deepEqual(timeouts({ timeout: "2s" }), [2000, undefined]);
	assert.deepEqual(timeouts({ timeout: "0s", maxGrpcTimeout: "0s" }), [0, 0]);
	assert.deepEqual(timeouts({ timeout: "2s", maxGrpcTimeout: "5s" }), [2000, 5000]);
});

it("a route whose optional cluster specifier is not here is left out", () => {
	const unknown = { name: "u", typedConfig: { "@type": "type.googleapis.com/xds.type.v3.TypedStruct", typeUrl: "type.googleapis.com/test.Unknown" } };
	const optional = { match: { prefix: "/" }, route: { inlineClusterSpecifierPlugin: { extension: unknown, isOptional: true } } };
	const { value, errors } = table({ virtualHosts: [{ name: "v", domains: ["*"], routes: [optional, ownRoute] }] });
	assert.deepEqual(errors, []);
	assert.deepEqual(
		value?.virtualHosts[0]?.routes.map(({ action }) => action.kind === "route" && action.cluster),
		[{ kind: "cluster", name: "a" }],
	);
});
