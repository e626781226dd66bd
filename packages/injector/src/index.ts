export { decideInjection, type Decision, type InjectReason, type NamespaceFacts, type SkipReason } from "./decide.ts";
export { injectPod, type InjectionFacts, type InjectionResult } from "./inject-pod.ts";
export { createPatch, type PatchOperation } from "./json-patch.ts";
export { injectObject, type Notice, type OfflineFacts, type OfflineResult, uninjectObject } from "./offline.ts";
export { type DecodedPod, decodePod, type Pod } from "./pod/pod.ts";
export { type DecodedSettings, decodeInjectorSettings, type InjectorSettings, type SettingsSource } from "./settings/settings.ts";
export { pathEnvironment, reviewBytesMax, reviewDepthMax, reviewInjection, type ReviewAnswer, type ReviewFacts, type ReviewInput } from "./review.ts";
export { type Workload, workloadOfPod } from "./workload.ts";
