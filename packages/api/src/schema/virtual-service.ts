import { bool, duration, int32, labels, list, map, obj, oneOf, opt, type StaticOf, text, uint32 } from "./builders.ts";
import { absenceMatchSchema, destinationSchema, headersSchema, httpRetrySchema, percentSchema, stringMatchSchema } from "./common.ts";

// https://istio.io/latest/docs/reference/config/networking/virtual-service/

const httpMatchRequestSchema = obj({
	name: opt(text()),
	uri: opt(stringMatchSchema),
	scheme: opt(stringMatchSchema),
	method: opt(stringMatchSchema),
	authority: opt(stringMatchSchema),
	headers: opt(map(stringMatchSchema)),
	port: opt(uint32()),
	sourceLabels: opt(labels()),
	gateways: opt(list(text())),
	queryParams: opt(map(stringMatchSchema)),
	ignoreUriCase: opt(bool()),
	withoutHeaders: opt(map(absenceMatchSchema)),
	sourceNamespace: opt(text()),
	statPrefix: opt(text()),
});
export type HTTPMatchRequest = StaticOf<typeof httpMatchRequestSchema>;

const httpRouteDestinationSchema = obj({ destination: destinationSchema, weight: opt(int32()), headers: opt(headersSchema) });
export type HTTPRouteDestination = StaticOf<typeof httpRouteDestinationSchema>;

const routeDestinationSchema = obj({ destination: destinationSchema, weight: opt(int32()) });
export type RouteDestination = StaticOf<typeof routeDestinationSchema>;

const httpRedirectSchema = obj(
	{
		uri: opt(text()),
		authority: opt(text()),
		port: opt(uint32()),
		derivePort: opt(oneOf(["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"])),
		scheme: opt(text()),
		redirectCode: opt(uint32()),
	},
	{ "x-weft-one-of": [["port", "derivePort"]] },
);
export type HTTPRedirect = StaticOf<typeof httpRedirectSchema>;

const httpBodySchema = obj({ string: opt(text()), bytes: opt(text({ description: "Base64." })) }, { "x-weft-one-of": [["string", "bytes"]] });
export type HTTPBody = StaticOf<typeof httpBodySchema>;

const httpDirectResponseSchema = obj({ status: uint32(), body: opt(httpBodySchema) });
export type HTTPDirectResponse = StaticOf<typeof httpDirectResponseSchema>;

const httpRewriteSchema = obj({
	uri: opt(text()),
	authority: opt(text()),
	uriRegexRewrite: opt(obj({ match: opt(text({ "x-weft-format": "regex" })), rewrite: opt(text()) })),
});
export type HTTPRewrite = StaticOf<typeof httpRewriteSchema>;

const delaySchema = obj(
	{
		percent: opt(int32({ "x-weft-deprecated": "write percentage.value", "x-weft-deprecated-found": true })),
		fixedDelay: opt(duration()),
		exponentialDelay: opt(duration()),
		percentage: opt(percentSchema),
	},
	{ "x-weft-one-of": [["fixedDelay", "exponentialDelay"]] },
);
const abortSchema = obj(
	{
		percent: opt(int32({ "x-weft-deprecated": "write percentage.value" })),
		httpStatus: opt(int32()),
		grpcStatus: opt(text()),
		http2Error: opt(text()),
		percentage: opt(percentSchema),
	},
	{ "x-weft-one-of": [["httpStatus", "grpcStatus", "http2Error"]] },
);
const httpFaultInjectionSchema = obj({ delay: opt(delaySchema), abort: opt(abortSchema) });
export type HTTPFaultInjection = StaticOf<typeof httpFaultInjectionSchema>;

const corsPolicySchema = obj({
	allowOrigin: opt(list(text(), { "x-weft-deprecated": "write allowOrigins" })),
	allowOrigins: opt(list(stringMatchSchema)),
	allowMethods: opt(list(text())),
	allowHeaders: opt(list(text())),
	exposeHeaders: opt(list(text())),
	maxAge: opt(duration()),
	allowCredentials: opt(bool()),
	unmatchedPreflights: opt(oneOf(["UNSPECIFIED", "FORWARD", "IGNORE"])),
});
export type CorsPolicy = StaticOf<typeof corsPolicySchema>;

const httpMirrorPolicySchema = obj({ destination: destinationSchema, percentage: opt(percentSchema) });
export type HTTPMirrorPolicy = StaticOf<typeof httpMirrorPolicySchema>;

const delegateSchema = obj({ name: opt(text()), namespace: opt(text()) });
export type Delegate = StaticOf<typeof delegateSchema>;

const httpRouteSchema = obj({
	name: opt(text()),
	match: opt(list(httpMatchRequestSchema)),
	route: opt(list(httpRouteDestinationSchema)),
	redirect: opt(httpRedirectSchema),
	directResponse: opt(httpDirectResponseSchema),
	delegate: opt(delegateSchema),
	rewrite: opt(httpRewriteSchema),
	timeout: opt(duration()),
	retries: opt(httpRetrySchema),
	fault: opt(httpFaultInjectionSchema),
	mirror: opt(destinationSchema),
	mirrors: opt(list(httpMirrorPolicySchema)),
	mirrorPercent: opt(uint32({ "x-weft-deprecated": "write mirrorPercentage.value" })),
	mirror_percent: opt(uint32({ "x-weft-deprecated": "write mirrorPercentage.value" })),
	mirrorPercentage: opt(percentSchema),
	corsPolicy: opt(corsPolicySchema),
	headers: opt(headersSchema),
});
export type HTTPRoute = StaticOf<typeof httpRouteSchema>;

const tlsMatchAttributesSchema = obj({
	sniHosts: list(text()),
	destinationSubnets: opt(list(text())),
	port: opt(uint32()),
	sourceLabels: opt(labels()),
	gateways: opt(list(text())),
	sourceNamespace: opt(text()),
});
export type TLSMatchAttributes = StaticOf<typeof tlsMatchAttributesSchema>;

const l4MatchAttributesSchema = obj({
	destinationSubnets: opt(list(text())),
	port: opt(uint32()),
	sourceSubnet: opt(text()),
	sourceLabels: opt(labels()),
	gateways: opt(list(text())),
	sourceNamespace: opt(text()),
});
export type L4MatchAttributes = StaticOf<typeof l4MatchAttributesSchema>;

const tlsRouteSchema = obj({ match: list(tlsMatchAttributesSchema), route: opt(list(routeDestinationSchema)) });
export type TLSRoute = StaticOf<typeof tlsRouteSchema>;

const tcpRouteSchema = obj({ match: opt(list(l4MatchAttributesSchema)), route: opt(list(routeDestinationSchema)) });
export type TCPRoute = StaticOf<typeof tcpRouteSchema>;

export const virtualServiceSchema = obj({
	hosts: opt(list(text(), { description: "Required, except in a delegate." })),
	gateways: opt(list(text(), { description: "Gateways by name or ns/name; `mesh` (the default) means all sidecars." })),
	http: opt(list(httpRouteSchema)),
	tls: opt(list(tlsRouteSchema)),
	tcp: opt(list(tcpRouteSchema)),
	exportTo: opt(list(text())),
});
export type VirtualServiceSpec = StaticOf<typeof virtualServiceSchema>;
