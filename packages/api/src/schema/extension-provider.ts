import { anything, bool, duration, int32, labels, list, map, obj, oneOf, opt, type StaticOf, text, uint32 } from "./builders.ts";

// MeshConfig.ExtensionProvider: https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshConfig-ExtensionProvider

const service = { service: text({ description: "[namespace/]host" }), port: uint32() };
const requestBodySchema = obj({
	maxRequestBytes: opt(uint32()),
	allowPartialMessage: opt(bool()),
	packAsBytes: opt(bool()),
});
const httpHeaders = () => opt(list(obj({ name: opt(text()), value: opt(text()), envName: opt(text()) }, { "x-weft-one-of": [["value", "envName"]] })));
const httpServiceSchema = obj({ path: opt(text()), timeout: opt(duration()), headers: httpHeaders() });
const dynatraceSamplerSchema = obj({
	tenant: opt(text()),
	clusterId: opt(int32()),
	rootSpansPerMinute: opt(uint32()),
	httpService: opt(obj({ ...service, http: opt(httpServiceSchema) })),
});

const extAuthzHttpSchema = obj({
	...service,
	timeout: opt(duration()),
	pathPrefix: opt(text()),
	failOpen: opt(bool()),
	clearRouteCache: opt(bool()),
	statusOnError: opt(text()),
	includeHeadersInCheck: opt(list(text(), { "x-weft-deprecated": "write includeRequestHeadersInCheck" })),
	includeRequestHeadersInCheck: opt(list(text())),
	includeAdditionalHeadersInCheck: opt(labels()),
	includeRequestBodyInCheck: opt(requestBodySchema),
	headersToUpstreamOnAllow: opt(list(text())),
	headersToDownstreamOnDeny: opt(list(text())),
	headersToDownstreamOnAllow: opt(list(text())),
});
const extAuthzGrpcSchema = obj({
	...service,
	timeout: opt(duration()),
	failOpen: opt(bool()),
	clearRouteCache: opt(bool()),
	statusOnError: opt(text()),
	includeRequestBodyInCheck: opt(requestBodySchema),
});
const fileAccessLogSchema = obj({
	path: opt(text()),
	logFormat: opt(obj({ text: opt(text()), labels: opt(map(anything())) }, { "x-weft-one-of": [["text", "labels"]] })),
	omitEmptyValues: opt(bool()),
});
const otelAccessLogSchema = obj({
	...service,
	logName: opt(text()),
	logFormat: opt(obj({ text: opt(text()), labels: opt(map(anything())) })),
});
const als = { ...service, logName: opt(text()), filterStateObjectsToLog: opt(list(text())) };

const providers = {
	envoyExtAuthzHttp: opt(extAuthzHttpSchema),
	envoyExtAuthzGrpc: opt(extAuthzGrpcSchema),
	zipkin: opt(
		obj({
			...service,
			maxTagLength: opt(uint32()),
			enable64bitTraceId: opt(bool()),
			path: opt(text()),
			traceContextOption: opt(oneOf(["USE_B3", "USE_B3_WITH_W3C_PROPAGATION"])),
			timeout: opt(duration()),
			headers: httpHeaders(),
		}),
	),
	lightstep: opt(obj({ ...service, accessToken: opt(text()), maxTagLength: opt(uint32()) })),
	datadog: opt(obj({ ...service, maxTagLength: opt(uint32()) })),
	stackdriver: opt(anything()),
	opencensus: opt(obj({ ...service, context: opt(list(text())), maxTagLength: opt(uint32()) })),
	skywalking: opt(obj({ ...service, accessToken: opt(text()) })),
	opentelemetry: opt(
		obj({
			...service,
			maxTagLength: opt(uint32()),
			http: opt(httpServiceSchema),
			grpc: opt(obj({ timeout: opt(duration()), initialMetadata: httpHeaders() })),
			resourceDetectors: opt(obj({ environment: opt(obj({})), dynatrace: opt(obj({})) })),
			dynatraceSampler: opt(dynatraceSamplerSchema),
			serviceAttributeEnrichment: opt(oneOf(["ISTIO_CANONICAL", "OTEL_SEMANTIC_CONVENTIONS"])),
		}),
	),
	prometheus: opt(obj({})),
	envoyFileAccessLog: opt(fileAccessLogSchema),
	envoyHttpAls: opt(
		obj({
			...als,
			additionalRequestHeadersToLog: opt(list(text())),
			additionalResponseHeadersToLog: opt(list(text())),
			additionalResponseTrailersToLog: opt(list(text())),
		}),
	),
	envoyTcpAls: opt(obj(als)),
	envoyOtelAls: opt(otelAccessLogSchema),
	sds: opt(anything()),
};

export const extensionProviderSchema = obj({ name: text(), ...providers }, { "x-weft-one-of": [Object.keys(providers)] });
export type ExtensionProvider = StaticOf<typeof extensionProviderSchema>;
