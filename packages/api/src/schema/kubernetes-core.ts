import { anything, bool, labels, list, open, opt, type StaticOf, text } from "./builders.ts";

// https://kubernetes.io/docs/reference/kubernetes-api/: the fields that the mesh reads.

export const namespaceSchema = open({});
export type NamespaceSpec = StaticOf<typeof namespaceSchema>;

export const nodeSchema = open({ podCIDR: opt(text()), providerID: opt(text()), unschedulable: opt(bool()) });
export type NodeSpec = StaticOf<typeof nodeSchema>;

export const nodeStatusSchema = open({ addresses: opt(list(open({ type: text(), address: text() }))) });
export type NodeStatus = StaticOf<typeof nodeStatusSchema>;

export const serviceAccountSchema = open({ automountServiceAccountToken: opt(bool()), imagePullSecrets: opt(list(anything())) });
export type ServiceAccountSpec = StaticOf<typeof serviceAccountSchema>;

export const configMapSchema = open({ data: opt(labels()), binaryData: opt(labels()), immutable: opt(bool()) });
export type ConfigMapSpec = StaticOf<typeof configMapSchema>;

export const secretSchema = open({ type: opt(text()), data: opt(labels()), stringData: opt(labels()), immutable: opt(bool()) });
export type SecretSpec = StaticOf<typeof secretSchema>;
