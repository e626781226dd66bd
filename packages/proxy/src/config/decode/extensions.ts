import { type MessageFns, registerMessages } from "@weft/xds";
import { BootstrapConfigDump, SecretsConfigDump } from "@weft/xds/generated/envoy/admin/v3/config_dump.ts";
import {
	ClustersConfigDump,
	EcdsConfigDump,
	EndpointsConfigDump,
	ListenersConfigDump,
	RoutesConfigDump,
} from "@weft/xds/generated/envoy/admin/v3/config_dump_shared.ts";
import { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { TypedExtensionConfig } from "@weft/xds/generated/envoy/config/core/v3/extension.ts";
import { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { ScopedRouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/scoped_route.ts";
import { FilterConfig, Route, RouteList, VirtualHost } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import { DogStatsdSink, StatsdSink } from "@weft/xds/generated/envoy/config/metrics/v3/stats.ts";
import { OpenTelemetryConfig } from "@weft/xds/generated/envoy/config/trace/v3/opentelemetry.ts";
import { ZipkinConfig } from "@weft/xds/generated/envoy/config/trace/v3/zipkin.ts";
import { EnvironmentResourceDetectorConfig } from "@weft/xds/generated/envoy/extensions/tracers/opentelemetry/resource_detectors/v3/environment_resource_detector.ts";
import { StaticConfigResourceDetectorConfig } from "@weft/xds/generated/envoy/extensions/tracers/opentelemetry/resource_detectors/v3/static_config_resource_detector.ts";
import { AlwaysOnSamplerConfig } from "@weft/xds/generated/envoy/extensions/tracers/opentelemetry/samplers/v3/always_on_sampler.ts";
import { FileAccessLog } from "@weft/xds/generated/envoy/extensions/access_loggers/file/v3/file.ts";
import { ExpressionFilter } from "@weft/xds/generated/envoy/extensions/access_loggers/filters/cel/v3/cel.ts";
import { HttpGrpcAccessLogConfig, TcpGrpcAccessLogConfig } from "@weft/xds/generated/envoy/extensions/access_loggers/grpc/v3/als.ts";
import { OpenTelemetryAccessLogConfig } from "@weft/xds/generated/envoy/extensions/access_loggers/open_telemetry/v3/logs_service.ts";
import { StderrAccessLog, StdoutAccessLog } from "@weft/xds/generated/envoy/extensions/access_loggers/stream/v3/stream.ts";
import { Cors, CorsPolicy } from "@weft/xds/generated/envoy/extensions/filters/http/cors/v3/cors.ts";
import { HTTPFault } from "@weft/xds/generated/envoy/extensions/filters/http/fault/v3/fault.ts";
import { FilterConfig as GrpcStatsFilterConfig } from "@weft/xds/generated/envoy/extensions/filters/http/grpc_stats/v3/config.ts";
import { HealthCheck } from "@weft/xds/generated/envoy/extensions/filters/http/health_check/v3/health_check.ts";
import { Router } from "@weft/xds/generated/envoy/extensions/filters/http/router/v3/router.ts";
import { ClusterConfig as DynamicClusterConfig } from "@weft/xds/generated/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster.ts";
import {
	FilterConfig as DynamicFilterConfig,
	PerRouteConfig as DynamicPerRouteConfig,
} from "@weft/xds/generated/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy.ts";
import { FilterConfig as SniDynamicFilterConfig } from "@weft/xds/generated/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy.ts";
import { HealthCheckEventFileSink } from "@weft/xds/generated/envoy/extensions/health_check/event_sinks/file/v3/file.ts";
import { HttpInspector } from "@weft/xds/generated/envoy/extensions/filters/listener/http_inspector/v3/http_inspector.ts";
import { OriginalDst } from "@weft/xds/generated/envoy/extensions/filters/listener/original_dst/v3/original_dst.ts";
import { OriginalSrc } from "@weft/xds/generated/envoy/extensions/filters/listener/original_src/v3/original_src.ts";
import { ProxyProtocol } from "@weft/xds/generated/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.ts";
import { TlsInspector } from "@weft/xds/generated/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.ts";
import { MongoProxy } from "@weft/xds/generated/envoy/extensions/filters/network/mongo_proxy/v3/mongo_proxy.ts";
import { ConnectionLimit } from "@weft/xds/generated/envoy/extensions/filters/network/connection_limit/v3/connection_limit.ts";
import { Config } from "@weft/xds/generated/envoy/extensions/filters/network/direct_response/v3/config.ts";
import { Echo } from "@weft/xds/generated/envoy/extensions/filters/network/echo/v3/echo.ts";
import { HttpConnectionManager } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import { SniCluster } from "@weft/xds/generated/envoy/extensions/filters/network/sni_cluster/v3/sni_cluster.ts";
import { TcpProxy } from "@weft/xds/generated/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.ts";
import { PreserveCaseFormatterConfig } from "@weft/xds/generated/envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case.ts";
import { ClusterProvided } from "@weft/xds/generated/envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided.ts";
import { LeastRequest } from "@weft/xds/generated/envoy/extensions/load_balancing_policies/least_request/v3/least_request.ts";
import { Maglev } from "@weft/xds/generated/envoy/extensions/load_balancing_policies/maglev/v3/maglev.ts";
import { Random } from "@weft/xds/generated/envoy/extensions/load_balancing_policies/random/v3/random.ts";
import { RingHash } from "@weft/xds/generated/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash.ts";
import { RoundRobin } from "@weft/xds/generated/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.ts";
import { Subset } from "@weft/xds/generated/envoy/extensions/load_balancing_policies/subset/v3/subset.ts";
import { CaresDnsResolverConfig } from "@weft/xds/generated/envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver.ts";
import { GetAddrInfoDnsResolverConfig } from "@weft/xds/generated/envoy/extensions/network/dns_resolver/getaddrinfo/v3/getaddrinfo_dns_resolver.ts";
import { UuidRequestIdConfig } from "@weft/xds/generated/envoy/extensions/request_id/uuid/v3/uuid.ts";
import { OmitCanaryHostsPredicate } from "@weft/xds/generated/envoy/extensions/retry/host/omit_canary_hosts/v3/omit_canary_hosts.ts";
import { OmitHostMetadataConfig } from "@weft/xds/generated/envoy/extensions/retry/host/omit_host_metadata/v3/omit_host_metadata_config.ts";
import { ScaleTimersOverloadActionConfig } from "@weft/xds/generated/envoy/config/overload/v3/overload.ts";
import { DownstreamConnectionsConfig } from "@weft/xds/generated/envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections.ts";
import { FixedHeapConfig } from "@weft/xds/generated/envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap.ts";
import { InjectedResourceConfig } from "@weft/xds/generated/envoy/extensions/resource_monitors/injected_resource/v3/injected_resource.ts";
import { AllowListedRoutesConfig } from "@weft/xds/generated/envoy/extensions/internal_redirect/allow_listed_routes/v3/allow_listed_routes_config.ts";
import { PreviousRoutesConfig } from "@weft/xds/generated/envoy/extensions/internal_redirect/previous_routes/v3/previous_routes_config.ts";
import { SafeCrossSchemeConfig } from "@weft/xds/generated/envoy/extensions/internal_redirect/safe_cross_scheme/v3/safe_cross_scheme_config.ts";
import { PreviousHostsPredicate } from "@weft/xds/generated/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.ts";
import { PreviousPrioritiesConfig } from "@weft/xds/generated/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.ts";
import { ProxyProtocolUpstreamTransport } from "@weft/xds/generated/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.ts";
import { RawBuffer } from "@weft/xds/generated/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.ts";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { DownstreamTlsContext, UpstreamTlsContext } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/tls.ts";
import { HttpProtocolOptions } from "@weft/xds/generated/envoy/extensions/upstreams/http/v3/http_protocol_options.ts";
import { MetadataExchange } from "@weft/xds/generated/envoy/tcp/metadataexchange/config/metadata_exchange.ts";
import { Config as HttpConfig } from "@weft/xds/generated/io/istio/http/peer_metadata/config.ts";
import { FilterConfig as AlpnFilterConfig } from "@weft/xds/generated/istio/envoy/config/filter/http/alpn/v2alpha1/config.ts";
import { PluginConfig } from "@weft/xds/generated/stats/config.ts";
import { Buffer as BufferFilter } from "@weft/xds/generated/envoy/extensions/filters/http/buffer/v3/buffer.ts";
import { BufferPerRoute } from "@weft/xds/generated/envoy/extensions/filters/http/buffer/v3/buffer.ts";
import { CsrfPolicy } from "@weft/xds/generated/envoy/extensions/filters/http/csrf/v3/csrf.ts";
import { ExtAuthz } from "@weft/xds/generated/envoy/extensions/filters/http/ext_authz/v3/ext_authz.ts";
import { ExtAuthzPerRoute } from "@weft/xds/generated/envoy/extensions/filters/http/ext_authz/v3/ext_authz.ts";
import { Config as GrpcHttp1Bridge } from "@weft/xds/generated/envoy/extensions/filters/http/grpc_http1_bridge/v3/config.ts";
import { GrpcWeb } from "@weft/xds/generated/envoy/extensions/filters/http/grpc_web/v3/grpc_web.ts";
import { OnDemand, PerRouteConfig as OnDemandPerRouteConfig } from "@weft/xds/generated/envoy/extensions/filters/http/on_demand/v3/on_demand.ts";
import { HeaderMutation } from "@weft/xds/generated/envoy/extensions/filters/http/header_mutation/v3/header_mutation.ts";
import { HeaderMutationPerRoute } from "@weft/xds/generated/envoy/extensions/filters/http/header_mutation/v3/header_mutation.ts";
import { JwtAuthentication } from "@weft/xds/generated/envoy/extensions/filters/http/jwt_authn/v3/config.ts";
import { PerRouteConfig } from "@weft/xds/generated/envoy/extensions/filters/http/jwt_authn/v3/config.ts";
import { RateLimit, RateLimitPerRoute } from "@weft/xds/generated/envoy/extensions/filters/http/ratelimit/v3/rate_limit.ts";
import { BandwidthLimit } from "@weft/xds/generated/envoy/extensions/filters/http/bandwidth_limit/v3/bandwidth_limit.ts";
import { LocalRateLimit } from "@weft/xds/generated/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.ts";
import { Runtime } from "@weft/xds/generated/envoy/service/runtime/v3/rtds.ts";
import { RBAC } from "@weft/xds/generated/envoy/extensions/filters/http/rbac/v3/rbac.ts";
import { RBACPerRoute } from "@weft/xds/generated/envoy/extensions/filters/http/rbac/v3/rbac.ts";
import { StatefulSession } from "@weft/xds/generated/envoy/extensions/filters/http/stateful_session/v3/stateful_session.ts";
import { StatefulSessionPerRoute } from "@weft/xds/generated/envoy/extensions/filters/http/stateful_session/v3/stateful_session.ts";
import { CookieBasedSessionState } from "@weft/xds/generated/envoy/extensions/http/stateful_session/cookie/v3/cookie.ts";
import { HeaderBasedSessionState } from "@weft/xds/generated/envoy/extensions/http/stateful_session/header/v3/header.ts";
import { UriTemplateMatchConfig } from "@weft/xds/generated/envoy/extensions/path/match/uri_template/v3/uri_template_match.ts";
import { UriTemplateRewriteConfig } from "@weft/xds/generated/envoy/extensions/path/rewrite/uri_template/v3/uri_template_rewrite.ts";
import { RBAC as NetworkRbac } from "@weft/xds/generated/envoy/extensions/filters/network/rbac/v3/rbac.ts";
import { ExtAuthz as NetworkExtAuthz } from "@weft/xds/generated/envoy/extensions/filters/network/ext_authz/v3/ext_authz.ts";
import { LocalRateLimit as NetworkLocalRateLimit } from "@weft/xds/generated/envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit.ts";
import { ClusterAction, MatcherClusterSpecifier } from "@weft/xds/generated/envoy/extensions/router/cluster_specifiers/matcher/v3/matcher.ts";
import { Config as HeaderToMetadata } from "@weft/xds/generated/envoy/extensions/filters/http/header_to_metadata/v3/header_to_metadata.ts";
import { Config as SetFilterState } from "@weft/xds/generated/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state.ts";
import { Config as SetMetadata } from "@weft/xds/generated/envoy/extensions/filters/http/set_metadata/v3/set_metadata.ts";
import { Config as NetworkSetFilterState } from "@weft/xds/generated/envoy/extensions/filters/network/set_filter_state/v3/set_filter_state.ts";
import { TypedStruct } from "@weft/xds/generated/udpa/type/v1/typed_struct.ts";
import { TypedStruct as TypeTypedStruct } from "@weft/xds/generated/xds/type/v3/typed_struct.ts";
import { Action as RbacAction } from "@weft/xds/generated/envoy/config/rbac/v3/rbac.ts";
import { DynamicMetadataInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/network/v3/dynamic_metadata_input.ts";
import { DestinationIPInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/network/v3/network_inputs.ts";
import { DestinationPortInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/network/v3/network_inputs.ts";
import { DirectSourceIPInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/network/v3/network_inputs.ts";
import { FilterStateInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/network/v3/network_inputs.ts";
import { ServerNameInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/network/v3/network_inputs.ts";
import { SourceIPInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/network/v3/network_inputs.ts";
import { SourcePortInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/network/v3/network_inputs.ts";
import { SourceTypeInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/network/v3/network_inputs.ts";
import { TransportProtocolInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/network/v3/network_inputs.ts";
import { ApplicationProtocolInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/network/v3/network_inputs.ts";
import { StringValue } from "@weft/xds/generated/google/protobuf/wrappers.ts";
import { DnsSanInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs.ts";
import { SubjectInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs.ts";
import { UriSanInput } from "@weft/xds/generated/envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs.ts";
import { Ip as IpInputMatcher } from "@weft/xds/generated/envoy/extensions/matching/input_matchers/ip/v3/ip.ts";
import { Metadata as MetadataInputMatcher } from "@weft/xds/generated/envoy/extensions/matching/input_matchers/metadata/v3/metadata.ts";
import { HttpRequestHeaderMatchInput } from "@weft/xds/generated/envoy/type/matcher/v3/http_inputs.ts";
import { CelMatcher } from "@weft/xds/generated/xds/type/matcher/v3/cel.ts";
import { ServerNameMatcher } from "@weft/xds/generated/xds/type/matcher/v3/domain.ts";
import { HttpAttributesCelMatchInput } from "@weft/xds/generated/xds/type/matcher/v3/http_inputs.ts";
import { IPMatcher } from "@weft/xds/generated/xds/type/matcher/v3/ip.ts";
import { Cel as CelFormatter } from "@weft/xds/generated/envoy/extensions/formatter/cel/v3/cel.ts";
import { Metadata as MetadataFormatter } from "@weft/xds/generated/envoy/extensions/formatter/metadata/v3/metadata.ts";
import { ReqWithoutQuery } from "@weft/xds/generated/envoy/extensions/formatter/req_without_query/v3/req_without_query.ts";

/**
 * Every message that may stand inside an Any of a configuration that this proxy accepts. A type that is not here is not
 * implemented, and naming it is an error: so this list is what the proxy can do, and it carries the code of nothing else.
 */
const implemented: Readonly<Record<string, MessageFns>> = {
	"envoy.admin.v3.BootstrapConfigDump": BootstrapConfigDump,
	"envoy.admin.v3.ClustersConfigDump": ClustersConfigDump,
	"envoy.admin.v3.ListenersConfigDump": ListenersConfigDump,
	"envoy.admin.v3.RoutesConfigDump": RoutesConfigDump,
	"envoy.admin.v3.EcdsConfigDump": EcdsConfigDump,
	"envoy.admin.v3.SecretsConfigDump": SecretsConfigDump,
	"envoy.admin.v3.EndpointsConfigDump": EndpointsConfigDump,
	"envoy.config.bootstrap.v3.Bootstrap": Bootstrap,
	"envoy.config.cluster.v3.Cluster": Cluster,
	"envoy.config.core.v3.TypedExtensionConfig": TypedExtensionConfig,
	"envoy.config.endpoint.v3.ClusterLoadAssignment": ClusterLoadAssignment,
	"envoy.config.listener.v3.Listener": Listener,
	"envoy.config.metrics.v3.DogStatsdSink": DogStatsdSink,
	"envoy.config.metrics.v3.StatsdSink": StatsdSink,
	"envoy.config.route.v3.RouteConfiguration": RouteConfiguration,
	"envoy.config.route.v3.ScopedRouteConfiguration": ScopedRouteConfiguration,
	"envoy.config.route.v3.VirtualHost": VirtualHost,
	"envoy.config.route.v3.FilterConfig": FilterConfig,
	"envoy.config.route.v3.Route": Route,
	"envoy.config.route.v3.RouteList": RouteList,
	"envoy.config.trace.v3.OpenTelemetryConfig": OpenTelemetryConfig,
	"envoy.config.trace.v3.ZipkinConfig": ZipkinConfig,
	"envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig": EnvironmentResourceDetectorConfig,
	"envoy.extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig": StaticConfigResourceDetectorConfig,
	"envoy.extensions.tracers.opentelemetry.samplers.v3.AlwaysOnSamplerConfig": AlwaysOnSamplerConfig,
	"envoy.extensions.access_loggers.file.v3.FileAccessLog": FileAccessLog,
	"envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter": ExpressionFilter,
	"envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig": HttpGrpcAccessLogConfig,
	"envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig": TcpGrpcAccessLogConfig,
	"envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig": OpenTelemetryAccessLogConfig,
	"envoy.extensions.access_loggers.stream.v3.StdoutAccessLog": StdoutAccessLog,
	"envoy.extensions.access_loggers.stream.v3.StderrAccessLog": StderrAccessLog,
	"envoy.extensions.filters.http.cors.v3.Cors": Cors,
	"envoy.extensions.filters.http.cors.v3.CorsPolicy": CorsPolicy,
	"envoy.extensions.filters.http.fault.v3.HTTPFault": HTTPFault,
	"envoy.extensions.filters.http.grpc_stats.v3.FilterConfig": GrpcStatsFilterConfig,
	"envoy.extensions.filters.http.health_check.v3.HealthCheck": HealthCheck,
	"envoy.extensions.filters.http.router.v3.Router": Router,
	"envoy.extensions.filters.http.buffer.v3.Buffer": BufferFilter,
	"envoy.extensions.filters.http.buffer.v3.BufferPerRoute": BufferPerRoute,
	"envoy.extensions.filters.http.csrf.v3.CsrfPolicy": CsrfPolicy,
	"envoy.extensions.filters.http.ext_authz.v3.ExtAuthz": ExtAuthz,
	"envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute": ExtAuthzPerRoute,
	"envoy.extensions.filters.http.grpc_http1_bridge.v3.Config": GrpcHttp1Bridge,
	"envoy.extensions.filters.http.grpc_web.v3.GrpcWeb": GrpcWeb,
	"envoy.extensions.filters.http.on_demand.v3.OnDemand": OnDemand,
	"envoy.extensions.filters.http.on_demand.v3.PerRouteConfig": OnDemandPerRouteConfig,
	"envoy.extensions.filters.http.header_to_metadata.v3.Config": HeaderToMetadata,
	"envoy.extensions.filters.http.set_filter_state.v3.Config": SetFilterState,
	"envoy.extensions.filters.http.set_metadata.v3.Config": SetMetadata,
	"envoy.extensions.filters.http.header_mutation.v3.HeaderMutation": HeaderMutation,
	"envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute": HeaderMutationPerRoute,
	"envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication": JwtAuthentication,
	"envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig": PerRouteConfig,
	"envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit": BandwidthLimit,
	"envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit": LocalRateLimit,
	"envoy.extensions.filters.http.ratelimit.v3.RateLimit": RateLimit,
	"envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute": RateLimitPerRoute,
	"envoy.extensions.filters.http.rbac.v3.RBAC": RBAC,
	"envoy.extensions.filters.http.rbac.v3.RBACPerRoute": RBACPerRoute,
	"envoy.extensions.filters.http.stateful_session.v3.StatefulSession": StatefulSession,
	"envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute": StatefulSessionPerRoute,
	"envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState": CookieBasedSessionState,
	"envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState": HeaderBasedSessionState,
	"envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig": UriTemplateMatchConfig,
	"envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig": UriTemplateRewriteConfig,
	"envoy.extensions.filters.network.rbac.v3.RBAC": NetworkRbac,
	"envoy.extensions.filters.network.set_filter_state.v3.Config": NetworkSetFilterState,
	"envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit": NetworkLocalRateLimit,
	"envoy.extensions.filters.network.ext_authz.v3.ExtAuthz": NetworkExtAuthz,
	"envoy.extensions.filters.listener.http_inspector.v3.HttpInspector": HttpInspector,
	"envoy.extensions.filters.listener.original_dst.v3.OriginalDst": OriginalDst,
	"envoy.extensions.filters.listener.original_src.v3.OriginalSrc": OriginalSrc,
	"envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol": ProxyProtocol,
	"envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector": TlsInspector,
	"envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit": ConnectionLimit,
	"envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy": MongoProxy,
	"envoy.extensions.filters.network.direct_response.v3.Config": Config,
	"envoy.extensions.filters.network.echo.v3.Echo": Echo,
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": HttpConnectionManager,
	"envoy.extensions.filters.network.sni_cluster.v3.SniCluster": SniCluster,
	"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy": TcpProxy,
	"envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig": DynamicClusterConfig,
	"envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig": DynamicFilterConfig,
	"envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig": DynamicPerRouteConfig,
	"envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig": SniDynamicFilterConfig,
	"envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink": HealthCheckEventFileSink,
	"envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig": PreserveCaseFormatterConfig,
	"envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided": ClusterProvided,
	"envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest": LeastRequest,
	"envoy.extensions.load_balancing_policies.maglev.v3.Maglev": Maglev,
	"envoy.extensions.load_balancing_policies.random.v3.Random": Random,
	"envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash": RingHash,
	"envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin": RoundRobin,
	"envoy.extensions.load_balancing_policies.subset.v3.Subset": Subset,
	"envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig": CaresDnsResolverConfig,
	"envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig": GetAddrInfoDnsResolverConfig,
	"envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig": UuidRequestIdConfig,
	"envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig": AllowListedRoutesConfig,
	"envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig": PreviousRoutesConfig,
	"envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig": SafeCrossSchemeConfig,
	"envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate": OmitCanaryHostsPredicate,
	"envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig": OmitHostMetadataConfig,
	"envoy.config.overload.v3.ScaleTimersOverloadActionConfig": ScaleTimersOverloadActionConfig,
	"envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig": DownstreamConnectionsConfig,
	"envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig": FixedHeapConfig,
	"envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig": InjectedResourceConfig,
	"envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate": PreviousHostsPredicate,
	"envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig": PreviousPrioritiesConfig,
	"envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport": ProxyProtocolUpstreamTransport,
	"envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer": RawBuffer,
	"envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext": DownstreamTlsContext,
	"envoy.extensions.transport_sockets.tls.v3.Secret": Secret,
	"envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext": UpstreamTlsContext,
	"envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction": ClusterAction,
	"envoy.extensions.router.cluster_specifiers.matcher.v3.MatcherClusterSpecifier": MatcherClusterSpecifier,
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": HttpProtocolOptions,
	"envoy.tcp.metadataexchange.config.MetadataExchange": MetadataExchange,
	"io.istio.http.peer_metadata.Config": HttpConfig,
	"istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig": AlpnFilterConfig,
	"stats.PluginConfig": PluginConfig,
	"udpa.type.v1.TypedStruct": TypedStruct,
	"xds.type.v3.TypedStruct": TypeTypedStruct,
	"envoy.config.rbac.v3.Action": RbacAction,
	"envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput": DynamicMetadataInput,
	"envoy.extensions.matching.common_inputs.network.v3.DestinationIPInput": DestinationIPInput,
	"envoy.extensions.matching.common_inputs.network.v3.DestinationPortInput": DestinationPortInput,
	"envoy.extensions.matching.common_inputs.network.v3.DirectSourceIPInput": DirectSourceIPInput,
	"envoy.extensions.matching.common_inputs.network.v3.FilterStateInput": FilterStateInput,
	"envoy.extensions.matching.common_inputs.network.v3.ServerNameInput": ServerNameInput,
	"envoy.extensions.matching.common_inputs.network.v3.SourceIPInput": SourceIPInput,
	"envoy.extensions.matching.common_inputs.network.v3.SourcePortInput": SourcePortInput,
	"envoy.extensions.matching.common_inputs.network.v3.SourceTypeInput": SourceTypeInput,
	"envoy.extensions.matching.common_inputs.network.v3.TransportProtocolInput": TransportProtocolInput,
	"envoy.extensions.matching.common_inputs.network.v3.ApplicationProtocolInput": ApplicationProtocolInput,
	"google.protobuf.StringValue": StringValue,
	"envoy.service.runtime.v3.Runtime": Runtime,
	"envoy.extensions.matching.common_inputs.ssl.v3.DnsSanInput": DnsSanInput,
	"envoy.extensions.matching.common_inputs.ssl.v3.SubjectInput": SubjectInput,
	"envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput": UriSanInput,
	"envoy.extensions.matching.input_matchers.ip.v3.Ip": IpInputMatcher,
	"envoy.extensions.matching.input_matchers.metadata.v3.Metadata": MetadataInputMatcher,
	"envoy.type.matcher.v3.HttpRequestHeaderMatchInput": HttpRequestHeaderMatchInput,
	"xds.type.matcher.v3.CelMatcher": CelMatcher,
	"xds.type.matcher.v3.ServerNameMatcher": ServerNameMatcher,
	"xds.type.matcher.v3.HttpAttributesCelMatchInput": HttpAttributesCelMatchInput,
	"xds.type.matcher.v3.IPMatcher": IPMatcher,
	"envoy.extensions.formatter.cel.v3.Cel": CelFormatter,
	"envoy.extensions.formatter.metadata.v3.Metadata": MetadataFormatter,
	"envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery": ReqWithoutQuery,
};

/** To be called once, before anything is decoded. */
export function registerImplemented(): void {
	registerMessages(implemented);
}
