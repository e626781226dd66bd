import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
	type Authenticator,
	createCertificateAuthority,
	createClientCertificateAuthenticator,
	createFileKeyStore,
	createLocalTokenAuthenticator,
	createServerIdentity,
} from "@weft/citadel";
import type { SecureServing } from "./grpc-servers.ts";
import type { ControlPlaneOptions, SecureOptions } from "./options.ts";

/** The authority of a mesh on one machine: kept in a directory, for callers that the launcher has given tokens. */
export async function createLocalIdentity(secure: SecureOptions, options: ControlPlaneOptions): Promise<SecureServing> {
	const { clock, signal } = options;
	const logger = options.logger.child("citadel");
	const trustDomain = options.meshConfig.trustDomain ?? "cluster.local";
	const ttl = secure.leafTtlMs === undefined ? {} : { leafTtlMs: secure.leafTtlMs };
	const authority = await createCertificateAuthority({ store: createFileKeyStore(secure.caDirectory), clock, logger, trustDomain, ...ttl });
	const identity = await createServerIdentity({ authority, clock, random: Math.random, logger });
	void identity.run(signal);
	const certificate = createClientCertificateAuthenticator({ clock, trustDomain });
	const issuing: Authenticator[] = [certificate];
	if (existsSync(secure.tokenKeyFile)) issuing.push(createLocalTokenAuthenticator({ key: readFileSync(secure.tokenKeyFile), clock, trustDomain }));
	// Where a launcher finds the roots to give to its proxies (Kubernetes has the ConfigMap istio-ca-root-cert for it).
	writeFileSync(join(secure.caDirectory, "..", "root-cert.pem"), authority.trustBundlePem);
	return { address: secure.address, authority, identity, issuing, asking: [certificate] };
}
