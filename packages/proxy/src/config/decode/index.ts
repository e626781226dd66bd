export { type DecodedCluster, decodeCluster, type DnsOptions } from "./cluster.ts";
export { decodeExtensionConfig } from "./config-discovery.ts";
export { decodeAssignment } from "./endpoints.ts";
export type { DecodeEnvironment } from "./environment.ts";
export { registerImplemented } from "./extensions.ts";
export type { Decoded } from "./issues.ts";
export { decodeListener } from "./listener.ts";
export { decodeDiscoveredHost, decodeRouteTable } from "./route-table.ts";
export { decodeSecret } from "./secret.ts";
