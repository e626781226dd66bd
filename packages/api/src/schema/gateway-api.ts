import { type StaticOf, anything, bool, duration, int32, labels, list, map, obj, oneOf, opt, text } from "./builders.ts";

// https://gateway-api.sigs.k8s.io/reference/spec/

const port = () => int32();

const parentRefSchema = obj({
	group: opt(text()),
	kind: opt(text()),
	namespace: opt(text()),
	name: text(),
	sectionName: opt(text()),
	port: opt(port()),
});
export type ParentReference = StaticOf<typeof parentRefSchema>;

const backendObject = { group: opt(text()), kind: opt(text()), name: text(), namespace: opt(text()), port: opt(port()) };
const backendObjectSchema = obj(backendObject);
const backendRefSchema = obj({ ...backendObject, weight: opt(int32()) });
export type BackendRef = StaticOf<typeof backendRefSchema>;

const secretRefSchema = obj({ group: opt(text()), kind: opt(text()), name: text(), namespace: opt(text()) });
export type SecretObjectReference = StaticOf<typeof secretRefSchema>;

const selectorSchema = obj({
	matchLabels: opt(labels()),
	matchExpressions: opt(list(obj({ key: text(), operator: oneOf(["In", "NotIn", "Exists", "DoesNotExist"]), values: opt(list(text())) }))),
});
export type NamespaceSelector = StaticOf<typeof selectorSchema>;

// Gateways

export const gatewayClassSchema = obj({
	controllerName: text(),
	parametersRef: opt(obj({ group: text(), kind: text(), name: text(), namespace: opt(text()) })),
	description: opt(text()),
});
export type GatewayClassSpec = StaticOf<typeof gatewayClassSchema>;

const routeKindSchema = obj({ group: opt(text()), kind: text() });
export type RouteGroupKind = StaticOf<typeof routeKindSchema>;

const allowedRoutesSchema = obj({
	namespaces: opt(obj({ from: opt(oneOf(["All", "Selector", "Same", "None"])), selector: opt(selectorSchema) })),
	kinds: opt(list(routeKindSchema)),
});
export type AllowedRoutes = StaticOf<typeof allowedRoutesSchema>;

const frontendValidationSchema = obj({
	caCertificateRefs: opt(list(obj({ group: opt(text()), kind: text(), name: text(), namespace: opt(text()) }))),
	mode: opt(oneOf(["AllowValidOnly", "AllowInsecureFallback"])),
});

const listenerTlsSchema = obj({
	mode: opt(oneOf(["Terminate", "Passthrough"])),
	certificateRefs: opt(list(secretRefSchema)),
	frontendValidation: opt(frontendValidationSchema),
	options: opt(map(text())),
});
export type ListenerTLS = StaticOf<typeof listenerTlsSchema>;

const listenerSchema = obj({
	name: text(),
	hostname: opt(text()),
	port: port(),
	protocol: text(),
	tls: opt(listenerTlsSchema),
	allowedRoutes: opt(allowedRoutesSchema),
});
export type Listener = StaticOf<typeof listenerSchema>;

const frontendTlsSchema = obj({ validation: opt(frontendValidationSchema) });

export const kubernetesGatewaySchema = obj({
	gatewayClassName: text(),
	listeners: list(listenerSchema),
	addresses: opt(list(obj({ type: opt(text()), value: opt(text()) }))),
	infrastructure: opt(obj({ labels: opt(labels()), annotations: opt(labels()), parametersRef: opt(obj({ group: text(), kind: text(), name: text() })) })),
	allowedListeners: opt(obj({ namespaces: opt(obj({ from: opt(oneOf(["All", "Selector", "Same", "None"])), selector: opt(selectorSchema) })) })),
	tls: opt(
		obj({
			backend: opt(obj({ clientCertificateRef: opt(secretRefSchema) })),
			frontend: opt(obj({ default: opt(frontendTlsSchema), perPort: opt(list(obj({ port: port(), tls: opt(frontendTlsSchema) }))) })),
		}),
	),
	defaultScope: opt(text()),
});
export type KubernetesGatewaySpec = StaticOf<typeof kubernetesGatewaySchema>;

