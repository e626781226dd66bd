import { type Diagnostic, diagnosticCodes } from "@weft/api";
import { isJsonObject, type Json, type JsonObject } from "../json.ts";

/** What injection reads of the charts' values, under Istio's own paths. */
export interface InjectorValues {
	/** Of the control plane whose name proxies connect to; empty: the default one. */
	readonly revision: string;
	readonly revisionTags: readonly string[];
	readonly hub: string;
	readonly tag: string;
	readonly istioNamespace: string;
	readonly imagePullPolicy: string;
	readonly imagePullSecrets: readonly string[];
	readonly logAsJson: boolean;
	readonly logLevel: string;
	readonly meshId: string;
	readonly network: string;
	readonly clusterName: string;
	readonly caAddress: string;
	readonly pilotCertProvider: string;
	readonly tokenAudience: string;
	readonly trustDomain: string;
	readonly proxy: ProxyValues;
	readonly proxyInit: { readonly image: string; readonly forceApplyIptables: boolean };
	/** A CNI plugin on the nodes captures the traffic: pods need no container that is root. `multus`: it is asked for by annotation. */
	readonly cni: { readonly enabled: boolean; readonly isMultus: boolean };
	readonly webhook: WebhookValues;
}

export interface ProxyValues {
	readonly image: string;
	readonly autoInject: string;
	readonly clusterDomain: string;
	readonly logLevel: string;
	readonly componentLogLevel: string;
	readonly includeIPRanges: string;
	readonly excludeIPRanges: string;
	readonly includeInboundPorts: string;
	readonly excludeInboundPorts: string;
	readonly includeOutboundPorts: string;
	readonly excludeOutboundPorts: string;
	readonly holdApplicationUntilProxyStarts: boolean;
	readonly privileged: boolean;
	readonly enableCoreDump: boolean;
	readonly capNetBindService: boolean;
	readonly outlierLogPath: string;
	readonly statusPort: number;
	readonly readinessInitialDelaySeconds: number;
	readonly readinessPeriodSeconds: number;
	readonly readinessFailureThreshold: number;
	readonly startupProbe: { readonly enabled: boolean; readonly failureThreshold: number };
	readonly resources: JsonObject;
	readonly lifecycle: JsonObject;
	readonly seccompProfile: JsonObject;
}

export interface WebhookValues {
	readonly rewriteAppHTTPProbe: boolean;
	readonly enableNamespacesByDefault: boolean;
	readonly neverInjectSelector: Json;
	readonly alwaysInjectSelector: Json;
	readonly injectedAnnotations: Json;
	readonly defaultTemplates: readonly string[];
}

const defaultResources: JsonObject = { requests: { cpu: "100m", memory: "128Mi" }, limits: { cpu: "2000m", memory: "1024Mi" } };

/** Reads values as a chart gives them; an ill-typed one is reported and its default stands. Never throws. */
export function decodeValues(input: JsonObject, diagnostics: Diagnostic[]): InjectorValues {
	const read = createReader(input, diagnostics);
	refuseUnsupported(read, diagnostics);
	return {
		revision: read.text("revision", ""),
		revisionTags: read.texts("revisionTags"),
		hub: read.text("global.hub", "weft.dev"),
		tag: withVariant(read.text("global.tag", "0.1.0"), read.text("global.variant", "")),
		istioNamespace: read.text("global.istioNamespace", "istio-system"),
		imagePullPolicy: read.text("global.imagePullPolicy", ""),
		imagePullSecrets: read.texts("global.imagePullSecrets"),
		logAsJson: read.bool("global.logAsJson", false),
		logLevel: read.text("global.logging.level", "default:info"),
		meshId: read.text("global.meshID", ""),
		network: read.text("global.network", ""),
		clusterName: read.text("global.multiCluster.clusterName", ""),
		caAddress: read.text("global.caAddress", ""),
		pilotCertProvider: read.text("global.pilotCertProvider", "istiod"),
		tokenAudience: read.text("global.sds.token.aud", "istio-ca"),
		trustDomain: read.text("global.trustDomain", ""),
		proxy: readProxy(read),
		proxyInit: { image: read.text("global.proxy_init.image", "proxy"), forceApplyIptables: read.bool("global.proxy_init.forceApplyIptables", false) },
		cni: {
			enabled: read.bool("pilot.cni.enabled", false) || read.bool("istio_cni.enabled", false),
			isMultus: read.text("pilot.cni.provider", "default") === "multus",
		},
		webhook: {
			rewriteAppHTTPProbe: read.bool("sidecarInjectorWebhook.rewriteAppHTTPProbe", true),
			enableNamespacesByDefault: read.bool("sidecarInjectorWebhook.enableNamespacesByDefault", false),
			neverInjectSelector: read.any("sidecarInjectorWebhook.neverInjectSelector") ?? [],
			alwaysInjectSelector: read.any("sidecarInjectorWebhook.alwaysInjectSelector") ?? [],
			injectedAnnotations: read.any("sidecarInjectorWebhook.injectedAnnotations") ?? {},
			defaultTemplates: read.texts("sidecarInjectorWebhook.defaultTemplates"),
		},
	};
}

