import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
	type Authenticator,
	createCertificateAuthority,
	createClientCertificateAuthenticator,
	createFileKeyStore,
	createJwtAuthenticator,
	createLocalTokenAuthenticator,
	createRootRotation,
	createServerIdentity,
	createSigningPool,
} from "@weft/citadel";
import type { SecureServing } from "./grpc-servers.ts";
import { createJwksTransport } from "./jwks-transport.ts";
import type { ControlPlaneOptions, SecureOptions } from "./options.ts";
import { createTrustedRoots } from "./trusted-roots.ts";

/** The authority of a mesh on one machine: kept in a directory, for callers that the launcher has given tokens. */
export async function createLocalIdentity(secure: SecureOptions, options: ControlPlaneOptions): Promise<SecureServing> {
	const { clock, signal } = options;
	const logger = options.logger.child("citadel");
	const trustDomain = options.meshConfig.trustDomain ?? "cluster.local";
	const ttl = secure.leafTtlMs === undefined ? {} : { leafTtlMs: secure.leafTtlMs };
	const store = createFileKeyStore(secure.caDirectory);
	const leafSigner = createSigningPool({ threads: 1, queueMax: 1_000, logger });
	signal.addEventListener("abort", () => void leafSigner.close(), { once: true });
	const authority = await createCertificateAuthority({ store, clock, logger, trustDomain, leafSigner, ...ttl });
	const identity = await createServerIdentity({ authority, clock, random: Math.random, logger });
	void identity.run(signal);
	const certificate = createClientCertificateAuthenticator({ clock, trustDomain });
	const issuing: Authenticator[] = [certificate];
	if (existsSync(secure.tokenKeyFile)) issuing.push(createLocalTokenAuthenticator({ key: readFileSync(secure.tokenKeyFile), clock, trustDomain }));
	if (secure.jwtRule !== undefined) {
		const transport = createJwksTransport("machine");
		const fetchText = (url: string, timeoutMs: number) => transport(url, timeoutMs, signal);
		issuing.push(createJwtAuthenticator({ rule: secure.jwtRule, fetchText, clock, trustDomain }));
	}
	// Where a launcher finds the roots to give to its proxies (Kubernetes has the ConfigMap istio-ca-root-cert for it).
	const writeRoots = () => {
		const file = join(secure.caDirectory, "..", "root-cert.pem");
		writeFileSync(`${file}.tmp`, authority.trustBundlePem);
		renameSync(`${file}.tmp`, file);
	};
	writeRoots();
	const rotate: SecureServing["rotate"] = (discovery) => {
		authority.onChanged(({ roots }) => {
			if (!roots) return;
			writeRoots();
			discovery.retrust();
		});
		const times = { distributeMs: secure.rootDistributeMs ?? 2_000, ...(secure.rootRetireMs !== undefined && { retireMs: secure.rootRetireMs }) };
		const rotation = createRootRotation({
			authority,
			store,
			replica: "local",
			countProxies: () => discovery.trust(),
			rootKeyAlgorithm: "rsa-2048",
			times,
			tickMs: 1_000,
			clock,
			logger,
		});
		void rotation.run(signal);
		return rotation;
	};
	const roots = createTrustedRoots(authority);
	return {
		address: secure.address,
		issuer: authority,
		authority,
		identity,
		roots,
		workloadRoots: roots,
		rotate,
		issuing,
		registering: issuing,
		asking: [certificate],
	};
}
