import type { TransportSocket } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { CertificateValidationContext, TlsCertificate, TlsParameters } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/common.ts";
import type { ProxyProtocolUpstreamTransport } from "@weft/xds/generated/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.ts";
import type { SdsSecretConfig } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import type { CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/tls.ts";
import type { UpstreamTransport } from "../clusters.ts";
import type { CertificateSource, DownstreamTls, PeerValidation, SanMatch, SecretSource, TlsParams, TrustSource, UpstreamTls } from "../tls.ts";
import { openAny } from "./any.ts";
import { decodeConfigSource } from "./config-source.ts";
import { type DecodeEnvironment, dataText } from "./environment.ts";
import { decodeTlvChoice, decodeTlvs } from "./proxy-protocol-tlvs.ts";
import { type At, onlySupports, report, under } from "./issues.ts";
import { decodeStringMatch } from "./matchers.ts";

const tlsPackage = "envoy.extensions.transport_sockets.tls.v3";

/** undefined: plaintext. */
export function decodeDownstreamSocket(at: At, socket: TransportSocket | undefined, environment: DecodeEnvironment): DownstreamTls | undefined {
	if (socket === undefined) return undefined;
	const opened = openAny(at, socket.typedConfig, `transport socket ${socket.name}`);
	if (opened?.typeName === "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" || !opened) return undefined;
	if (opened.typeName === `${tlsPackage}.DownstreamTlsContext`) return decodeDownstreamTls(at, opened.message as DownstreamTlsContext, environment);
	report(at, `downstream transport socket of type ${opened.typeName} is not implemented`);
	return undefined;
}

export interface SniOptions {
	readonly autoSni: boolean;
	readonly autoSanValidation: boolean;
}

export function decodeUpstreamSocket(at: At, socket: TransportSocket | undefined, sni: SniOptions, environment: DecodeEnvironment): UpstreamTransport {
	if (socket === undefined) return { kind: "raw" };
	const opened = openAny(at, socket.typedConfig, `transport socket ${socket.name}`);
	if (opened?.typeName === `${tlsPackage}.UpstreamTlsContext`)
		return { kind: "tls", tls: decodeUpstreamTls(at, opened.message as UpstreamTlsContext, sni, environment) };
	if (opened?.typeName === "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport") {
		const { config, transportSocket } = opened.message as ProxyProtocolUpstreamTransport;
		const passedTlvs = decodeTlvChoice(config?.passThroughTlvs);
		return {
			...decodeUpstreamSocket(under(at, "transportSocket"), transportSocket, sni, environment),
			proxyProtocol: config?.version === 1 ? "v2" : "v1",
			...(passedTlvs && { passedTlvs }),
			...(config !== undefined && config.addedTlvs.length > 0 && { addedTlvs: decodeTlvs(under(at, "config.addedTlvs"), config.addedTlvs) }),
		};
	}
	if (opened && opened.typeName !== "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer") {
		report(at, `upstream transport socket of type ${opened.typeName} is not implemented`);
	}
	return { kind: "raw" };
}

function decodeDownstreamTls(at: At, tls: DownstreamTlsContext, environment: DecodeEnvironment): DownstreamTls {
	onlySupports(at, `${tlsPackage}.DownstreamTlsContext`, tls, [
		"commonTlsContext",
		"requireClientCertificate",
		"disableStatelessSessionResumption",
		"disableStatefulSessionResumption",
		"fullScanCertsOnSniMismatch",
	]);
	const common = decodeCommon(under(at, "commonTlsContext"), tls.commonTlsContext, environment);
	if (common.certificates.length === 0) report(at, "No TLS certificates found for server context");
	const requireClientCertificate = tls.requireClientCertificate ?? false;
	// Envoy takes it and asks for none.
	if (requireClientCertificate && common.validation === undefined) report(at, "require_client_certificate without a validation context");
	return { ...common, requireClientCertificate, disableStatelessResumption: tls.disableStatelessSessionResumption ?? false };
}

function decodeUpstreamTls(at: At, tls: UpstreamTlsContext, sni: SniOptions, environment: DecodeEnvironment): UpstreamTls {
	onlySupports(at, `${tlsPackage}.UpstreamTlsContext`, tls, ["commonTlsContext", "sni", "maxSessionKeys", "enforceRsaKeyUsage"]);
	return { ...decodeCommon(under(at, "commonTlsContext"), tls.commonTlsContext, environment), sni: tls.sni, ...sni };
}

interface CommonTls {
	readonly params: TlsParams;
	readonly alpn: readonly string[];
	readonly certificates: readonly CertificateSource[];
	readonly validation: PeerValidation | undefined;
}

const commonFields = [
	"tlsParams",
	"tlsCertificates",
	"tlsCertificateSdsSecretConfigs",
	"validationContext",
	"validationContextSdsSecretConfig",
	"combinedValidationContext",
	"alpnProtocols",
];

function decodeCommon(at: At, common: CommonTlsContext | undefined, environment: DecodeEnvironment): CommonTls {
	if (common !== undefined) onlySupports(at, `${tlsPackage}.CommonTlsContext`, common, commonFields);
	const inline = (common?.tlsCertificates ?? []).map((certificate, i) => decodeCertificate(under(at, `tlsCertificates[${i}]`), certificate, environment));
	const secrets = (common?.tlsCertificateSdsSecretConfigs ?? []).map((config, i) =>
		decodeSecretSource(under(at, `tlsCertificateSdsSecretConfigs[${i}]`), config, environment),
	);
	return {
		params: decodeParams(at, common?.tlsParams),
		alpn: common?.alpnProtocols ?? [],
		certificates: [...inline, ...secrets],
		validation: decodeValidation(at, common, environment),
	};
}

const versions = ["auto", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const;

/** Of those that Envoy knows, what OpenSSL takes under the same name. */
const signatureNames: ReadonlySet<string> = new Set([
	...["rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512", "rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512"],
	...["ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384", "ecdsa_secp521r1_sha512", "ed25519"],
]);

/** Both sides speak 1.2 and 1.3 unless told otherwise. */
function decodeParams(at: At, params: TlsParameters | undefined): TlsParams {
	const signatures = params?.signatureAlgorithms ?? [];
	for (const name of signatures)
		if (!signatureNames.has(name)) report(under(at, "tlsParams.signatureAlgorithms"), `signature algorithm ${JSON.stringify(name)} is not known`);
	const version = (n: number | undefined, fallback: TlsParams["minVersion"]) => {
		const name = versions[n ?? 0];
		return name === undefined || name === "auto" ? fallback : name;
	};
	return {
		minVersion: version(params?.tlsMinimumProtocolVersion, "TLSv1.2"),
		maxVersion: version(params?.tlsMaximumProtocolVersion, "TLSv1.3"),
		// BoringSSL's equal-preference groups [A|B] are a list for OpenSSL.
		ciphers: (params?.cipherSuites ?? []).map((suite) => suite.replace(/[[\]]/g, "").replaceAll("|", ":")).join(":"),
		curves: (params?.ecdhCurves ?? []).join(":"),
		...(signatures.length > 0 && { signatures: signatures.join(":") }),
	};
}

export function decodeCertificate(at: At, certificate: TlsCertificate, environment: DecodeEnvironment): Extract<CertificateSource, { kind: "inline" }> {
	onlySupports(at, `${tlsPackage}.TlsCertificate`, certificate, ["certificateChain", "privateKey", "watchedDirectory"]);
	if (certificate.certificateChain === undefined || certificate.privateKey === undefined) report(at, "certificate_chain and private_key are both required");
	return {
		kind: "inline",
		certChainPem: dataText(under(at, "certificateChain"), certificate.certificateChain, environment),
		privateKeyPem: dataText(under(at, "privateKey"), certificate.privateKey, environment),
	};
}

function decodeValidation(at: At, common: CommonTlsContext | undefined, environment: DecodeEnvironment): PeerValidation | undefined {
	if (common?.validationContext !== undefined) return decodeContext(under(at, "validationContext"), common.validationContext, undefined, environment);
	const secret = common?.validationContextSdsSecretConfig;
	if (secret !== undefined) return { ...noChecks, trust: decodeSecretSource(under(at, "validationContextSdsSecretConfig"), secret, environment) };
	const combined = common?.combinedValidationContext;
	if (combined === undefined) return undefined;
	const here = under(at, "combinedValidationContext");
	const roots = combined.validationContextSdsSecretConfig;
	const trust = roots && decodeSecretSource(under(here, "validationContextSdsSecretConfig"), roots, environment);
	if (combined.defaultValidationContext === undefined) return trust && { ...noChecks, trust };
	return decodeContext(under(here, "defaultValidationContext"), combined.defaultValidationContext, trust, environment);
}

/** Without a source it is one of the bootstrap's. */
function decodeSecretSource(at: At, { name, sdsConfig }: SdsSecretConfig, environment: DecodeEnvironment): SecretSource {
	if (sdsConfig === undefined) return { kind: "secret", name };
	// Where it would be asked for is not looked at, nor need it be there.
	const config = environment.secretsOverAds === true ? { ...sdsConfig, apiConfigSource: undefined } : sdsConfig;
	return { kind: "secret", name, source: decodeConfigSource(under(at, "sdsConfig"), config, environment) };
}

const noChecks = { sans: [], certificateHashes: [], spkiHashes: [], acceptUntrusted: false } as const;

const contextFields = [
	"trustedCa",
	"systemRootCerts",
	"watchedDirectory",
	"verifyCertificateSpki",
	"verifyCertificateHash",
	"matchTypedSubjectAltNames",
	"matchSubjectAltNames",
	"crl",
	"trustChainVerification",
];
const sanTypes = [undefined, "email", "dns", "uri", "ip", undefined] as const;

function decodeContext(
	at: At,
	context: CertificateValidationContext,
	secret: TrustSource | undefined,
	environment: DecodeEnvironment,
): PeerValidation | undefined {
	onlySupports(at, `${tlsPackage}.CertificateValidationContext`, context, contextFields);
	const typed = context.matchTypedSubjectAltNames.map((san, i): SanMatch => {
		const here = under(at, `matchTypedSubjectAltNames[${i}]`);
		const type = sanTypes[san.sanType];
		if (type === undefined) report(here, "san_type is not implemented");
		return { type: type ?? "any", match: decodeStringMatch(under(here, "matcher"), san.matcher) };
	});
	const untyped = context.matchSubjectAltNames.map(
		(match, i): SanMatch => ({ type: "any", match: decodeStringMatch(under(at, `matchSubjectAltNames[${i}]`), match) }),
	);
	const trust = secret ?? decodeTrust(at, context, environment);
	const sans = [...typed, ...untyped];
	const acceptUntrusted = context.trustChainVerification === 1;
	const pins = context.verifyCertificateHash.length + context.verifyCertificateSpki.length;
	if (trust === undefined) {
		if (sans.length > 0) report(at, "SAN-based verification of peer certificates without trusted CA is insecure and not allowed");
		if (pins === 0) return undefined;
	}
	return {
		trust: trust ?? { kind: "inline", caPem: "", crlPem: "" },
		sans,
		certificateHashes: context.verifyCertificateHash.map((hash) => hash.replaceAll(":", "").toLowerCase()),
		spkiHashes: context.verifyCertificateSpki,
		acceptUntrusted: acceptUntrusted || trust === undefined,
	};
}

export function decodeTrust(at: At, context: CertificateValidationContext, environment: DecodeEnvironment): TrustSource | undefined {
	if (context.systemRootCerts !== undefined) return { kind: "system" };
	if (context.trustedCa === undefined) return undefined;
	return {
		kind: "inline",
		caPem: dataText(under(at, "trustedCa"), context.trustedCa, environment),
		crlPem: dataText(under(at, "crl"), context.crl, environment),
	};
}
