import { bool, double, duration, int32, labels, list, obj, oneOf, opt, type StaticOf, text, uint32, uint64 } from "./builders.ts";
import { localityLbSettingSchema, matchLabelsSelectorSchema, portSelectorSchema, tcpKeepaliveSchema } from "./common.ts";

// https://istio.io/latest/docs/reference/config/networking/destination-rule/

const httpCookieSchema = obj({
	name: text(),
	path: opt(text()),
	ttl: opt(duration()),
	attributes: opt(list(obj({ name: text(), value: opt(text()) }))),
});

const consistentHashSchema = obj(
	{
		httpHeaderName: opt(text()),
		httpCookie: opt(httpCookieSchema),
		useSourceIp: opt(bool()),
		httpQueryParameterName: opt(text()),
		ringHash: opt(obj({ minimumRingSize: opt(uint64()) })),
		maglev: opt(obj({ tableSize: opt(uint64()) })),
		minimumRingSize: opt(uint64({ "x-weft-deprecated": "write ringHash.minimumRingSize" })),
	},
	{
		"x-weft-one-of": [
			["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"],
			["ringHash", "maglev"],
		],
	},
);
export type ConsistentHashLB = StaticOf<typeof consistentHashSchema>;

export const loadBalancerSchema = obj(
	{
		simple: opt(oneOf(["UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"])),
		consistentHash: opt(consistentHashSchema),
		localityLbSetting: opt(localityLbSettingSchema),
		warmupDurationSecs: opt(duration({ "x-weft-deprecated": "write warmup.duration" })),
		warmup: opt(obj({ duration: duration(), minimumPercent: opt(double()), aggression: opt(double()) })),
	},
	{ "x-weft-one-of": [["simple", "consistentHash"]] },
);
export type LoadBalancerSettings = StaticOf<typeof loadBalancerSchema>;

const tcpSettingsSchema = obj({
	maxConnections: opt(int32()),
	connectTimeout: opt(duration()),
	tcpKeepalive: opt(tcpKeepaliveSchema),
	maxConnectionDuration: opt(duration()),
	idleTimeout: opt(duration()),
});
const httpSettingsSchema = obj({
	http1MaxPendingRequests: opt(int32()),
	http2MaxRequests: opt(int32()),
	maxRequestsPerConnection: opt(int32()),
	maxRetries: opt(int32()),
	idleTimeout: opt(duration()),
	h2UpgradePolicy: opt(oneOf(["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"])),
	useClientProtocol: opt(bool()),
	maxConcurrentStreams: opt(int32()),
	http2KeepAlive: opt(obj({ interval: opt(duration()), timeout: opt(duration()) })),
});
export const connectionPoolSchema = obj({ tcp: opt(tcpSettingsSchema), http: opt(httpSettingsSchema) });
export type ConnectionPoolSettings = StaticOf<typeof connectionPoolSchema>;

const outlierDetectionSchema = obj({
	consecutiveErrors: opt(int32({ "x-weft-deprecated": "write consecutive5xxErrors or consecutiveGatewayErrors" })),
	splitExternalLocalOriginErrors: opt(bool()),
	consecutiveLocalOriginFailures: opt(uint32()),
	consecutiveGatewayErrors: opt(uint32()),
	consecutive5xxErrors: opt(uint32()),
	interval: opt(duration()),
	baseEjectionTime: opt(duration()),
	maxEjectionPercent: opt(int32()),
	minHealthPercent: opt(int32()),
});
export type OutlierDetection = StaticOf<typeof outlierDetectionSchema>;

export const clientTlsModes = ["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] as const;
const clientTlsSchema = obj({
	mode: opt(oneOf(clientTlsModes)),
	clientCertificate: opt(text()),
	privateKey: opt(text()),
	caCertificates: opt(text()),
	credentialName: opt(text()),
	subjectAltNames: opt(list(text())),
	sni: opt(text()),
	insecureSkipVerify: opt(bool()),
	caCrl: opt(text()),
});
export type ClientTLSSettings = StaticOf<typeof clientTlsSchema>;

const portTrafficPolicySchema = obj({
	port: opt(portSelectorSchema),
	loadBalancer: opt(loadBalancerSchema),
	connectionPool: opt(connectionPoolSchema),
	outlierDetection: opt(outlierDetectionSchema),
	tls: opt(clientTlsSchema),
});
export type PortTrafficPolicy = StaticOf<typeof portTrafficPolicySchema>;

const trafficPolicySchema = obj({
	loadBalancer: opt(loadBalancerSchema),
	connectionPool: opt(connectionPoolSchema),
	outlierDetection: opt(outlierDetectionSchema),
	tls: opt(clientTlsSchema),
	portLevelSettings: opt(list(portTrafficPolicySchema)),
	tunnel: opt(obj({ protocol: opt(text()), targetHost: text(), targetPort: uint32() })),
	proxyProtocol: opt(obj({ version: opt(oneOf(["V1", "V2"])) })),
	retryBudget: opt(obj({ percent: opt(double()), minRetryConcurrency: opt(uint32()) })),
});
export type TrafficPolicy = StaticOf<typeof trafficPolicySchema>;

const subsetSchema = obj({ name: text(), labels: opt(labels()), trafficPolicy: opt(trafficPolicySchema) });
export type Subset = StaticOf<typeof subsetSchema>;

export const destinationRuleSchema = obj({
	host: text(),
	trafficPolicy: opt(trafficPolicySchema),
	subsets: opt(list(subsetSchema)),
	exportTo: opt(list(text())),
	workloadSelector: opt(matchLabelsSelectorSchema),
});
export type DestinationRuleSpec = StaticOf<typeof destinationRuleSchema>;
