export { decideInjection, type Decision, type InjectReason, type NamespaceFacts, type SkipReason } from "./decide.ts";
export {
	buildGatewayObjects,
	type GatewayFacts,
	gatewayNameLabel,
	type GatewayObjects,
	type GatewayToDeploy,
	managedValue,
} from "./gateway/gateway-objects.ts";
export { type GatewayParts, parameterKeys, type ParameterSet } from "./gateway/gateway-parameters.ts";
export { injectPod, type InjectionFacts, type InjectionResult } from "./inject-pod.ts";
export { createPatch, type PatchOperation } from "./json-patch.ts";
export { injectObject, type Notice, type OfflineFacts, type OfflineResult, uninjectObject } from "./offline.ts";
export { type DecodedPod, decodePod, type Pod } from "./pod/pod.ts";
export { type DecodedSettings, decodeInjectorSettings, type InjectorSettings, isRevision, type SettingsSource } from "./settings/settings.ts";
export { pathEnvironment, reviewBytesMax, reviewDepthMax, reviewInjection, type ReviewAnswer, type ReviewFacts, type ReviewInput } from "./review.ts";
export { type Workload, workloadOfPod } from "./workload.ts";
