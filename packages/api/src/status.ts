import type { ConfigObject } from "./kinds.ts";
import type { NodeStatus } from "./schema/kubernetes-core.ts";
import type { ServiceStatus } from "./schema/kubernetes-network.ts";
import type { PodStatus } from "./schema/kubernetes-workload.ts";

// Status is checked against its schema when an object is decoded, hence these casts hold for every object that galley admits.

export const podStatus = (pod: ConfigObject<"Pod">): PodStatus => pod.status ?? {};
export const serviceStatus = (service: ConfigObject<"Service">): ServiceStatus => service.status ?? {};
export const nodeStatus = (node: ConfigObject<"Node">): NodeStatus => node.status ?? {};
