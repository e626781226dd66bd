export type { ResolveGateway } from "./discovery/gateway-names.ts";
export type { JwksTransport } from "./discovery/jwks-fetcher.ts";
export { createDiscovery, type Discovery, type DiscoveryOptions, type SecretAccess } from "./discovery/discovery.ts";
export { type ConfigStatus, configStatus, type ConfigStatusInput, statusInput } from "./discovery/config-status.ts";
export { addSpreads, type Distribution, noSpread, type Spread } from "./discovery/distribution.ts";
export { wantedResources } from "./discovery/wanted-resources.ts";
export type { Convergence, Refusal } from "./discovery/sync-status.ts";
export {
	type Condition,
	controllerName,
	type GatewayApiStatus,
	type GatewayStatus,
	type ListenerStatus,
	type PolicyAncestorStatus,
	type RouteParentStatus,
} from "./model/gateway-api/status.ts";
export { type AutoRegistration, type AutoRegistrationOptions, createAutoRegistration } from "./registration/auto-registration.ts";
export {
	createStoreEntries,
	EntryChangedError,
	type EntryRef,
	type StoredEntry,
	type WorkloadEntries,
	type WorkloadEntry,
} from "./registration/workload-entries.ts";
export { type DecodedInstance, decodeInstance, type InstanceRequest } from "./registration/instance-request.ts";
export { createRegistrations, type Refusal as RegistrationRefusal, type Registered, type Registrations } from "./registration/registrations.ts";
export { type RegisteredWorkload, registeredWorkloads } from "./registration/registered-workloads.ts";
export { conditionsOf, entryAnnotations, type EntryCondition } from "./model/entry-registration.ts";
export { type DeployedGateway, deployedGateways } from "./model/gateway-api/gateways.ts";
export { computedStatus } from "./model/computed-status.ts";
export { buildPush, type PushInput } from "./model/build-push.ts";
export { objectChecks } from "./model/object-checks.ts";
export { proxyConfigFor } from "./model/proxy-configs.ts";
export { destinationRuleFor, endpointsOf, inboundPorts, mtlsMode, virtualServices } from "./model/lookup.ts";
export { decodeNode, NodeError, type XdsNode } from "./model/node.ts";
export type { LocalBinding, ProxyNode } from "./model/proxy-node.ts";
export type { DestinationRule, Gateway, InboundPort, Mesh, PushSnapshot, Scope, VirtualService } from "./model/push.ts";
export { scopeOf } from "./model/scope.ts";
export type { Endpoint, Locality, Service, ServicePort } from "./model/service.ts";
export type { ConfigSnapshot } from "./model/snapshot.ts";
export type { EncodedResource, Resources } from "./translator/context.ts";
export { type ResourceStats, stats } from "./translator/encode.ts";
export { offlineSecrets } from "./translator/offline-secrets.ts";
export { type OfflineResources, type ProxyResources, resourcesOf, translateAll } from "./translator/offline.ts";
export { telemetriesFor } from "./translator/policy/telemetry.ts";
export { resourceView } from "./translator/resource-view.ts";
export { type ResourceSet, type Translation, translate } from "./translator/translator.ts";
