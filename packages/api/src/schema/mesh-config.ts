import { anything, bool, duration, int32, labels, list, obj, oneOf, opt, type StaticOf, text } from "./builders.ts";
import { httpRetrySchema, localityLbSettingSchema, tcpKeepaliveSchema } from "./common.ts";
import { extensionProviderSchema } from "./extension-provider.ts";
import { proxyConfigSchema } from "./proxy-config.ts";

// https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/

const tlsConfigSchema = obj({
	minProtocolVersion: opt(oneOf(["TLS_AUTO", "TLSV1_2", "TLSV1_3"])),
	ecdhCurves: opt(list(text())),
	cipherSuites: opt(list(text())),
});
const caCertificateSchema = obj(
	{ pem: opt(text()), spiffeBundleUrl: opt(text()), certSigners: opt(list(text())), trustDomains: opt(list(text())) },
	{ "x-weft-one-of": [["pem", "spiffeBundleUrl"]] },
);
const labelSelectorSchema = obj({
	matchLabels: opt(labels()),
	matchExpressions: opt(list(obj({ key: text(), operator: oneOf(["In", "NotIn", "Exists", "DoesNotExist"]), values: opt(list(text())) }))),
});
const serviceSettingsSchema = obj({ settings: opt(obj({ clusterLocal: opt(bool()) })), hosts: opt(list(text())) });

export const meshConfigSchema = obj({
	proxyListenPort: opt(int32()),
	proxyInboundListenPort: opt(int32()),
	proxyHttpPort: opt(int32()),
	connectTimeout: opt(duration()),
	protocolDetectionTimeout: opt(duration()),
	tcpKeepalive: opt(tcpKeepaliveSchema),
	ingressClass: opt(text()),
	ingressService: opt(text()),
	ingressControllerMode: opt(oneOf(["UNSPECIFIED", "OFF", "DEFAULT", "STRICT"])),
	ingressSelector: opt(text()),
	enableTracing: opt(bool()),
	accessLogFile: opt(text()),
	accessLogFormat: opt(text()),
	accessLogEncoding: opt(oneOf(["TEXT", "JSON"])),
	enableEnvoyAccessLogService: opt(bool()),
	disableEnvoyListenerLog: opt(bool()),
	defaultConfig: opt(proxyConfigSchema),
	outboundTrafficPolicy: opt(obj({ mode: opt(oneOf(["REGISTRY_ONLY", "ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS"])) })),
	inboundTrafficPolicy: opt(obj({ mode: opt(oneOf(["PASSTHROUGH", "LOCALHOST"])) })),
	configSources: opt(list(anything())),
	enableAutoMtls: opt(bool()),
	trustDomain: opt(text()),
	trustDomainAliases: opt(list(text())),
	caCertificates: opt(list(caCertificateSchema)),
	defaultServiceExportTo: opt(list(text())),
	defaultVirtualServiceExportTo: opt(list(text())),
	defaultDestinationRuleExportTo: opt(list(text())),
	rootNamespace: opt(text()),
	localityLbSetting: opt(localityLbSettingSchema),
	dnsRefreshRate: opt(duration()),
	h2UpgradePolicy: opt(oneOf(["DO_NOT_UPGRADE", "UPGRADE"])),
	inboundClusterStatName: opt(text()),
	outboundClusterStatName: opt(text()),
	certificates: opt(list(anything())),
	serviceSettings: opt(list(serviceSettingsSchema)),
	enablePrometheusMerge: opt(bool()),
	verifyCertificateAtClient: opt(bool()),
	ca: opt(anything()),
	extensionProviders: opt(list(extensionProviderSchema)),
	defaultProviders: opt(obj({ tracing: opt(list(text())), metrics: opt(list(text())), accessLogging: opt(list(text())) })),
	discoverySelectors: opt(list(labelSelectorSchema)),
	pathNormalization: opt(obj({ normalization: opt(oneOf(["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"])) })),
	defaultHttpRetryPolicy: opt(httpRetrySchema),
	meshMTLS: opt(tlsConfigSchema),
	tlsDefaults: opt(tlsConfigSchema),
	compliancePolicy: opt(text()),
});
export type MeshConfig = StaticOf<typeof meshConfigSchema>;