export const listenerSetSchema = obj({
	parentRef: obj({ group: opt(text()), kind: opt(text()), name: text(), namespace: opt(text()) }),
	listeners: list(listenerSchema),
});
export type ListenerSetSpec = StaticOf<typeof listenerSetSchema>;

// Routes

const headerSchema = obj({ name: text(), value: text() });
const headerModifierSchema = obj({ set: opt(list(headerSchema)), add: opt(list(headerSchema)), remove: opt(list(text())) });
export type HeaderModifier = StaticOf<typeof headerModifierSchema>;

const pathModifierSchema = obj({
	type: oneOf(["ReplaceFullPath", "ReplacePrefixMatch"]),
	replaceFullPath: opt(text()),
	replacePrefixMatch: opt(text()),
});

const mirrorSchema = obj({
	backendRef: backendObjectSchema,
	percent: opt(int32()),
	fraction: opt(obj({ numerator: int32(), denominator: opt(int32()) })),
});
export type RequestMirrorFilter = StaticOf<typeof mirrorSchema>;

const redirectSchema = obj({
	scheme: opt(oneOf(["http", "https"])),
	hostname: opt(text()),
	path: opt(pathModifierSchema),
	port: opt(port()),
	statusCode: opt(int32()),
});
export type RequestRedirectFilter = StaticOf<typeof redirectSchema>;

const urlRewriteSchema = obj({ hostname: opt(text()), path: opt(pathModifierSchema) });
export type URLRewriteFilter = StaticOf<typeof urlRewriteSchema>;

const corsSchema = obj({
	allowOrigins: opt(list(text())),
	allowCredentials: opt(bool()),
	allowMethods: opt(list(text())),
	allowHeaders: opt(list(text())),
	exposeHeaders: opt(list(text())),
	maxAge: opt(int32()),
});
export type CORSFilter = StaticOf<typeof corsSchema>;

const extensionRefSchema = obj({ group: text(), kind: text(), name: text() });

const headerFilters = { requestHeaderModifier: opt(headerModifierSchema), responseHeaderModifier: opt(headerModifierSchema), requestMirror: opt(mirrorSchema) };

export const httpFilterTypes = [
	"RequestHeaderModifier",
	"ResponseHeaderModifier",
	"RequestMirror",
	"RequestRedirect",
	"URLRewrite",
	"CORS",
	"ExtensionRef",
	"ExternalAuth",
] as const;
const httpFilterSchema = obj({
	type: oneOf(httpFilterTypes),
	...headerFilters,
	requestRedirect: opt(redirectSchema),
	urlRewrite: opt(urlRewriteSchema),
	cors: opt(corsSchema),
	extensionRef: opt(extensionRefSchema),
	externalAuth: opt(anything()),
});
export type HTTPRouteFilter = StaticOf<typeof httpFilterSchema>;

const valueMatchSchema = obj({ type: opt(oneOf(["Exact", "RegularExpression"])), name: text(), value: text() });
export type ValueMatch = StaticOf<typeof valueMatchSchema>;

const pathMatchSchema = obj({ type: opt(oneOf(["Exact", "PathPrefix", "RegularExpression"])), value: opt(text()) });

