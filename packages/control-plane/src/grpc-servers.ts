import { existsSync, readFileSync } from "node:fs";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import {
	addCertificateService,
	callerOf,
	createCertificateAuthority,
	createClientCertificateAuthenticator,
	createFileKeyStore,
	createLocalTokenAuthenticator,
	createServerIdentity,
	type IncomingCall,
} from "@weft/citadel";
import type { Discovery } from "@weft/pilot";
import { formatSpiffeId, spiffeIdOfCertificate } from "@weft/pki";
import { adsService, requestBytesMax } from "@weft/xds/server";
import type { Registry } from "prom-client";
import { type ControlPlaneOptions, isLoopback, type SecureOptions, splitAddress } from "./options.ts";

export interface GrpcServers {
	readonly plaintextAddress: string | undefined;
	readonly secureAddress: string | undefined;
	/** PEM of the mesh's roots; undefined without a certificate authority. */
	readonly rootsPem: string | undefined;
	close(): void;
}

// Streams live for hours and carry megabytes; a dead peer is noticed by keep-alive, not by the next push.
const serverOptions = {
	"grpc.max_receive_message_length": requestBytesMax,
	"grpc.max_send_message_length": -1,
	"grpc.keepalive_time_ms": 30_000,
	"grpc.keepalive_timeout_ms": 10_000,
};

export async function startGrpcServers(options: ControlPlaneOptions, discovery: Discovery, registry: Registry): Promise<GrpcServers> {
	const servers: Server[] = [];
	const plaintextAddress = options.plaintextGrpc === undefined ? undefined : await startPlaintext(options.plaintextGrpc, options, discovery, servers);
	const secure = options.secure === undefined ? undefined : await startSecure(options.secure, options, discovery, registry, servers);
	return {
		plaintextAddress,
		secureAddress: secure?.address,
		rootsPem: secure?.rootsPem,
		close: () => servers.forEach((server) => server.forceShutdown()),
	};
}

async function startPlaintext(address: string, options: ControlPlaneOptions, discovery: Discovery, servers: Server[]): Promise<string> {
	const { host } = splitAddress(address);
	if (!isLoopback(host)) throw new Error(`plain-text xDS is served on loopback only, not on ${host}: use the TLS port for other machines`);
	const server = new Server(serverOptions);
	addAds(server, options, discovery, () => undefined);
	servers.push(server);
	return bind(server, address, ServerCredentials.createInsecure());
}

async function startSecure(
	secure: SecureOptions,
	options: ControlPlaneOptions,
	discovery: Discovery,
	registry: Registry,
	servers: Server[],
): Promise<{ address: string; rootsPem: string }> {
	const { clock, logger, signal } = options;
	const trustDomain = options.meshConfig.trustDomain ?? "cluster.local";
	const ttl = secure.leafTtlMs === undefined ? {} : { leafTtlMs: secure.leafTtlMs };
	const authority = await createCertificateAuthority({
		store: createFileKeyStore(secure.caDirectory),
		clock,
		logger: logger.child("citadel"),
		trustDomain,
		...ttl,
	});
	const identity = await createServerIdentity({ authority, clock, random: Math.random, logger: logger.child("citadel") });
	void identity.run(signal);
	const server = new Server(serverOptions);
	const authenticators = [createClientCertificateAuthenticator({ clock, trustDomain })];
	if (existsSync(secure.tokenKeyFile)) authenticators.push(createLocalTokenAuthenticator({ key: readFileSync(secure.tokenKeyFile), clock, trustDomain }));
	addCertificateService(server, { authority, authenticators, clock, logger: logger.child("citadel"), registry });
	addAds(server, options, discovery, verifiedIds);
	servers.push(server);
	return { address: await bind(server, secure.address, identity.credentials), rootsPem: authority.trustBundlePem };
}

/** The caller's SPIFFE ID, of a certificate that TLS verified; none is an empty list, which no node's claim can match. */
function verifiedIds(call: IncomingCall): readonly string[] {
	const { verifiedCertificate } = callerOf(call);
	if (verifiedCertificate === undefined) return [];
	const id = spiffeIdOfCertificate(verifiedCertificate);
	return id.ok ? [formatSpiffeId(id.value)] : [];
}

function addAds(
	server: Server,
	{ clock, logger }: ControlPlaneOptions,
	discovery: Discovery,
	identify: (call: IncomingCall) => readonly string[] | undefined,
): void {
	const { definition, implementation } = adsService({ delegate: discovery.delegate, clock, logger: logger.child("ads"), identify });
	server.addService(definition, implementation);
}

function bind(server: Server, address: string, credentials: ServerCredentials): Promise<string> {
	const { host } = splitAddress(address);
	return new Promise((resolve, reject) => {
		server.bindAsync(address, credentials, (error, port) => {
			if (error) reject(new Error(`cannot listen on ${address}: ${error.message}`));
			else resolve(`${host}:${port}`);
		});
	});
}
