import { existsSync } from "node:fs";
import {
	type AuthorityMaterial,
	type AuthorityPem,
	type Authenticator,
	type CertificateAuthority,
	createCertificateAuthority,
	createClientCertificateAuthenticator,
	createFileServerIdentity,
	createJwtAuthenticator,
	createMemoryKeyStore,
	createRegistrationAuthority,
	createRootRotation,
	createServerIdentity,
	createSigningPool,
	createTokenReviewAuthenticator,
	decodeAuthority,
	type JwtRule,
	type KeyStore,
	type RootRotation,
	runForeignRootWarning,
} from "@weft/citadel";
import { isTemporary, type KubeClient, reviewToken } from "@weft/kube";
import { accepted, type Checked, refused } from "@weft/pki";
import { type Clock, createBackoff, type Logger } from "@weft/runtime";
import { createJwksTransport } from "../jwks-transport.ts";
import type { SecureServing } from "../grpc-servers.ts";
import { createTrustedRoots, joinRoots, listRoots, type TrustedRoots } from "../trusted-roots.ts";
import { createKubernetesSigner } from "./certificate-signer.ts";
import type { MeshConfigWatch } from "./mesh-config.ts";
import { createKeptBundles } from "./kept-bundles.ts";
import { createMeshRoots, type MeshRoots } from "./mesh-roots.ts";
import { createSecretKeyStore, loadPluggedInAuthority } from "./ca-secrets.ts";
import { type ExternalSignerOptions, type KubernetesOptions, revisioned, tokenAudience } from "./options.ts";

/** How often a plugged-in CA is looked at: kubelet itself takes up to a minute to mount a change. */
const reloadMs = 10_000;
/** What a start waits for is looked for more eagerly. */
const mountMs = 1_000;
/** A mesh that starts at once shares them with nobody; waiting longer than a proxy's time-out for an answer is of no use. */
const signingThreads = 2;
const signingQueueMax = 1_000;