const httpMatchSchema = obj({
	path: opt(pathMatchSchema),
	headers: opt(list(valueMatchSchema)),
	queryParams: opt(list(valueMatchSchema)),
	method: opt(oneOf(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"])),
});
export type HTTPRouteMatch = StaticOf<typeof httpMatchSchema>;

const sessionPersistenceSchema = obj({
	sessionName: opt(text()),
	absoluteTimeout: opt(duration()),
	idleTimeout: opt(duration()),
	type: opt(oneOf(["Cookie", "Header"])),
	cookieConfig: opt(obj({ lifetimeType: opt(oneOf(["Permanent", "Session"])) })),
});

const httpRuleSchema = obj({
	name: opt(text()),
	matches: opt(list(httpMatchSchema)),
	filters: opt(list(httpFilterSchema)),
	backendRefs: opt(list(obj({ ...backendObject, weight: opt(int32()), filters: opt(list(httpFilterSchema)) }))),
	timeouts: opt(obj({ request: opt(duration()), backendRequest: opt(duration()) })),
	retry: opt(obj({ codes: opt(list(int32())), attempts: opt(int32()), backoff: opt(duration()) })),
	sessionPersistence: opt(sessionPersistenceSchema),
});
export type HTTPRouteRule = StaticOf<typeof httpRuleSchema>;

const parents = { parentRefs: opt(list(parentRefSchema)), useDefaultGateways: opt(text()) };

export const httpRouteSpecSchema = obj({ ...parents, hostnames: opt(list(text())), rules: opt(list(httpRuleSchema)) });
export type HTTPRouteSpec = StaticOf<typeof httpRouteSpecSchema>;

const grpcFilterSchema = obj({
	type: oneOf(["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"]),
	...headerFilters,
	extensionRef: opt(extensionRefSchema),
});
export type GRPCRouteFilter = StaticOf<typeof grpcFilterSchema>;

const grpcMatchSchema = obj({
	method: opt(obj({ type: opt(oneOf(["Exact", "RegularExpression"])), service: opt(text()), method: opt(text()) })),
	headers: opt(list(valueMatchSchema)),
});
export type GRPCRouteMatch = StaticOf<typeof grpcMatchSchema>;

const grpcRuleSchema = obj({
	name: opt(text()),
	matches: opt(list(grpcMatchSchema)),
	filters: opt(list(grpcFilterSchema)),
	backendRefs: opt(list(obj({ ...backendObject, weight: opt(int32()), filters: opt(list(grpcFilterSchema)) }))),
	sessionPersistence: opt(sessionPersistenceSchema),
});
export type GRPCRouteRule = StaticOf<typeof grpcRuleSchema>;

export const grpcRouteSpecSchema = obj({ ...parents, hostnames: opt(list(text())), rules: opt(list(grpcRuleSchema)) });
export type GRPCRouteSpec = StaticOf<typeof grpcRouteSpecSchema>;

const l4RuleSchema = obj({ name: opt(text()), backendRefs: opt(list(backendRefSchema)) });
export type L4RouteRule = StaticOf<typeof l4RuleSchema>;

export const tlsRouteSpecSchema = obj({ ...parents, hostnames: opt(list(text())), rules: list(l4RuleSchema) });
export type TLSRouteSpec = StaticOf<typeof tlsRouteSpecSchema>;

export const tcpRouteSpecSchema = obj({ ...parents, rules: list(l4RuleSchema) });
export type TCPRouteSpec = StaticOf<typeof tcpRouteSpecSchema>;

// Policies

export const referenceGrantSchema = obj({
	from: list(obj({ group: text(), kind: text(), namespace: text() })),
	to: list(obj({ group: text(), kind: text(), name: opt(text()) })),
});
export type ReferenceGrantSpec = StaticOf<typeof referenceGrantSchema>;

export const backendTlsPolicySchema = obj({
	targetRefs: list(obj({ group: text(), kind: text(), name: text(), sectionName: opt(text()) })),
	validation: obj({
		caCertificateRefs: opt(list(obj({ group: text(), kind: text(), name: text() }))),
		wellKnownCACertificates: opt(text()),
		hostname: text(),
		subjectAltNames: opt(list(obj({ type: oneOf(["Hostname", "URI"]), hostname: opt(text()), uri: opt(text()) }))),
	}),
	options: opt(map(text())),
});
export type BackendTLSPolicySpec = StaticOf<typeof backendTlsPolicySchema>;
