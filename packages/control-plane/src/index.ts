export type { ApplyResult } from "./api.ts";
export { type ControlPlane, startControlPlane } from "./control-plane.ts";
export { versionText } from "./http-context.ts";
export { type ControlPlaneOptions, isLoopback, type SecureOptions, splitAddress } from "./options.ts";
