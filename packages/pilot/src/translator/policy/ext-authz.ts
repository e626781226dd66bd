import type { ExtensionProvider } from "@weft/api";
import { ApiVersion } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import { ExtAuthz } from "@weft/xds/generated/envoy/extensions/filters/http/ext_authz/v3/ext_authz.ts";
import { ExtAuthz as NetworkExtAuthz } from "@weft/xds/generated/envoy/extensions/filters/network/ext_authz/v3/ext_authz.ts";
import { StatusCode } from "@weft/xds/generated/envoy/type/v3/http_status.ts";
import type { HttpFilter } from "../listeners/http-filters/filter.ts";
import type { NetworkFilter } from "../listeners/network-filters.ts";
import { durationOf, packed } from "../routes/values.ts";
import { metadataMatcher } from "./matchers.ts";
import { envoyGrpc, resolveProviderService, type ServicesByHost } from "./provider-service.ts";

// https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshConfig-ExtensionProvider-EnvoyExternalAuthorizationHttpProvider

/** What asks an external authorizer, on chains of either kind. */
export interface Authorizer {
	readonly http: HttpFilter;
	/** An authorizer by HTTP cannot be asked about connections. */
	readonly tcp: NetworkFilter | undefined;
}

/** Prefixes of the ids by which the RBAC filter in front marks what the authorizer is to be asked for. */
export const authorizerPrefix = (provider: string): string => `istio-ext-authz-${provider}`;

/** Undefined for a provider that is not there, is none for authorization, or is not reachable: then everything it would judge is denied. */
export function buildAuthorizer(provider: ExtensionProvider | undefined, services: ServicesByHost): Authorizer | undefined {
	const { name = "", envoyExtAuthzHttp: http, envoyExtAuthzGrpc: grpc } = provider ?? {};
	const config = http ?? grpc;
	const target = config && resolveProviderService(services, config.service, config.port);
	if (config === undefined || target === undefined || !isStatus(config.statusOnError)) return undefined;
	const common = {
		failureModeAllow: config.failOpen === true,
		...(config.statusOnError ? { statusOnError: { code: Number(config.statusOnError) } } : {}),
		transportApiVersion: ApiVersion.V3,
		clearRouteCache: config.clearRouteCache === true,
		...(config.includeRequestBodyInCheck ? { withRequestBody: config.includeRequestBodyInCheck } : {}),
	};
	if (http) {
		if (wildcards(http)) return undefined;
		const service = { ...common, ...httpService(http, target.hostname, target.cluster), filterEnabledMetadata: enabled("envoy.filters.http.rbac", name) };
		return { http: httpFilter(service), tcp: undefined };
	}
	const grpcService = envoyGrpc(target, { timeout: durationOf(config.timeout) ?? defaultTimeout });
	return {
		http: httpFilter({ ...common, grpcService, filterEnabledMetadata: enabled("envoy.filters.http.rbac", name) }),
		tcp: {
			name: "envoy.filters.network.ext_authz",
			typedConfig: packed("envoy.extensions.filters.network.ext_authz.v3.ExtAuthz", NetworkExtAuthz, {
				statPrefix: "tcp.",
				failureModeAllow: config.failOpen === true,
				transportApiVersion: ApiVersion.V3,
				grpcService,
				filterEnabledMetadata: enabled("envoy.filters.network.rbac", name),
			}),
		},
	};
}

/** Istio's own: the limit that users set is then the DestinationRule's. */
const defaultTimeout = { seconds: 600n, nanos: 0 };

function httpFilter(config: object): HttpFilter {
	return { name: "envoy.filters.http.ext_authz", typedConfig: packed("envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", ExtAuthz, config) };
}

/** The authorizer is asked only for what the RBAC filter in front has marked. */
function enabled(filter: string, provider: string): object {
	return metadataMatcher(filter, ["istio_ext_authz_shadow_effective_policy_id"], { stringMatch: { prefix: authorizerPrefix(provider) } });
}

const statusNames: ReadonlySet<number> = new Set(Object.values(StatusCode).filter((code) => typeof code === "number"));

/** Envoy takes the codes of its enumeration only. */
const isStatus = (text: string | undefined): boolean => !text || statusNames.has(Number(text));

type HttpProvider = NonNullable<ExtensionProvider["envoyExtAuthzHttp"]>;

function httpService(provider: HttpProvider, hostname: string, cluster: string): object {
	const checked = headers(provider.includeRequestHeadersInCheck) ?? headers(provider.includeHeadersInCheck);
	const added = Object.entries(provider.includeAdditionalHeadersInCheck ?? {})
		.sort(([a], [b]) => (a < b ? -1 : 1))
		.map(([key, value]) => ({ key, value }));
	const upstream = headers(provider.headersToUpstreamOnAllow);
	const denied = headers(provider.headersToDownstreamOnDeny);
	const allowed = headers(provider.headersToDownstreamOnAllow);
	return {
		// Envoy moved this list from the service to the filter.
		...(checked ? { allowedHeaders: checked } : {}),
		httpService: {
			pathPrefix: provider.pathPrefix ?? "",
			serverUri: { uri: `http://${hostname}`, cluster, timeout: durationOf(provider.timeout) ?? defaultTimeout },
			...(added.length > 0 ? { authorizationRequest: { headersToAdd: added } } : {}),
			...(upstream || denied || allowed
				? { authorizationResponse: { allowedUpstreamHeaders: upstream, allowedClientHeaders: denied, allowedClientHeadersOnSuccess: allowed } }
				: {}),
		},
	};
}

function headers(names: readonly string[] | undefined): object | undefined {
	if (!names?.length) return undefined;
	return { patterns: names.map((name) => ({ ...headerName(name), ignoreCase: true })) };
}

function headerName(name: string): object {
	if (name.startsWith("*")) return { suffix: name.slice(1) };
	return name.endsWith("*") ? { prefix: name.slice(0, -1) } : { exact: name };
}

/** A lone `*` would hand everything over, credentials with it: Istio refuses such a provider. */
function wildcards(provider: HttpProvider): boolean {
	const lists = [
		provider.includeRequestHeadersInCheck,
		provider.includeHeadersInCheck,
		provider.headersToUpstreamOnAllow,
		provider.headersToDownstreamOnDeny,
		provider.headersToDownstreamOnAllow,
	];
	return lists.some((list) => list?.includes("*"));
}
