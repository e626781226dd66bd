import { existsSync } from "node:fs";
import { BlockList, isIP } from "node:net";
import { parseDurationMs } from "@weft/api";
import { decodeJwtRule, type JwtRule } from "@weft/citadel";
import { type KeyAlgorithm, keyAlgorithms } from "@weft/pki";
import { workloadGraceMsDefault } from "../options.ts";
import { type ExternalSignerOptions, type KubernetesOptions, revisioned, tokenAudience } from "./options.ts";

/** Flags of `discovery`, as pilot-discovery has them. */
export interface DiscoveryFlags {
	readonly monitoringAddr: string;
	readonly grpcAddr: string;
	readonly secureGRPCAddr: string;
	readonly httpsAddr: string;
	readonly httpAddr: string;
	readonly meshConfig: string;
	readonly networksConfig: string;
	readonly configDir?: string;
	readonly domain: string;
	readonly clusterID?: string;
	readonly namespace?: string;
	readonly tlsCertFile?: string;
	readonly tlsKeyFile?: string;
	readonly caCertFile?: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** A flag or variable that says what cannot be. */
export class SettingError extends Error {}

/** Variables of istiod that would change what it does, and that are not implemented: to go on without a word would be worse. */
const unsupported: Readonly<Record<string, { readonly harmless: readonly string[]; readonly what: string }>> = {
	EXTERNAL_ISTIOD: { harmless: ["", "false"], what: "an istiod for other clusters" },
	CA_TRUSTED_NODE_ACCOUNTS: { harmless: [""], what: "impersonation by node proxies" },
	PILOT_ENABLE_WORKLOAD_ENTRY_AUTOREGISTRATION: { harmless: ["", "true"], what: "a control plane that registers no workloads" },
	PILOT_ENABLE_WORKLOAD_ENTRY_HEALTHCHECKS: { harmless: ["", "true"], what: "a control plane that ignores the health of workloads" },
	ENABLE_DEBUG_ENDPOINT_AUTH: { harmless: ["", "true"], what: "debug pages of the whole mesh for callers of every namespace" },
	UNSAFE_ENABLE_ADMIN_ENDPOINTS: { harmless: ["", "false"], what: "a debug page that disconnects proxies" },
	PILOT_SCOPE_GATEWAY_TO_NAMESPACE: { harmless: ["", "false"], what: "gateways scoped to their namespace" },
};

/** Reads flags and environment under istiod's names. Throws SettingError, which names flag or variable and what it takes. */
export function readKubernetesOptions(flags: DiscoveryFlags, environment: Environment): KubernetesOptions {
	for (const [name, { harmless, what }] of Object.entries(unsupported)) {
		const value = environment[name] ?? "";
		if (!harmless.includes(value)) throw new SettingError(`${name}=${value}: ${what} is not implemented; remove the variable`);
	}
	const isAuthority = switchOf(environment, "ENABLE_CA_SERVER", "true");
	const unread = (["tlsCertFile", "tlsKeyFile", "caCertFile"] as const).find((name) => isAuthority && nonEmpty(flags[name]) !== undefined);
	if (unread !== undefined)
		throw new SettingError(`--${unread} counts with ENABLE_CA_SERVER=false alone: a control plane with a CA has its certificate from there`);
	const namespace = flags.namespace ?? nonEmpty(environment["POD_NAMESPACE"]) ?? "istio-system";
	const revision = nonEmpty(environment["REVISION"]) ?? "default";
	const secretNamespaces = nonEmpty(environment["WEFT_SECRET_NAMESPACES"]);
	return {
		namespace,
		podName: nonEmpty(environment["POD_NAME"]) ?? nonEmpty(environment["HOSTNAME"]) ?? `istiod-${process.pid}`,
		serviceAccount: nonEmpty(environment["SERVICE_ACCOUNT"]) ?? "istiod",
		revision,
		clusterId: flags.clusterID ?? nonEmpty(environment["CLUSTER_ID"]) ?? "Kubernetes",
		domain: flags.domain,
		meshConfigFile: flags.meshConfig,
		networksFile: flags.networksConfig,
		sharedMeshConfig: nonEmpty(environment["SHARED_MESH_CONFIG"]),
		configDirectory: flags.configDir,
		customHost: nonEmpty(environment["ISTIOD_CUSTOM_HOST"]),
		injectorConfigName: environment["INJECTION_WEBHOOK_CONFIG_NAME"] ?? revisioned("istio-sidecar-injector", revision),
		validatorConfigName: environment["VALIDATION_WEBHOOK_CONFIG_NAME"] ?? `${revisioned("istio-validator", revision)}-${namespace}`,
		nativeSidecars: nativeSidecarsOf(environment),
		caDirectory: nonEmpty(environment["ROOT_CA_DIR"]) ?? "/etc/cacerts",
		workloadTtlMs: durationOf(environment, "DEFAULT_WORKLOAD_CERT_TTL"),
		workloadTtlMsMax: durationOf(environment, "MAX_WORKLOAD_CERT_TTL"),
		rootKeyAlgorithm: rootKeyAlgorithmOf(environment),
		isAuthority,
		externalSigner: externalSignerOf(environment),
		tlsFiles: {
			certFile: nonEmpty(flags.tlsCertFile) ?? "/var/run/secrets/istiod/tls/tls.crt",
			keyFile: nonEmpty(flags.tlsKeyFile) ?? "/var/run/secrets/istiod/tls/tls.key",
			caFile: nonEmpty(flags.caCertFile) ?? "/var/run/secrets/istiod/ca/root-cert.pem",
		},
		jwtRule: jwtRuleOf(environment),
		blockedJwksNetworks: networksOf(environment, "BLOCKED_CIDRS_IN_JWKS_URIS"),
		isMultiRoot: switchOf(environment, "ISTIO_MULTIROOT_MESH"),
		status: {
			istio: switchOf(environment, "PILOT_ENABLE_STATUS", "true"),
			gatewayApi: switchOf(environment, "PILOT_ENABLE_GATEWAY_API_STATUS", "true"),
			analysis: switchOf(environment, "PILOT_ENABLE_ANALYSIS"),
		},
		secretNamespaces: secretNamespaces?.split(",").map((name) => name.trim()),
		resolvesGateways: switchOf(environment, "RESOLVE_HOSTNAME_GATEWAYS", "true"),
		debug: {
			onHttp: switchOf(environment, "ENABLE_DEBUG_ON_HTTP", "true"),
			namespaces: namesOf(environment, "DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES"),
		},
		deploysGateways: switchOf(environment, "PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER", "true"),
		secureGrpc: everywhere(flags.secureGRPCAddr, "--secureGRPCAddr"),
		plaintextGrpc: flags.grpcAddr === "" ? undefined : flags.grpcAddr,
		https: everywhere(flags.httpsAddr, "--httpsAddr"),
		readyHttp: everywhere(flags.httpAddr, "--httpAddr"),
		monitoring: everywhere(flags.monitoringAddr, "--monitoringAddr"),
		workloadGraceMs: durationOf(environment, "PILOT_WORKLOAD_ENTRY_GRACE_PERIOD") ?? workloadGraceMsDefault,
		debounceQuietMs: durationOf(environment, "PILOT_DEBOUNCE_AFTER"),
		debounceCapMs: durationOf(environment, "PILOT_DEBOUNCE_MAX"),
	};
}

const namesOf = (environment: Environment, name: string): readonly string[] =>
	(environment[name] ?? "")
		.split(",")
		.map((one) => one.trim())
		.filter((one) => one !== "");

const externalCa = "ISTIOD_RA_KUBERNETES_API";
const providerPrefix = "k8s.io/";

function externalSignerOf(environment: Environment): ExternalSignerOptions | undefined {
	const ca = nonEmpty(environment["EXTERNAL_CA"]);
	const provider = nonEmpty(environment["PILOT_CERT_PROVIDER"]) ?? "istiod";
	const isBehindApi = provider.startsWith(providerPrefix);
	const isAuthority = switchOf(environment, "ENABLE_CA_SERVER", "true");
	// Its own certificate is in files then, whatever proxies are told of its roots.
	if (ca === undefined && !isAuthority) return undefined;
	if (provider !== "istiod" && !(isBehindApi && ca !== undefined))
		throw new SettingError(
			`PILOT_CERT_PROVIDER=${provider}: a server certificate of another provider than istiod is not implemented, but for ${providerPrefix}SIGNER with EXTERNAL_CA=${externalCa}, and for files with ENABLE_CA_SERVER=false`,
		);
	if (ca === undefined) return undefined;
	if (ca !== externalCa) throw new SettingError(`EXTERNAL_CA=${ca}: the one external CA that is implemented is ${externalCa}`);
	if (!isAuthority) throw new SettingError("EXTERNAL_CA and ENABLE_CA_SERVER=false exclude each other: who gives out certificates?");
	const signerName = nonEmpty(environment["K8S_SIGNER"]);
	const signerDomain = nonEmpty(environment["CERT_SIGNER_DOMAIN"]);
	if (signerName === undefined && signerDomain === undefined) throw new SettingError(`EXTERNAL_CA=${externalCa} needs K8S_SIGNER, CERT_SIGNER_DOMAIN or both`);
	if (signerName !== undefined && !/^[^/]+\/[^/]+$/.test(signerName))
		throw new SettingError(`K8S_SIGNER: "${signerName}" is not a signer's name such as clusterissuers.cert-manager.io/istio-system`);
	if (!isBehindApi) {
		if (signerName === undefined)
			throw new SettingError(`without K8S_SIGNER, PILOT_CERT_PROVIDER=${providerPrefix}SIGNER has to say who signs the control plane's own certificate`);
		return { signerName, signerDomain, serverSigner: undefined };
	}
	const wanted = provider.slice(providerPrefix.length);
	if (wanted === signerName) return { signerName, signerDomain, serverSigner: undefined };
	if (signerDomain === undefined || !wanted.startsWith(`${signerDomain}/`))
		throw new SettingError(`PILOT_CERT_PROVIDER=${provider}: the signer has to be K8S_SIGNER or of CERT_SIGNER_DOMAIN`);
	return { signerName, signerDomain, serverSigner: wanted.slice(signerDomain.length + 1) };
}

function nativeSidecarsOf(environment: Environment): boolean | undefined {
	const text = nonEmpty(environment["ENABLE_NATIVE_SIDECARS"]) ?? "auto";
	if (text !== "auto" && text !== "true" && text !== "false") throw new SettingError(`ENABLE_NATIVE_SIDECARS: "${text}" is not auto, true or false`);
	return text === "auto" ? undefined : text === "true";
}

function rootKeyAlgorithmOf(environment: Environment): KeyAlgorithm | undefined {
	const text = nonEmpty(environment["WEFT_ROOT_KEY_ALGORITHM"]);
	const known = keyAlgorithms.find((algorithm) => algorithm === text);
	if (text !== undefined && known === undefined) throw new SettingError(`WEFT_ROOT_KEY_ALGORITHM: "${text}" is none of ${keyAlgorithms.join(", ")}`);
	return known;
}

function jwtRuleOf(environment: Environment): JwtRule | undefined {
	const text = nonEmpty(environment["JWT_RULE"]);
	if (text === undefined) return undefined;
	const rule = decodeJwtRule(text, tokenAudience);
	if (!rule.ok) throw new SettingError(`JWT_RULE: ${rule.reason}`);
	return rule.value;
}

function networksOf(environment: Environment, name: string): BlockList {
	const networks = new BlockList();
	for (const text of (environment[name] ?? "").split(",").map((part) => part.trim())) {
		if (text === "") continue;
		const [address = "", bits = "", more] = text.split("/");
		const family = isIP(address);
		if (family === 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 6 ? 128 : 32) || more !== undefined)
			throw new SettingError(`${name}: "${text}" is not a network such as 10.0.0.0/8`);
		networks.addSubnet(address, Number(bits), family === 6 ? "ipv6" : "ipv4");
	}
	return networks;
}

function switchOf(environment: Environment, name: string, fallback: "true" | "false" = "false"): boolean {
	const text = nonEmpty(environment[name]) ?? fallback;
	if (text !== "true" && text !== "false") throw new SettingError(`${name}: "${text}" is not true or false`);
	return text === "true";
}

const nonEmpty = (text: string | undefined): string | undefined => (text === "" ? undefined : text);

function durationOf(environment: Environment, name: string): number | undefined {
	const text = nonEmpty(environment[name]);
	if (text === undefined) return undefined;
	const ms = parseDurationMs(text);
	if (ms === undefined || ms <= 0) throw new SettingError(`${name}: "${text}" is not a duration such as 24h or 100ms`);
	return ms;
}

/** `:15012` is all addresses, as in Go. */
function everywhere(address: string, flag: string): string {
	if (!/^(?:\[[^\]]*\]|[^:]*):\d{1,5}$/.test(address)) throw new SettingError(`${flag}: "${address}" is not an address such as :15012 or 127.0.0.1:15012`);
	if (!address.startsWith(":")) return address;
	return existsSync("/proc/net/if_inet6") || process.platform !== "linux" ? `[::]${address}` : `0.0.0.0${address}`;
}
