import { randomBytes, X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server, type ServerDuplexStream } from "@grpc/grpc-js";
import {
	addCertificateService,
	callerOf,
	type CertificateAuthority,
	createCertificateAuthority,
	createClientCertificateAuthenticator,
	createFileKeyStore,
	createLocalTokenAuthenticator,
	createServerIdentity,
	issueKeyedLeaf,
	issueLocalToken,
	type KeyedLeaf,
} from "@weft/citadel";
import { createLogger, systemClock } from "@weft/runtime";
import { Registry } from "prom-client";
import { adsServiceDefinition } from "./ads-relay.ts";

/** A control plane for the agent's tests: a real authority, and ADS streams handed to the test as raw bytes. */
export interface AgentFixture {
	readonly directory: string;
	readonly address: string;
	readonly authority: CertificateAuthority;
	readonly rootCertFile: string;
	readonly tokenFile: string;
	readonly tokenKey: Buffer;
	/** Certificate and key of another workload, as a peer of the sidecar. */
	issue(serviceAccount: string): Promise<KeyedLeaf>;
	close(): Promise<void>;
}

export interface AdsCall {
	readonly stream: ServerDuplexStream<Buffer, Buffer>;
	readonly kind: "sotw" | "delta";
	/** The SPIFFE IDs of the verified client certificate. */
	readonly peer: string | undefined;
}

export async function createAgentFixture(onAds: (call: AdsCall) => void): Promise<AgentFixture> {
	const directory = await mkdtemp(join(tmpdir(), "weft-agent-test-"));
	const logger = createLogger({ level: "none" });
	const store = createFileKeyStore(join(directory, "ca"));
	const common = { clock: systemClock, logger };
	const authority = await createCertificateAuthority({ ...common, store, rootKeyAlgorithm: "ecdsa-p256" });
	const { trustDomain } = authority;
	const tokenKey = randomBytes(32);
	const serverIdentity = await createServerIdentity({ ...common, authority, random: Math.random });
	const authenticators = [
		createClientCertificateAuthenticator({ clock: systemClock, trustDomain }),
		createLocalTokenAuthenticator({ key: tokenKey, clock: systemClock, trustDomain }),
	];
	const server = new Server({ "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 });
	addCertificateService(server, { ...common, authority, authenticators, registry: new Registry() });
	const handle = (kind: AdsCall["kind"]) => (stream: ServerDuplexStream<Buffer, Buffer>) => {
		stream.on("error", () => undefined);
		onAds({ stream, kind, peer: uriOf(callerOf(stream).verifiedCertificate) });
	};
	server.addService(adsServiceDefinition, { streamAggregatedResources: handle("sotw"), deltaAggregatedResources: handle("delta") });
	const port = await new Promise<number>((resolve, reject) => {
		server.bindAsync("127.0.0.1:0", serverIdentity.credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
	});
	const rootCertFile = join(directory, "root-cert.pem");
	const tokenFile = join(directory, "token");
	await writeFile(rootCertFile, authority.trustBundlePem);
	const exp = Math.floor(Date.now() / 1000) + 600;
	await writeFile(tokenFile, issueLocalToken(tokenKey, { ns: "default", sa: "web", pod: "web-1", exp }));
	return {
		directory,
		address: `127.0.0.1:${port}`,
		authority,
		rootCertFile,
		tokenFile,
		tokenKey,
		async issue(serviceAccount) {
			const leaf = await issueKeyedLeaf(authority, { identity: { trustDomain, namespace: "default", serviceAccount }, ttlMs: 600_000 });
			if (!leaf.ok) throw new Error(leaf.reason);
			return leaf.value;
		},
		async close() {
			server.forceShutdown();
			await rm(directory, { recursive: true });
		},
	};
}

function uriOf(certificate: X509Certificate | undefined): string | undefined {
	return certificate?.subjectAltName?.replace("URI:", "");
}
