import { bool, double, duration, int32, labels, list, map, obj, oneOf, opt, type StaticOf, text, uint32, anything } from "./builders.ts";
import { tcpKeepaliveSchema } from "./common.ts";

// istio.mesh.v1alpha1.ProxyConfig: https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#ProxyConfig

const addressed = obj({ address: opt(text()) });
const customTagSchema = obj(
	{
		literal: opt(obj({ value: opt(text()) })),
		environment: opt(obj({ name: opt(text()), defaultValue: opt(text()) })),
		header: opt(obj({ name: opt(text()), defaultValue: opt(text()) })),
	},
	{ "x-weft-one-of": [["literal", "environment", "header"]] },
);
export const tracingSchema = obj(
	{
		zipkin: opt(addressed),
		lightstep: opt(obj({ address: opt(text()), accessToken: opt(text()) })),
		datadog: opt(addressed),
		stackdriver: opt(anything()),
		openCensusAgent: opt(obj({ address: opt(text()), context: opt(list(text())) })),
		customTags: opt(map(customTagSchema)),
		maxPathTagLength: opt(uint32()),
		sampling: opt(double({ description: "Percent, 0 to 100." })),
		tlsSettings: opt(anything()),
		enableIstioTags: opt(bool()),
	},
	{ "x-weft-one-of": [["zipkin", "lightstep", "datadog", "stackdriver", "openCensusAgent"]] },
);
export type Tracing = StaticOf<typeof tracingSchema>;

const remoteServiceSchema = obj({ address: opt(text()), tlsSettings: opt(anything()), tcpKeepalive: opt(tcpKeepaliveSchema) });
const statsMatcherSchema = obj({
	inclusionPrefixes: opt(list(text())),
	inclusionSuffixes: opt(list(text())),
	inclusionRegexps: opt(list(text())),
});

const clientCertDetails = oneOf(["UNDEFINED", "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"]);
const onByDefault = obj({ disabled: opt(bool()) });
const offByDefault = obj({ enabled: opt(bool()) });
const proxyHeadersSchema = obj({
	forwardedClientCert: opt(clientCertDetails),
	setCurrentClientCertDetails: opt(obj({ subject: opt(bool()), cert: opt(bool()), chain: opt(bool()), dns: opt(bool()), uri: opt(bool()) })),
	requestId: opt(onByDefault),
	server: opt(obj({ disabled: opt(bool()), value: opt(text()) })),
	attemptCount: opt(onByDefault),
	envoyDebugHeaders: opt(onByDefault),
	metadataExchangeHeaders: opt(obj({ mode: opt(oneOf(["UNDEFINED", "IN_MESH"])) })),
	preserveHttp1HeaderCase: opt(bool()),
	xForwardedHost: opt(offByDefault),
	xForwardedPort: opt(offByDefault),
});

export const proxyConfigSchema = obj({
	configPath: opt(text()),
	binaryPath: opt(text()),
	serviceCluster: opt(text()),
	tracingServiceName: opt(oneOf(["APP_LABEL_AND_NAMESPACE", "CANONICAL_NAME_ONLY", "CANONICAL_NAME_AND_NAMESPACE"])),
	drainDuration: opt(duration()),
	parentShutdownDuration: opt(duration()),
	terminationDrainDuration: opt(duration()),
	discoveryAddress: opt(text()),
	statsdUdpAddress: opt(text()),
	proxyAdminPort: opt(int32()),
	availabilityZone: opt(text()),
	controlPlaneAuthPolicy: opt(oneOf(["NONE", "MUTUAL_TLS", "INHERIT"])),
	customConfigFile: opt(text()),
	statNameLength: opt(int32()),
	concurrency: opt(int32()),
	proxyBootstrapTemplatePath: opt(text()),
	interceptionMode: opt(oneOf(["REDIRECT", "TPROXY", "NONE"])),
	tracing: opt(tracingSchema),
	sds: opt(anything()),
	envoyAccessLogService: opt(remoteServiceSchema),
	envoyMetricsService: opt(remoteServiceSchema),
	zipkinAddress: opt(text({ "x-weft-deprecated": "write tracing.zipkin.address" })),
	proxyMetadata: opt(labels()),
	runtimeValues: opt(labels()),
	statusPort: opt(int32()),
	meshId: opt(text()),
	extraStatTags: opt(list(text())),
	gatewayTopology: opt(
		obj({
			numTrustedProxies: opt(uint32()),
			forwardClientCertDetails: opt(clientCertDetails),
			proxyProtocol: opt(obj({})),
		}),
	),
	proxyStatsMatcher: opt(statsMatcherSchema),
	readinessProbe: opt(anything()),
	holdApplicationUntilProxyStarts: opt(bool()),
	caCertificatesPem: opt(list(text())),
	image: opt(obj({ imageType: opt(text()) })),
	privateKeyProvider: opt(anything()),
	proxyHeaders: opt(proxyHeadersSchema),
	fileFlushInterval: opt(duration()),
	fileFlushMinSizeKb: opt(uint32()),
	statsCompression: opt(bool()),
	statsEvictionInterval: opt(duration()),
});
export type ProxyConfig = StaticOf<typeof proxyConfigSchema>;