/** What Istio assumes where the user says nothing (`pkg/config/mesh`); user values replace these field by field. */
export const meshConfigDefaults = {
	trustDomain: "cluster.local",
	rootNamespace: "istio-system",
	enableAutoMtls: true,
	connectTimeout: "10s",
	protocolDetectionTimeout: "0s",
	dnsRefreshRate: "60s",
	ingressClass: "istio",
	ingressService: "istio-ingressgateway",
	ingressSelector: "ingressgateway",
	ingressControllerMode: "STRICT",
	accessLogEncoding: "TEXT",
	accessLogFile: "",
	accessLogFormat: "",
	enableTracing: true,
	enablePrometheusMerge: true,
	verifyCertificateAtClient: true,
	proxyListenPort: 15001,
	proxyInboundListenPort: 15006,
	outboundTrafficPolicy: { mode: "ALLOW_ANY" },
	inboundTrafficPolicy: { mode: "PASSTHROUGH" },
	h2UpgradePolicy: "DO_NOT_UPGRADE",
	localityLbSetting: { enabled: true },
	defaultServiceExportTo: ["*"],
	defaultVirtualServiceExportTo: ["*"],
	defaultDestinationRuleExportTo: ["*"],
	defaultConfig: {
		discoveryAddress: "istiod.istio-system.svc:15012",
		drainDuration: "45s",
		terminationDrainDuration: "5s",
		proxyAdminPort: 15000,
		statusPort: 15020,
		controlPlaneAuthPolicy: "MUTUAL_TLS",
		interceptionMode: "REDIRECT",
	},
} as const satisfies MeshConfig;

/** A MeshConfig in which every field that has a default is set. */
export type ResolvedMeshConfig = MeshConfig & { readonly [K in keyof typeof meshConfigDefaults]-?: NonNullable<MeshConfig[K]> };

/** `user` over the defaults; `defaultConfig` is merged by its own fields, all else replaces whole, as Istio does. */
export function resolveMeshConfig(user: MeshConfig): ResolvedMeshConfig {
	return { ...meshConfigDefaults, ...user, defaultConfig: { ...meshConfigDefaults.defaultConfig, ...user.defaultConfig } };
}

/**
 * `over` on `under`, as Istio reads a mesh config on top of a shared one: every field replaces whole, but those that are lists of
 * named things or settings of proxies. https://istio.io/latest/docs/reference/commands/pilot-discovery/ (SHARED_MESH_CONFIG)
 */
export function mergeMeshConfig(under: MeshConfig, over: MeshConfig): MeshConfig {
	return {
		...under,
		...over,
		...bothOf(under.defaultConfig, over.defaultConfig, (a, b) => ({ defaultConfig: mergeProxyDefaults(a, b) })),
		...bothOf(under.defaultProviders, over.defaultProviders, (a, b) => ({ defaultProviders: { ...a, ...b } })),
		...bothOf(under.extensionProviders, over.extensionProviders, (a, b) => ({ extensionProviders: mergeProviders(a, b) })),
		...bothOf(under.trustDomainAliases, over.trustDomainAliases, (a, b) => ({ trustDomainAliases: [...new Set([...a, ...b])].sort() })),
	};
}

type ProxyDefaults = NonNullable<MeshConfig["defaultConfig"]>;
type Providers = NonNullable<MeshConfig["extensionProviders"]>;

const bothOf = <T, R extends object>(under: T | undefined, over: T | undefined, merge: (under: T, over: T) => R): R | undefined =>
	under === undefined || over === undefined ? undefined : merge(under, over);

function mergeProxyDefaults(under: ProxyDefaults, over: ProxyDefaults): ProxyDefaults {
	return {
		...under,
		...over,
		...bothOf(under.proxyMetadata, over.proxyMetadata, (a, b) => ({ proxyMetadata: { ...a, ...b } })),
		...bothOf(under.proxyHeaders, over.proxyHeaders, (a, b) => ({ proxyHeaders: isRecord(a) && isRecord(b) ? { ...a, ...b } : b })),
	};
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null && !Array.isArray(value);

/** A provider stays in its place when another of its name takes it. */
function mergeProviders(under: Providers, over: Providers): Providers {
	const byName = new Map(under.map((provider) => [provider.name, provider]));
	for (const provider of over) byName.set(provider.name, provider);
	return [...byName.values()];
}
