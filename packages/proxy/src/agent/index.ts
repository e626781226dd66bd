export { type Agent, type AgentContext, startAgent } from "./agent.ts";
export { type AgentOptions, agentUsage, decodeAgentArguments, durationMs } from "./arguments.ts";
export { controlPlaneServerName, type CreateCertificate, type CreateCertificateCall, createCertificateOverGrpc } from "./certificate-client.ts";
export { runAgent } from "./main.ts";
export type { TextSource } from "./text-source.ts";
export type { WorkloadCertificate } from "./workload-certificate.ts";
export { createWorkloadIdentity, type IdentityListener, type WorkloadIdentity, type WorkloadIdentityOptions } from "./workload-identity.ts";
