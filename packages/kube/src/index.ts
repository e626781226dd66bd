export { type AccessQuestion, type ApplyOptions, createKubeClient, type KubeClient, type ListOptions, type ListResult, type WriteOptions } from "./client.ts";
export {
	type InClusterOptions,
	inClusterConnection,
	type KubeConnection,
	type KubeCredentials,
	type KubeconfigOptions,
	kubeconfigConnection,
} from "./connection.ts";
export { hasStatus, isTemporary, KubeError, KubeUnreachable } from "./errors.ts";
export { type KindChange, type KindWatchOptions, type ObservedObject, watchKind } from "./kind-watch.ts";
export { type LeaderElectionOptions, runLeaderElection } from "./lease.ts";
export { forwardPort, type PortForwardOptions } from "./port-forward.ts";
export { type KindObjects, readKind, type ReadKindOptions } from "./read-kind.ts";
export { apiVersionOf, type KubeMeta, type KubeObject, pathOf, resourceOf, type ResourceType, resources } from "./resource.ts";
export { type ResourceEvent, type ResourceWatch, type ResourceWatchOptions, type WatchState, watchResource } from "./resource-watch.ts";
export { reviewToken, type TokenVerdict } from "./token-review.ts";
export { createKubeTransport, type KubeRequest, type KubeResponse, type KubeStream, type KubeTransport } from "./transport.ts";
