import {
	type AuthorityPem,
	type CertificateAuthority,
	createCertificateAuthority,
	createClientCertificateAuthenticator,
	createServerIdentity,
	createTokenReviewAuthenticator,
	type KeyStore,
	type ServerIdentity,
} from "@weft/citadel";
import { isTemporary, type KubeClient, reviewToken } from "@weft/kube";
import { type Clock, createBackoff, type Logger } from "@weft/runtime";
import type { SecureServing } from "../grpc-servers.ts";
import { createSecretKeyStore, loadPluggedInAuthority } from "./ca-secrets.ts";
import type { KubernetesOptions } from "./options.ts";

/** Tokens for anything else are for somebody else. */
export const tokenAudience = "istio-ca";
/** How often a plugged-in CA is looked at: kubelet itself takes up to a minute to mount a change. */
const reloadMs = 10_000;

export interface IdentityOptions extends KubernetesOptions {
	readonly client: KubeClient;
	readonly trustDomain: string;
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
	const load = () => loadPluggedInAuthority(client, namespace, caDirectory);
	const pluggedIn = await persistently(options, load);
	const store = pluggedIn === undefined ? createSecretKeyStore(client, namespace) : fixedKeyStore(pluggedIn);
	const { workloadTtlMs, workloadTtlMsMax } = options;
	const ttl = { ...(workloadTtlMs !== undefined && { leafTtlMs: workloadTtlMs }), ...(workloadTtlMsMax !== undefined && { leafTtlMsMax: workloadTtlMsMax }) };
	const authority = await persistently(options, () => createCertificateAuthority({ store, clock, logger, trustDomain, ...ttl }));
	const identity = await createServerIdentity({
		authority,
		clock,
		random: Math.random,
		logger,
		identity: { trustDomain, namespace, serviceAccount: options.serviceAccount },
		dnsNames: serverDnsNames(options),
	});
	void identity.run(signal);
	if (pluggedIn) void runReload(options, load, authority, identity);
	const certificate = createClientCertificateAuthenticator({ clock, trustDomain });
	const review = (token: string) => reviewToken(client, token, [tokenAudience]);
	const token = (needsPod: boolean) => createTokenReviewAuthenticator({ review, clock, trustDomain, needsPod });
	// A certificate first: it costs no question to the API server.
	return { address: options.secureGrpc, authority, identity, issuing: [certificate, token(true)], asking: [certificate, token(false)] };
}

/** Under which proxies, the API server and istioctl know this replica. */
export function serverDnsNames({ namespace, revision, customHost, domain }: KubernetesOptions): readonly string[] {
	const services = ["istiod", "istiod-remote", "istio-pilot", ...(revision === "" || revision === "default" ? [] : [`istiod-${revision}`])];
	const names = services.flatMap((service) => [`${service}.${namespace}.svc`, `${service}.${namespace}.svc.${domain}`]);
	return [...new Set([...names, ...(customHost === undefined ? [] : customHost.split(",").map((host) => host.trim())), "localhost"])].filter(
		(name) => name !== "",
	);
}

const fixedKeyStore = (authority: AuthorityPem): KeyStore => ({ load: async () => authority, create: async () => authority });

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

async function runReload(
	options: IdentityOptions,
	load: () => Promise<AuthorityPem | undefined>,
	authority: CertificateAuthority,
	identity: ServerIdentity,
): Promise<void> {
	const { clock, signal } = options;
	const logger = options.logger.child("citadel");
	let refusal = "";
	while (!signal.aborted) {
		await clock.sleep(reloadMs, signal);
		if (signal.aborted) return;
		try {
			const pem = await load();
			if (!pem) continue;
			const outcome = authority.reload(pem);
			if (outcome.ok && outcome.value) await identity.rotate();
			const reason = outcome.ok ? "" : outcome.reason;
			if (reason !== refusal && reason !== "") logger.error("the new CA certificate is not taken; the present one goes on signing", { reason });
			refusal = reason;
		} catch (error) {
			logger.warn("CA certificate not read again", { error });
		}
	}
}
