import { createPrivateKey, X509Certificate } from "node:crypto";
import type { AnyConfig, ServerTLSSettings } from "@weft/api";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { generatedName } from "../model/gateway-api/context.ts";
import type { CertificateStore } from "../model/secrets.ts";
import type { EncodedResource, ProxyContext } from "./context.ts";
import { type CredentialName, isTrust, parseCredentialName, withoutTrustSuffix } from "./credential-name.ts";
import { encodeResource, stats } from "./encode.ts";
import { createMemo } from "./memo.ts";
import { gatewayServers } from "./routes/gateway-servers.ts";

// A gateway's certificates: https://istio.io/latest/docs/tasks/traffic-management/ingress/secure-ingress/#key-formats

/** Who asks: what its certificate says of it, not what its node says. */
export interface SecretRights {
	readonly isAuthenticated: boolean;
	/** May its service account read the Secrets of its own namespace? Asked where it matters. */
	readonly mayReadSecrets: () => boolean;
}

export const noSecrets: SecretRights = { isAuthenticated: false, mayReadSecrets: () => false };

type Outcome<T> = { readonly value: T } | { readonly problem: string };
export type SecretOutcome = Outcome<EncodedResource>;

/** The secret of this name for this proxy, or why it has none. */
export function buildSecret(context: ProxyContext, rights: SecretRights, resource: string): SecretOutcome {
	const name = parseCredentialName(resource, context.node.namespace);
	if (name === undefined) return { problem: `${resource} names no Secret or ConfigMap` };
	const refusal = refusalOf(context, rights, resource, name);
	if (refusal !== undefined) return { problem: refusal };
	const found = findObject(context.push.certificates, name);
	if (found === undefined) return { problem: `${name.from === "config-map" ? "ConfigMap" : "Secret"} ${name.namespace}/${name.name} not found` };
	return built.get([found], resource, () => encode(found, name, resource));
}

const built = createMemo<SecretOutcome>();

/** A certificate of an authority is public; a key is for who may read the Secret, or was given it by a Gateway. */
function refusalOf(context: ProxyContext, rights: SecretRights, resource: string, { from, namespace, name }: CredentialName): string | undefined {
	const { node } = context;
	if (!rights.isAuthenticated) return "secrets are sent to proxies with a certificate only";
	if (from === "config-map") return undefined;
	if (from === "gateway-secret") return isGranted(context, resource) ? undefined : `no Gateway of this proxy may use Secret ${namespace}/${name}`;
	if (namespace !== node.namespace) return `Secret ${namespace}/${name} is not in the proxy's namespace ${node.namespace}`;
	return rights.mayReadSecrets() ? undefined : `service account ${node.namespace}/${node.serviceAccount} may not list Secrets of its namespace`;
}

/** References to another namespace were checked when the Gateway was compiled: one that a user wrote in Istio's API grants nothing. */
function isGranted(context: ProxyContext, resource: string): boolean {
	return gatewayServers(context).some(
		({ gateway, proxyNamespace, server: { tls } }) =>
			tls && gateway.includes(generatedName) && proxyNamespace === context.node.namespace && credentialsOf(tls).includes(resource),
	);
}

function credentialsOf({ credentialName, credentialNames, caCertCredentialName }: ServerTLSSettings): readonly string[] {
	const own = credentialName ? [credentialName, `${credentialName}-cacert`] : [];
	return [...own, ...(credentialNames ?? []), ...(caCertCredentialName ? [caCertCredentialName] : [])];
}

type Holder = Extract<AnyConfig, { readonly kind: "Secret" | "ConfigMap" }>;

/** An authority may stand in a Secret of its own, `NAME-cacert`, or beside the certificate. */
function findObject({ secrets, configMaps }: CertificateStore, { from, namespace, name }: CredentialName): Holder | undefined {
	if (from === "config-map") return configMaps.get(`${namespace}/${name}`);
	return secrets.get(`${namespace}/${name}`) ?? secrets.get(`${namespace}/${withoutTrustSuffix(name)}`);
}

function encode(object: Holder, name: CredentialName, resource: string): SecretOutcome {
	const what = `${object.kind} ${object.metadata.namespace}/${object.metadata.name}`;
	const values = valuesOf(object);
	const content = isTrust(name) ? trustOf(values, what) : certificateOf(values, what);
	if ("problem" in content) return content;
	stats.builds.sds++;
	return { value: encodeResource("sds", resource, Secret, Secret.fromPartial({ name: resource, ...content.value })) };
}

type Content = Outcome<Parameters<typeof Secret.fromPartial>[0]>;

const inline = (bytes: Buffer) => ({ inlineBytes: bytes });
const pairs = [
	["cert", "key"],
	["tls.crt", "tls.key"],
] as const;

function certificateOf(value: Values, what: string): Content {
	for (const [certificateKey, privateKey] of pairs) {
		const [chain, key] = [value(certificateKey), value(privateKey)];
		if (chain === undefined || key === undefined) continue;
		const problem = pairProblem(chain, key);
		if (problem !== undefined) return { problem: `${what}: ${problem}` };
		const staple = value("tls.ocsp-staple");
		return { value: { tlsCertificate: { certificateChain: inline(chain), privateKey: inline(key), ...(staple && { ocspStaple: inline(staple) }) } } };
	}
	return { problem: `${what} has neither tls.crt and tls.key nor cert and key` };
}

function trustOf(value: Values, what: string): Content {
	const generic = value("cacert");
	const authority = generic ?? value("ca.crt");
	if (authority === undefined) return { problem: `${what} has neither ca.crt nor cacert` };
	const problem = certificateProblem(authority);
	if (problem !== undefined) return { problem: `${what}: ${problem}` };
	const revoked = value(generic ? "crl" : "ca.crl");
	return { value: { validationContext: { trustedCa: inline(authority), ...(revoked && { crl: inline(revoked) }) } } };
}

type Values = (key: string) => Buffer | undefined;

/** Empty values are none. */
function valuesOf(object: Holder): Values {
	const plain = object.kind === "Secret" ? object.spec.stringData : object.spec.data;
	const encoded = object.kind === "Secret" ? object.spec.data : object.spec.binaryData;
	return (key) => {
		const text = plain?.[key];
		const base64 = encoded?.[key];
		if (text) return Buffer.from(text);
		return base64 ? Buffer.from(base64, "base64") : undefined;
	};
}

/** A pair that a proxy would refuse is not sent: the one before it stays in use. */
function pairProblem(chain: Buffer, key: Buffer): string | undefined {
	const problem = certificateProblem(chain);
	if (problem !== undefined) return problem;
	try {
		return new X509Certificate(chain).checkPrivateKey(createPrivateKey(key)) ? undefined : "the private key does not belong to the certificate";
	} catch {
		return "the private key is not valid PEM";
	}
}

function certificateProblem(pem: Buffer): string | undefined {
	try {
		void new X509Certificate(pem);
		return undefined;
	} catch {
		return "the certificate is not valid PEM";
	}
}