export interface IdentityOptions extends KubernetesOptions {
	readonly client: KubeClient;
	readonly trustDomain: string;
	/** Whether a WorkloadGroup names this account: machines outside of the cluster show its tokens, which no pod has. */
	readonly isMachine: (namespace: string, serviceAccount: string) => boolean;
	readonly mesh: Pick<MeshConfigWatch, "current" | "onChanged">;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

/**
 * Citadel in a cluster: the CA of `cacerts` or a self-signed one in `istio-ca-secret`, the control plane's own certificate,
 * and who may ask for what. Waits while the API server is away; rejects where what is stored is damaged.
 */
export async function createKubernetesIdentity(options: IdentityOptions): Promise<SecureServing> {
	const { client, namespace, trustDomain, clock, signal, caDirectory } = options;
	const logger = options.logger.child("citadel");
	if (!options.isAuthority) return createForeignIdentity(options);
	if (options.externalSigner !== undefined) return createRegisteredIdentity(options, options.externalSigner);
	const load = () => loadPluggedInAuthority(client, namespace, caDirectory);
	const pluggedIn = await persistently(options, load);
	const store = pluggedIn === undefined ? createSecretKeyStore(client, namespace) : createMemoryKeyStore(pluggedIn);
	const { workloadTtlMs, workloadTtlMsMax } = options;
	const ttl = { ...(workloadTtlMs !== undefined && { leafTtlMs: workloadTtlMs }), ...(workloadTtlMsMax !== undefined && { leafTtlMsMax: workloadTtlMsMax }) };
	const leafSigner = createSigningPool({ threads: signingThreads, queueMax: signingQueueMax, logger });
	signal.addEventListener("abort", () => void leafSigner.close(), { once: true });
	const rootKeyAlgorithm = options.rootKeyAlgorithm ?? "rsa-2048";
	const authority = await persistently(options, () => createCertificateAuthority({ store, clock, logger, trustDomain, rootKeyAlgorithm, leafSigner, ...ttl }));
	const identity = await createServerIdentity({
		authority,
		clock,
		random: Math.random,
		logger,
		identity: { trustDomain, namespace, serviceAccount: options.serviceAccount },
		dnsNames: serverDnsNames(options),
	});
	void identity.run(signal);
	const rotate: SecureServing["rotate"] = (discovery) => {
		const countProxies = () => discovery.trust();
		const rotation = createRootRotation({ authority, store, replica: options.podName, countProxies, rootKeyAlgorithm, clock, logger });
		void rotation.run(signal);
		if (pluggedIn) void runReload(options, load, { authority, store, rotation });
		return rotation;
	};
	const roots = createTrustedRoots(authority);
	const asking = authenticators(options, false);
	return {
		address: options.secureGrpc,
		issuer: authority,
		authority,
		identity,
		roots,
		workloadRoots: await workloadRoots(options, roots),
		rotate,
		issuing: authenticators(options, true),
		registering: asking,
		asking,
	};
}

/** EXTERNAL_CA=ISTIOD_RA_KUBERNETES_API: signers behind the Kubernetes API sign, for the control plane's own server as well. */
async function createRegisteredIdentity(options: IdentityOptions, { signerName, signerDomain, serverSigner }: ExternalSignerOptions): Promise<SecureServing> {
	const { client, namespace, trustDomain, clock, signal, workloadTtlMs, workloadTtlMsMax } = options;
	const logger = options.logger.child("citadel");
	const roots = await meshRoots(options, true);
	const issuer = createRegistrationAuthority({
		signer: createKubernetesSigner({ client, clock, logger }),
		trustDomain,
		signerName,
		signerDomain,
		rootsOf: roots.rootsOf,
		trustBundlePem: roots.pem,
		onRootsChanged: roots.onChanged,
		leafTtlMs: workloadTtlMs,
		leafTtlMsMax: workloadTtlMsMax,
		clock,
	});
	const identity = await createServerIdentity({
		authority: issuer,
		clock,
		random: Math.random,
		logger,
		identity: { trustDomain, namespace, serviceAccount: options.serviceAccount },
		dnsNames: serverDnsNames(options),
		certSigner: serverSigner,
	});
	void identity.run(signal);
	const trusted = listRoots(roots.pem, roots.onChanged);
	const asking = authenticators(options, false);
	return {
		address: options.secureGrpc,
		issuer,
		authority: undefined,
		identity,
		roots: trusted,
		workloadRoots: trusted,
		issuing: authenticators(options, true),
		registering: asking,
		asking,
	};
}

/** Without a CA of our own: the server's certificate is another's, in files, and so are the roots (cert-manager's istio-csr). */
async function createForeignIdentity(options: IdentityOptions): Promise<SecureServing> {
	const { clock, signal, tlsFiles } = options;
	const logger = options.logger.child("citadel");
	await untilMounted(options, Object.values(tlsFiles));
	const identity = await createFileServerIdentity({ ...tlsFiles, clock, logger });
	void identity.run(signal);
	const roots = listRoots(() => identity.trustBundlePem, identity.onRootsChanged);
	void runForeignRootWarning(roots.pem, "it comes from the authority that gives out the certificates (ENABLE_CA_SERVER=false)", clock, logger, signal);
	const asking = authenticators(options, false);
	return {
		address: options.secureGrpc,
		issuer: undefined,
		authority: undefined,
		identity,
		roots,
		workloadRoots: await workloadRoots(options, roots),
		issuing: [],
		registering: asking,
		asking,
	};
}

/** Secrets that are not there yet are mounted into a running pod when they come. */
async function untilMounted({ clock, logger, signal }: IdentityOptions, files: readonly string[]): Promise<void> {
	let told = "";
	for (;;) {
		const missing = files.filter((file) => !existsSync(file)).join(", ");
		if (missing === "") return;
		if (missing !== told) logger.warn("waiting for the server certificate of another authority (ENABLE_CA_SERVER=false)", { missing });
		told = missing;
		await clock.sleep(mountMs, signal);
		signal.throwIfAborted();
	}
}

/** With ISTIO_MULTIROOT_MESH workloads trust the roots of the mesh config beside those of their own certificates. */
async function workloadRoots(options: IdentityOptions, roots: TrustedRoots): Promise<TrustedRoots> {
	if (options.isMultiRoot) return joinRoots(roots, await meshRoots(options, false));
	const { mesh } = options;
	const logger = options.logger.child("citadel");
	let isTold = false;
	const tell = () => {
		const isSet = (mesh.current().caCertificates ?? []).length > 0;
		if (isSet && !isTold) logger.warn("meshConfig.caCertificates counts with ISTIO_MULTIROOT_MESH=true alone; without, only the mesh's own roots are trusted");
		isTold = isSet;
	};
	tell();
	mesh.onChanged(tell);
	return roots;
}

async function meshRoots(options: IdentityOptions, hasSigners: boolean): Promise<MeshRoots> {
	const logger = options.logger.child("citadel");
	const kept = createKeptBundles(options.client, options.namespace, revisioned("weft-spiffe-bundles", options.revision));
	const roots = await createMeshRoots({ ...options, logger, hasSigners, fetchText: createJwksTransport("cluster"), kept, random: Math.random });
	void runForeignRootWarning(roots.pem, "replace it in meshConfig.caCertificates, or where its SPIFFE bundle is served", options.clock, logger, options.signal);
	return roots;
}

/** A certificate first: it costs no question to the API server. */
function authenticators(options: IdentityOptions, needsPod: boolean): readonly Authenticator[] {
	const { client, clock, trustDomain, jwtRule, isMachine } = options;
	const review = (token: string) => reviewToken(client, token, [tokenAudience]);
	return [
		createClientCertificateAuthenticator({ clock, trustDomain }),
		...(jwtRule === undefined ? [] : [createForeignTokens(options, jwtRule)]),
		createTokenReviewAuthenticator({ review, clock, trustDomain, needsPod, isMachine }),
	];
}

/** Under which proxies, the API server and istioctl know this replica. */
export function serverDnsNames({ namespace, revision, customHost, domain }: KubernetesOptions): readonly string[] {
	const services = ["istiod", "istiod-remote", "istio-pilot", ...(revision === "" || revision === "default" ? [] : [`istiod-${revision}`])];
	const names = services.flatMap((service) => [`${service}.${namespace}.svc`, `${service}.${namespace}.svc.${domain}`]);
	return [...new Set([...names, ...(customHost === undefined ? [] : customHost.split(",").map((host) => host.trim())), "localhost"])].filter(
		(name) => name !== "",
	);
}

/** An API server that does not answer is waited for; what it answers, and what is damaged, is final. */
async function persistently<T>({ clock, logger, signal }: IdentityOptions, attempt: () => Promise<T>): Promise<T> {
	const backoff = createBackoff({ minMs: 500, maxMs: 10_000 });
	for (;;) {
		try {
			return await attempt();
		} catch (error) {
			if (signal.aborted || !isTemporary(error)) throw error;
			logger.warn("the certificate authority waits for the API server", { error });
			await clock.sleep(backoff.nextMs(), signal);
		}
	}
}

/** Tokens of machines outside of the cluster. */
function createForeignTokens({ clock, trustDomain, signal }: IdentityOptions, rule: JwtRule): Authenticator {
	const transport = createJwksTransport("cluster");
	return createJwtAuthenticator({ rule, fetchText: (url, timeoutMs) => transport(url, timeoutMs, signal), clock, trustDomain });
}

interface PluggedIn {
	readonly authority: CertificateAuthority;
	readonly store: KeyStore;
	readonly rotation: RootRotation;
}

async function runReload(options: IdentityOptions, load: () => Promise<AuthorityPem | undefined>, pluggedIn: PluggedIn): Promise<void> {
	const { clock, signal } = options;
	const logger = options.logger.child("citadel");
	let refusal = "";
	while (!signal.aborted) {
		await clock.sleep(reloadMs, signal);
		if (signal.aborted) return;
		try {
			const pem = await load();
			if (!pem) continue;
			const outcome = await reload(options, pem, pluggedIn);
			const reason = outcome.ok ? "" : outcome.reason;
			if (reason !== refusal && reason !== "") logger.error("the new CA certificate is not taken; the present one goes on signing", { reason });
			refusal = reason;
		} catch (error) {
			logger.warn("CA certificate not read again", { error });
		}
	}
}

/**
 * Under the same roots another certificate signs at once. Under other roots it would be trusted by nobody who has the old
 * ones: Istio then stays with the old, unless the mesh may have several roots, where the new ones are handed out first.
 */
async function reload({ clock, isMultiRoot }: IdentityOptions, pem: AuthorityPem, { authority, store, rotation }: PluggedIn): Promise<Checked<unknown>> {
	const decoded = decodeAuthority(pem, clock.nowMs());
	if (!decoded.ok) return decoded;
	const { slots, revision, material } = authority.state;
	if (isSameRoots(decoded.value, material)) {
		const isSame = (["caCertPem", "certChainPem", "crlPem"] as const).every((name) => pem[name] === slots.current[name]);
		if (isSame) return accepted(false);
		const stored = await store.replace({ ...slots, current: pem }, revision);
		return stored === undefined ? refused("the authority has changed meanwhile") : authority.adopt(stored);
	}
	if (isMultiRoot) return rotation.stage(pem);
	return refused(
		"root-cert.pem holds other roots: with ISTIO_MULTIROOT_MESH=true they are rotated in; without, a new root needs a restart of the control plane and of every workload",
	);
}

const fingerprints = ({ trustBundle }: AuthorityMaterial): string =>
	trustBundle.roots
		.map((root) => root.fingerprint256)
		.sort()
		.join();
const isSameRoots = (a: AuthorityMaterial, b: AuthorityMaterial): boolean => fingerprints(a) === fingerprints(b);