function readProxy(read: Reader): ProxyValues {
	const at = (name: string): string => `global.proxy.${name}`;
	return {
		image: read.text(at("image"), "proxy"),
		autoInject: read.text(at("autoInject"), "enabled"),
		clusterDomain: read.text(at("clusterDomain"), "cluster.local"),
		logLevel: read.text(at("logLevel"), "warning"),
		componentLogLevel: read.text(at("componentLogLevel"), "misc:error"),
		includeIPRanges: read.text(at("includeIPRanges"), "*"),
		excludeIPRanges: read.text(at("excludeIPRanges"), ""),
		includeInboundPorts: read.text(at("includeInboundPorts"), "*"),
		excludeInboundPorts: read.text(at("excludeInboundPorts"), ""),
		includeOutboundPorts: read.text(at("includeOutboundPorts"), ""),
		excludeOutboundPorts: read.text(at("excludeOutboundPorts"), ""),
		holdApplicationUntilProxyStarts: read.bool(at("holdApplicationUntilProxyStarts"), false),
		privileged: read.bool(at("privileged"), false),
		enableCoreDump: read.bool(at("enableCoreDump"), false),
		capNetBindService: read.bool(at("capNetBindService"), false),
		outlierLogPath: read.text(at("outlierLogPath"), ""),
		statusPort: read.int(at("statusPort"), 15020),
		readinessInitialDelaySeconds: read.int(at("readinessInitialDelaySeconds"), 0),
		readinessPeriodSeconds: read.int(at("readinessPeriodSeconds"), 15),
		readinessFailureThreshold: read.int(at("readinessFailureThreshold"), 4),
		startupProbe: { enabled: read.bool(at("startupProbe.enabled"), true), failureThreshold: read.int(at("startupProbe.failureThreshold"), 600) },
		resources: read.object(at("resources"), defaultResources),
		lifecycle: read.object(at("lifecycle"), {}),
		seccompProfile: read.object(at("seccompProfile"), {}),
	};
}

type Reader = ReturnType<typeof createReader>;

function createReader(input: JsonObject, diagnostics: Diagnostic[]) {
	const any = (path: string): Json | undefined => {
		let value: Json | undefined = input;
		for (const key of path.split(".")) value = isJsonObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
		return value ?? undefined;
	};
	const typed = <T>(path: string, fallback: T, convert: (value: Json) => T | undefined, expected: string): T => {
		const value = any(path);
		if (value === undefined) return fallback;
		const converted = convert(value);
		if (converted !== undefined) return converted;
		diagnostics.push({
			severity: "error",
			code: diagnosticCodes.schema,
			kind: "values",
			path,
			message: `expected ${expected}, not ${JSON.stringify(value).slice(0, 80)}`,
		});
		return fallback;
	};
	// Helm's --set makes numbers and booleans of what looks like them: a tag of 1.30 is still a text.
	const asText = (value: Json) => (typeof value === "string" ? value : typeof value === "number" || typeof value === "boolean" ? String(value) : undefined);
	return {
		any,
		text: (path: string, fallback: string) => typed(path, fallback, asText, "a text"),
		bool: (path: string, fallback: boolean) =>
			typed(path, fallback, (value) => (value === true || value === "true" ? true : value === false || value === "false" ? false : undefined), "true or false"),
		int: (path: string, fallback: number) => typed(path, fallback, asInteger, "a whole number"),
		object: (path: string, fallback: JsonObject) => typed(path, fallback, (value) => (isJsonObject(value) ? value : undefined), "an object"),
		texts: (path: string): readonly string[] =>
			typed<readonly string[]>(
				path,
				[],
				(value) => (Array.isArray(value) && value.every((entry) => typeof entry === "string") ? value : undefined),
				"a list of texts",
			),
	};
}

function asInteger(value: Json): number | undefined {
	const number = typeof value === "string" && /^\d{1,9}$/.test(value) ? Number(value) : value;
	return typeof number === "number" && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

function withVariant(tag: string, variant: string): string {
	return variant === "" || variant === "default" ? tag : `${tag}-${variant}`;
}

/** Values that would change the pod, and that this injector cannot follow. */
function refuseUnsupported(read: Reader, diagnostics: Diagnostic[]): void {
	const refuse = (path: string, isSet: boolean, message: string): void => {
		if (isSet)
			diagnostics.push({
				severity: "error",
				code: diagnosticCodes.notImplemented,
				kind: "values",
				path,
				message: `not implemented by this version of Weft: ${message}`,
			});
	};
	refuse("global.nativeNftables", read.bool("global.nativeNftables", false), "rules are applied with iptables; set it to false");
	refuse("global.mountMtlsCerts", read.bool("global.mountMtlsCerts", false), "proxies get their certificates from the control plane; set it to false");
	refuse("global.sts.servicePort", read.int("global.sts.servicePort", 0) > 0, "there is no token exchange service; set it to 0");
	refuse("global.caName", read.text("global.caName", "") === "GkeWorkloadCertificate", "use the mesh's own authority, or caAddress");
	refuse("global.jwtPolicy", read.text("global.jwtPolicy", "third-party-jwt") !== "third-party-jwt", "only third-party-jwt (projected tokens)");
	const tracer = read.text("global.proxy.tracer", "none");
	refuse("global.proxy.tracer", tracer === "datadog" || tracer === "lightstep", "use meshConfig.extensionProviders and the Telemetry API");
}
