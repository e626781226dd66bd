import type { ConfigObject, Listener, SecretObjectReference, ServerTLSSettings } from "@weft/api";
import { networkLabel } from "../networks.ts";
import { type GatewayApiInput, type Grants, isKind, kindOf, kinds } from "./context.ts";
import type { Problem } from "./status.ts";

interface Result {
	readonly tls?: ServerTLSSettings;
	readonly problem?: Problem;
}

type GatewayObject = ConfigObject<"KubernetesGateway">;

/** The proxy's own certificate, which every workload of the mesh has. */
export const workloadCertificate = "builtin://";

const terminateMode = "gateway.istio.io/tls-terminate-mode";
const cipherSuites = "gateway.istio.io/tls-cipher-suites";
/** One certificate each of RSA and ECDSA. */
const certificatesMax = 2;

/** The `tls` of a listener as the settings of a server. */
export function buildListenerTls(gateway: GatewayObject, listener: Listener, input: GatewayApiInput, grants: Grants): Result {
	const { tls } = listener;
	if (tls === undefined) return {};
	if (tls.mode === "Passthrough") {
		// Istio's east-west gateways say by a label or by their port that they take services by their SNI.
		const mode = isAutoPassthrough(gateway, listener) ? "AUTO_PASSTHROUGH" : "PASSTHROUGH";
		return { tls: { mode } };
	}
	const wanted = tls.options?.[terminateMode];
	if (wanted === "ISTIO_MUTUAL") return { tls: { mode: "ISTIO_MUTUAL" } };
	if (wanted === "ISTIO_SIMPLE") return { tls: { mode: "SIMPLE", credentialName: workloadCertificate } };
	const refs = tls.certificateRefs ?? [];
	if (refs.length === 0 || refs.length > certificatesMax) {
		return { problem: { reason: "InvalidCertificateRef", message: `one or two certificateRefs must be given to terminate TLS, not ${refs.length}` } };
	}
	const names: string[] = [];
	for (const ref of refs) {
		const found = resolveSecret(gateway, ref, input, grants);
		if (typeof found !== "string") return { problem: found };
		names.push(found);
	}
	const [first = ""] = names;
	const clients = clientValidation(gateway, listener);
	if (clients && "problem" in clients) return clients;
	const suites = tls.options?.[cipherSuites]?.split(",").map((suite) => suite.trim());
	return {
		tls: {
			mode: modeOf(wanted, clients),
			...(names.length > 1 ? { credentialNames: names } : { credentialName: first }),
			...(clients && { caCertCredentialName: clients.credentialName }),
			...(suites?.length && { cipherSuites: suites }),
		},
	};
}

function modeOf(wanted: string | undefined, clients: { readonly optional: boolean } | undefined): ServerTLSSettings["mode"] {
	if (wanted === "MUTUAL" || wanted === "OPTIONAL_MUTUAL") return wanted;
	if (clients === undefined) return "SIMPLE";
	return clients.optional ? "OPTIONAL_MUTUAL" : "MUTUAL";
}

function isAutoPassthrough({ metadata }: GatewayObject, { port, protocol }: Listener): boolean {
	const eastWest = metadata.labels[networkLabel] !== undefined || metadata.labels["istio.io/expose-istiod"] !== undefined;
	return protocol === "TLS" && eastWest && port === 15_443;
}

/** `kubernetes-gateway://namespace/name`, or why the Secret cannot be used. */
function resolveSecret({ metadata }: GatewayObject, ref: SecretObjectReference, { secrets }: GatewayApiInput, grants: Grants): string | Problem {
	const text = `${ref.group ?? ""}/${ref.kind ?? ""}/${ref.name}.${ref.namespace ?? ""}`;
	if (!isKind(kindOf(ref, kinds.secret), kinds.secret))
		return { reason: "InvalidCertificateRef", message: `invalid certificate reference ${text}, only secret is allowed` };
	const namespace = ref.namespace ?? metadata.namespace;
	if (namespace !== metadata.namespace && !grants.allows(kinds.gateway, metadata.namespace, kinds.secret, namespace, ref.name)) {
		const message = `certificateRef ${ref.name}/${namespace} not accessible to a Gateway in namespace ${JSON.stringify(metadata.namespace)} (missing a ReferenceGrant?)`;
		return { reason: "RefNotPermitted", message };
	}
	const secret = secrets.find((candidate) => candidate.metadata.name === ref.name && candidate.metadata.namespace === namespace);
	if (!secret) return { reason: "InvalidCertificateRef", message: `invalid certificate reference ${text}, secret ${namespace}/${ref.name} not found` };
	const keys = new Set([...Object.keys(secret.spec.data ?? {}), ...Object.keys(secret.spec.stringData ?? {})]);
	const whole = ["tls", "generic"].some((form) => (form === "tls" ? keys.has("tls.crt") && keys.has("tls.key") : keys.has("cert") && keys.has("key")));
	if (!whole)
		return {
			reason: "InvalidCertificateRef",
			message: `invalid certificate reference ${text}, found secret, but didn't have expected keys (cert and key) or (tls.crt and tls.key)`,
		};
	return `kubernetes-gateway://${namespace}/${ref.name}`;
}

/** https://gateway-api.sigs.k8s.io/geps/gep-91/: whose certificates clients must have. */
function clientValidation(
	{ metadata, spec }: GatewayObject,
	listener: Listener,
): { readonly credentialName: string; readonly optional: boolean } | { readonly problem: Problem } | undefined {
	const frontend = spec.tls?.frontend;
	const own = frontend?.perPort?.find(({ port }) => port === listener.port)?.tls?.validation ?? frontend?.default?.validation;
	const validation = listener.tls?.frontendValidation ?? (listener.protocol === "HTTPS" ? own : undefined);
	const [ref] = validation?.caCertificateRefs ?? [];
	if (validation === undefined || ref === undefined) return undefined;
	const kind = kindOf(ref, kinds.configMap);
	const namespace = ref.namespace ?? metadata.namespace;
	const optional = validation.mode === "AllowInsecureFallback";
	if (isKind(kind, kinds.configMap)) return { credentialName: `configmap://${namespace}/${ref.name}-cacert`, optional };
	if (isKind(kind, kinds.secret)) return { credentialName: `kubernetes-gateway://${namespace}/${ref.name}-cacert`, optional };
	return { problem: { reason: "InvalidCACertificateKind", message: `caCertificateRefs of kind ${ref.kind} are not supported; name a ConfigMap` } };
}
