export { type Diagnostic, diagnosticCodes, formatDiagnostic, hasErrors, type Severity } from "./diagnostic.ts";
export { parseDurationMs } from "./duration.ts";
export { grpcStatusNames } from "./grpc-status.ts";
export {
	type AnyConfig,
	apiVersionsOf,
	type ConfigObject,
	isKind,
	isKindOf,
	type Kind,
	type KindInfo,
	kindInfo,
	kindNames,
	kinds,
	type ObjectRef,
	objectKindOf,
	resolveKind,
	type SpecOf,
} from "./kinds.ts";
export type { ObjectMeta, Origin, OwnerReference } from "./metadata.ts";
export {
	type AuthorizationAction,
	type AuthorizationCondition,
	type AuthorizationOperation,
	type AuthorizationPolicySpec,
	type AuthorizationRule,
	type AuthorizationSource,
	authorizationActions,
} from "./schema/authorization-policy.ts";
export type {
	Destination,
	HeaderOperations,
	Headers,
	HTTPRetry,
	LocalityLoadBalancerSetting,
	MatchLabelsSelector,
	Percent,
	Port,
	PortSelector,
	ProviderRef,
	ServicePort,
	SidecarPort,
	StringMatch,
	TargetRef,
	TcpKeepalive,
	WorkloadSelector,
} from "./schema/common.ts";
export type {
	ClientTLSSettings,
	ConnectionPoolSettings,
	ConsistentHashLB,
	DestinationRuleSpec,
	LoadBalancerSettings,
	OutlierDetection,
	PortTrafficPolicy,
	Subset,
	TrafficPolicy,
} from "./schema/destination-rule.ts";
export {
	type ClusterMatch,
	type EnvoyConfigObjectMatch,
	type EnvoyConfigObjectPatch,
	type EnvoyFilterSpec,
	type ListenerMatch,
	type RouteConfigurationMatch,
} from "./schema/envoy-filter.ts";
export type { ExtensionProvider } from "./schema/extension-provider.ts";
export type {
	AllowedRoutes,
	BackendRef,
	BackendTLSPolicySpec,
	CORSFilter,
	GatewayClassSpec,
	GRPCRouteFilter,
	GRPCRouteMatch,
	GRPCRouteRule,
	GRPCRouteSpec,
	HeaderModifier,
	HTTPRouteFilter,
	HTTPRouteMatch,
	HTTPRouteRule,
	HTTPRouteSpec,
	KubernetesGatewaySpec,
	L4RouteRule,
	Listener,
	ListenerSetSpec,
	ListenerTLS,
	NamespaceSelector,
	ParentReference,
	ReferenceGrantSpec,
	RequestMirrorFilter,
	RequestRedirectFilter,
	RouteGroupKind,
	SecretObjectReference,
	TCPRouteSpec,
	TLSRouteSpec,
	URLRewriteFilter,
	ValueMatch,
} from "./schema/gateway-api.ts";
export type { GatewaySpec, Server, ServerTLSSettings } from "./schema/gateway.ts";
export type { IngressBackend, IngressClassSpec, IngressPath, IngressRule, IngressSpec } from "./schema/ingress.ts";
export type { ConfigMapSpec, NamespaceSpec, NodeSpec, NodeStatus, SecretSpec, ServiceAccountSpec } from "./schema/kubernetes-core.ts";
export type {
	Endpoint,
	EndpointPort,
	EndpointSliceSpec,
	EndpointsSpec,
	KubeServicePort,
	KubeServiceSpec,
	ObjectReference,
	ServiceStatus,
} from "./schema/kubernetes-network.ts";
export type {
	Container,
	ContainerPort,
	DeploymentSpec,
	EnvVar,
	JobSpec,
	LabelSelector,
	PodSpec,
	PodStatus,
	PodTemplate,
	Probe,
	ReplicaSetSpec,
	StatefulSetSpec,
} from "./schema/kubernetes-workload.ts";
export { type MeshConfig, mergeMeshConfig, meshConfigDefaults, type ResolvedMeshConfig, resolveMeshConfig } from "./schema/mesh-config.ts";
export type { MutualTLS, PeerAuthenticationSpec } from "./schema/peer-authentication.ts";
export type { ProxyConfig, Tracing } from "./schema/proxy-config.ts";
export type { ProxyConfigSpec } from "./schema/proxy-config-resource.ts";
export type { TrafficExtensionSpec, TrafficSelector, WasmConfig, WasmPluginSpec } from "./schema/proxy-extension.ts";
export type { GlobalRateLimit, RateLimitEntrySpec, RateLimitKey, RateLimitMatch, RateLimitRule, RateLimitSpec } from "./schema/rate-limit.ts";
export type { JWTRule, RequestAuthenticationSpec } from "./schema/request-authentication.ts";
export type { ServiceEntrySpec, WorkloadEntrySpec } from "./schema/service-entry.ts";
export type { IstioEgressListener, IstioIngressListener, SidecarSpec } from "./schema/sidecar.ts";
export {
	type MetricName,
	type MetricsOverride,
	metricNames,
	type TagOverride,
	type TelemetryAccessLogging,
	type TelemetryCustomTag,
	type TelemetryMetrics,
	type TelemetrySpec,
	type TelemetryTracing,
	type WorkloadMode,
} from "./schema/telemetry.ts";
export type {
	CorsPolicy,
	Delegate,
	HTTPBody,
	HTTPDirectResponse,
	HTTPFaultInjection,
	HTTPMatchRequest,
	HTTPMirrorPolicy,
	HTTPRedirect,
	HTTPRewrite,
	HTTPRoute,
	HTTPRouteDestination,
	L4MatchAttributes,
	RouteDestination,
	TCPRoute,
	TLSMatchAttributes,
	TLSRoute,
	VirtualServiceSpec,
} from "./schema/virtual-service.ts";
export type { ReadinessProbe, WorkloadGroupSpec } from "./schema/workload-group.ts";
export { nodeStatus, podStatus, serviceStatus } from "./status.ts";
export type { MeshNetworks } from "./schema/mesh-networks.ts";
export { decodeMeshConfigValue } from "./validation/mesh-config.ts";
export { decodeMeshNetworksValue } from "./validation/mesh-networks.ts";
export type { MeshConfigReader } from "./validation/mesh-config-unused.ts";
export { isPathTemplate } from "./validation/rules-authorization-policy.ts";
export { usableCipherSuites } from "./validation/cipher-suites.ts";
export { hostsOverlap } from "./validation/names.ts";
export { formatPath, type Path } from "./validation/report.ts";
export { didYouMean, nearNames } from "./validation/suggestion.ts";
export { type Decoded, decodeObject, type Location, validateObject } from "./validation/validate.ts";
export { crdFileName, crdKinds, crdYaml, jsonSchemaOf } from "./crd.ts";
export {
	loadBalancerAnnotation,
	type OutlierFailurePercentage,
	outlierFailurePercentageAnnotation,
	type OwnLoadBalancer,
	parseOutlierFailurePercentage,
	parseOwnLoadBalancer,
} from "./destination-rule-annotations.ts";
