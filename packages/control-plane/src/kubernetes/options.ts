import type { BlockList } from "node:net";
import type { JwtRule } from "@weft/citadel";
import type { KeyAlgorithm } from "@weft/pki";
import type { BindAddress } from "../options.ts";

/** Tokens for anything else are for somebody else. */
export const tokenAudience = "istio-ca";

/** What a control plane in a cluster is told by flags and environment, under istiod's names. */
export interface KubernetesOptions {
	/** POD_NAMESPACE. */
	readonly namespace: string;
	/** POD_NAME: tells replicas apart. */
	readonly podName: string;
	/** SERVICE_ACCOUNT. */
	readonly serviceAccount: string;
	/** REVISION; `default` has no suffix in names. */
	readonly revision: string;
	/** CLUSTER_ID. */
	readonly clusterId: string;
	/** Of services' names. */
	readonly domain: string;
	readonly meshConfigFile: string;
	/** MeshNetworks, likewise. */
	readonly networksFile: string;
	/** SHARED_MESH_CONFIG: a ConfigMap of the same namespace, whose mesh config lies under the revision's own. */
	readonly sharedMeshConfig: string | undefined;
	/** `--configDir`: YAML that is watched beside the cluster, and comes before it. */
	readonly configDirectory: string | undefined;
	/** ISTIOD_CUSTOM_HOST. */
	readonly customHost: string | undefined;
	/** INJECTION_WEBHOOK_CONFIG_NAME and VALIDATION_WEBHOOK_CONFIG_NAME; empty: none is looked after. */
	readonly injectorConfigName: string;
	readonly validatorConfigName: string;
	/** ENABLE_NATIVE_SIDECARS; undefined: auto. */
	readonly nativeSidecars: boolean | undefined;
	/** Where the Secret `cacerts` is mounted. */
	readonly caDirectory: string;
	/** DEFAULT_WORKLOAD_CERT_TTL and MAX_WORKLOAD_CERT_TTL. */
	readonly workloadTtlMs: number | undefined;
	readonly workloadTtlMsMax: number | undefined;
	/** CITADEL_SELF_SIGNED_CA_… : of a new self-signed root; undefined: RSA 2048. */
	readonly rootKeyAlgorithm: KeyAlgorithm | undefined;
	/** ENABLE_CA_SERVER: gives out certificates; else another does, and `tlsFiles` are the control plane's own. */
	readonly isAuthority: boolean;
	/** EXTERNAL_CA=ISTIOD_RA_KUBERNETES_API: signers behind the Kubernetes API sign instead of a key of our own. */
	readonly externalSigner: ExternalSignerOptions | undefined;
	/** `--tlsCertFile`, `--tlsKeyFile`, `--caCertFile`; by default where the Secret istiod-tls and istio-ca-root-cert are mounted. */
	readonly tlsFiles: { readonly certFile: string; readonly keyFile: string; readonly caFile: string };
	/** JWT_RULE: whose tokens are believed beside those of this cluster. */
	readonly jwtRule: JwtRule | undefined;
	/** BLOCKED_CIDRS_IN_JWKS_URIS: networks that keys of RequestAuthentications are not fetched from. */
	readonly blockedJwksNetworks: BlockList;
	/** ISTIO_MULTIROOT_MESH: a plugged-in CA with other roots is rotated in. */
	readonly isMultiRoot: boolean;
	readonly secretNamespaces: readonly string[] | undefined;
	/** PILOT_ENABLE_STATUS, PILOT_ENABLE_GATEWAY_API_STATUS and PILOT_ENABLE_ANALYSIS: whose status is written, and whether analysis is part of it. */
	readonly status: { readonly istio: boolean; readonly gatewayApi: boolean; readonly analysis: boolean };
	readonly debug: {
		/** ENABLE_DEBUG_ON_HTTP */
		readonly onHttp: boolean;
		/** DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES: whose callers see the whole mesh, beside the control plane's. */
		readonly namespaces: readonly string[];
	};
	/** PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER: Gateways without Services of their own are deployed. */
	readonly deploysGateways: boolean;
	/** RESOLVE_HOSTNAME_GATEWAYS: gateways to other networks that are given by name are looked up, otherwise left out. */
	readonly resolvesGateways: boolean;
	readonly secureGrpc: BindAddress;
	readonly plaintextGrpc: BindAddress | undefined;
	/** Webhooks. */
	readonly https: BindAddress;
	/** `/ready`. */
	readonly readyHttp: BindAddress;
	/** `/metrics`, `/version`, `/debug`, `/ready`. */
	readonly monitoring: BindAddress;
	/** PILOT_WORKLOAD_ENTRY_GRACE_PERIOD: how long the entry of a registered workload that went away is kept. */
	readonly workloadGraceMs: number;
	readonly debounceQuietMs: number | undefined;
	readonly debounceCapMs: number | undefined;
}

export interface ExternalSignerOptions {
	/** K8S_SIGNER: for whoever names no signer. */
	readonly signerName: string | undefined;
	/** CERT_SIGNER_DOMAIN: stands before the names that proxies give (ISTIO_META_CERT_SIGNER). */
	readonly signerDomain: string | undefined;
	/** PILOT_CERT_PROVIDER=k8s.io/NAME: the name within the domain of who signs the control plane's own certificate; undefined: K8S_SIGNER. */
	readonly serverSigner: string | undefined;
}

/** `istio` or `istio-REVISION`, and so for every name that a revision has. */
export const revisioned = (name: string, revision: string): string => (revision === "" || revision === "default" ? name : `${name}-${revision}`);
