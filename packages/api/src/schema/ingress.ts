import { int32, list, obj, oneOf, open, opt, type StaticOf, text } from "./builders.ts";

// https://kubernetes.io/docs/reference/kubernetes-api/service-resources/ingress-v1/

const ingressBackendSchema = open({
	service: opt(obj({ name: text(), port: opt(obj({ name: opt(text()), number: opt(int32()) })) })),
	resource: opt(open({ apiGroup: opt(text()), kind: text(), name: text() })),
});
export type IngressBackend = StaticOf<typeof ingressBackendSchema>;

const ingressPathSchema = open({
	path: opt(text()),
	pathType: opt(oneOf(["Exact", "Prefix", "ImplementationSpecific"])),
	backend: ingressBackendSchema,
});
export type IngressPath = StaticOf<typeof ingressPathSchema>;

const ingressRuleSchema = open({ host: opt(text()), http: opt(open({ paths: list(ingressPathSchema) })) });
export type IngressRule = StaticOf<typeof ingressRuleSchema>;

export const ingressSchema = open({
	ingressClassName: opt(text()),
	defaultBackend: opt(ingressBackendSchema),
	tls: opt(list(open({ hosts: opt(list(text())), secretName: opt(text()) }))),
	rules: opt(list(ingressRuleSchema)),
});
export type IngressSpec = StaticOf<typeof ingressSchema>;

export const ingressClassSchema = open({ controller: opt(text()) });
export type IngressClassSpec = StaticOf<typeof ingressClassSchema>;
