import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Clock, Logger } from "@weft/runtime";
import { transportKind } from "../data/transport/transport.ts";
import { createGrpcEnvironment } from "../grpc/environment.ts";
import { type GrpcSocketServer, serveGrpcSocket } from "../grpc/socket-server.ts";
import { type AdsRelay, addAdsRelay, relayMessageBytesMax } from "./ads-relay.ts";
import { followRevocations } from "../main/revocations.ts";
import type { AgentOptions } from "./arguments.ts";
import { buildBootstrap, type StaticResources } from "./bootstrap.ts";
import { type CreateCertificate, createCertificateOverGrpc } from "./certificate-client.ts";
import { certSignerOf } from "./requested-id.ts";
import { openCredentials } from "./credentials.ts";
import { patchEnvoyBootstrap } from "./patch-envoy-bootstrap.ts";
import { createSecretService } from "./secret-service.ts";
import { rootsFrom } from "./text-source.ts";
import type { WorkloadIdentity } from "./workload-identity.ts";

export interface AgentContext {
	readonly clock: Clock;
	/** Uniform in [0, 1). */
	readonly random: () => number;
	readonly logger: Logger;
	/** How long an ADS stream waits for the first certificate; default 10 s. */
	readonly identityTimeoutMs?: number;
	/** Asks the certificate authority; default: gRPC over TLS. */
	readonly createCertificate?: CreateCertificate;
	/** What the bootstrap serves beside what the control plane sends. */
	readonly resources?: StaticResources;
	/** Told to end before it has started: then nothing is waited for. */
	readonly signal?: AbortSignal;
}

export interface Agent extends AdsRelay {
	readonly identity: WorkloadIdentity;
	/** The generated Envoy bootstrap: JSON, or a binary message where the control plane has laid something over it. */
	readonly bootstrapPath: string;
	/** Stops serving, and removes what it made. */
	close(): Promise<void>;
}

// sockaddr_un holds 108 bytes on Linux and 104 on macOS, the final NUL among them.
const socketPathMax = 103;

/** Everything a foreign Envoy needs beside itself: identity, SDS, the ADS relay and a bootstrap that leads to them. */
export async function startAgent(
	options: AgentOptions,
	{ clock, random, logger, identityTimeoutMs, createCertificate, resources, signal }: AgentContext,
): Promise<Agent> {
	// A directory of its own, 0700 from birth: two agents may share a state directory, and nobody else may reach the key.
	const parent = resolve(options.stateDirectory ?? tmpdir());
	await mkdir(parent, { recursive: true, mode: 0o700 });
	const directory = await mkdtemp(join(parent, "weft-agent-"));
	const secretSocket = join(directory, "sds.sock");
	const discoverySocket = join(directory, "xds.sock");
	const bootstrapPath = join(directory, "envoy-bootstrap.json");
	const grpc = await createGrpcEnvironment({ transport: transportKind(process.env), clock, random, logger: logger.child("grpc") });
	const revocations = followRevocations(options.crlFile, clock, logger.child("identity"));
	const credentials = await openCredentials(options.credentials, {
		authority: {
			createCertificate: createCertificate ?? createCertificateOverGrpc(grpc, options.caHeaders),
			caAddress: options.caAddress,
			rootCert: rootsFrom(options.caRootCertFile ?? options.rootCertFile),
			requestedId: options.requestedId,
			certSigner: certSignerOf(options.node.metadata),
			token: { file: options.tokenFile },
			serverName: options.caServerName ?? options.serverName,
			ttlMs: options.secretTtlMs,
		},
		crlPem: revocations.pem,
		nodeId: options.node.id,
		environment: grpc,
		clock,
		random,
		logger,
	});
	const { identity } = credentials;
	const stop = new AbortController();
	const secrets = createSecretService({ identity, crlPem: revocations.pem, logger: logger.child("sds"), servesFiles: true });
	let secretServer: GrpcSocketServer | undefined;
	const discoveryServer = new Server({ "grpc.max_receive_message_length": relayMessageBytesMax, "grpc.max_send_message_length": -1 });
	const { discoveryAddress, serverName, xdsHeaders } = options;
	const relaying = { discoveryAddress, serverName, headers: xdsHeaders, rootCert: rootsFrom(options.rootCertFile), identity, identityTimeoutMs };
	const { reportHealth } = addAdsRelay(discoveryServer, { ...relaying, logger: logger.child("xds") });
	const close = async () => {
		stop.abort();
		secrets.stop();
		discoveryServer.forceShutdown();
		await secretServer?.close();
		await credentials.close();
		await rm(directory, { recursive: true, force: true });
	};
	try {
		await bindSocket(discoveryServer, discoverySocket);
		secretServer = await serveGrpcSocket({ path: secretSocket, access: "own", methods: secrets.methods, logger: logger.child("sds") });
		const { node, adminPort, delta } = options;
		const bootstrap = buildBootstrap({ node, secretSocket, discoverySocket, adminPort, delta, ...(resources && { resources }) });
		await writeFile(bootstrapPath, `${JSON.stringify(bootstrap, null, "\t")}\n`, { mode: 0o600 });
	} catch (error) {
		await close();
		throw error;
	}
	void identity.run(stop.signal);
	const revoke = () => {
		secrets.refresh();
		credentials.refresh();
	};
	void revocations.run(revoke, stop.signal);
	if (!options.asksForBootstrap) return { identity, bootstrapPath, reportHealth, close };
	try {
		const asking = { options, bootstrapPath, discoverySocket, grpc, clock, random, logger, signal: signal ?? stop.signal };
		return { identity, bootstrapPath: await patchEnvoyBootstrap(asking), reportHealth, close };
	} catch (error) {
		await close();
		throw error;
	}
}

async function bindSocket(server: Server, path: string): Promise<void> {
	if (Buffer.byteLength(path) > socketPathMax) {
		throw new Error(`${path} is too long for a Unix socket (${socketPathMax} bytes): give a shorter --state-dir`);
	}
	await new Promise<void>((done, failed) => {
		server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => (error === null ? done() : failed(error)));
	});
	await chmod(path, 0o600);
}
