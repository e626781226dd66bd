import { Server, ServerCredentials, status } from "@grpc/grpc-js";
import {
	addCertificateService,
	authenticate,
	type Authenticator,
	type CertificateAuthority,
	callerOf,
	type IncomingCall,
	type LeafIssuer,
	type RootRotation,
	type ServerIdentity,
} from "@weft/citadel";
import type { Discovery } from "@weft/pilot";
import { formatSpiffeId } from "@weft/pki";
import type { Clock, Logger } from "@weft/runtime";
import { type AdsServerOptions, adsService, RefusedError, requestBytesMax } from "@weft/xds/server";
import type { Registry } from "prom-client";
import type { TrustedRoots } from "./trusted-roots.ts";
import { type BindAddress, isLoopback, splitAddress } from "./options.ts";

/** ADS and certificates over TLS, and who may have them. */
export interface SecureServing {
	readonly address: BindAddress;
	/** Undefined: another gives out certificates. */
	readonly issuer: LeafIssuer | undefined;
	/** The same, where it signs with a key of its own. */
	readonly authority: CertificateAuthority | undefined;
	readonly identity: ServerIdentity;
	readonly roots: TrustedRoots;
	/** What workloads hold their peers against: `roots`, and with them whatever else the mesh trusts. */
	readonly workloadRoots: TrustedRoots;
	/** Begins to move the authority from root to root as proxies confirm them, until the control plane ends. */
	readonly rotate?: (discovery: Pick<Discovery, "trust" | "retrust">) => RootRotation;
	/** Who gets a certificate. */
	readonly issuing: readonly Authenticator[];
	/** Who may register an instance of a service over HTTPS. */
	readonly registering: readonly Authenticator[];
	/** Who gets configuration, or an answer about the mesh. */
	readonly asking: readonly Authenticator[];
}

export interface GrpcServersOptions {
	readonly plaintext: BindAddress | undefined;
	readonly secure: SecureServing | undefined;
	readonly discovery: Discovery;
	readonly debug?: AdsServerOptions["debug"];
	readonly registry: Registry;
	readonly clock: Clock;
	readonly logger: Logger;
}

export interface GrpcServers {
	readonly plaintextAddress: string | undefined;
	readonly secureAddress: string | undefined;
	close(): void;
}

// Streams live for hours and carry megabytes; a dead peer is noticed by keep-alive, not by the next push.
const serverOptions = {
	"grpc.max_receive_message_length": requestBytesMax,
	"grpc.max_send_message_length": -1,
	"grpc.keepalive_time_ms": 30_000,
	"grpc.keepalive_timeout_ms": 10_000,
};

export async function startGrpcServers(options: GrpcServersOptions): Promise<GrpcServers> {
	const { plaintext, secure } = options;
	const servers: Server[] = [];
	const plaintextAddress = plaintext === undefined ? undefined : await startPlaintext(plaintext, options, servers);
	const secureAddress = secure === undefined ? undefined : await startSecure(secure, options, servers);
	return { plaintextAddress, secureAddress, close: () => servers.forEach((server) => server.forceShutdown()) };
}

async function startPlaintext(address: string, options: GrpcServersOptions, servers: Server[]): Promise<string> {
	const { host } = splitAddress(address);
	if (!isLoopback(host)) throw new Error(`plain-text xDS is served on loopback only, not on ${host}: use the TLS port for other machines`);
	const server = new Server(serverOptions);
	addAds(server, options, () => undefined);
	servers.push(server);
	return bind(server, address, ServerCredentials.createInsecure());
}

async function startSecure(secure: SecureServing, options: GrpcServersOptions, servers: Server[]): Promise<string> {
	const { clock, logger, registry } = options;
	const server = new Server(serverOptions);
	const { issuer, issuing } = secure;
	if (issuer !== undefined) addCertificateService(server, { authority: issuer, authenticators: issuing, clock, logger: logger.child("citadel"), registry });
	addAds(server, options, (call) => identify(secure.asking, call));
	servers.push(server);
	return bind(server, secure.address, secure.identity.credentials);
}

/** The caller's SPIFFE ID, of a certificate that TLS verified or of its token; none is an empty list, which no node's claim can match. */
async function identify(authenticators: readonly Authenticator[], call: IncomingCall): Promise<readonly string[]> {
	const caller = callerOf(call);
	const outcome = await authenticate(authenticators, caller);
	if (outcome.ok) return [formatSpiffeId(outcome.value.identity)];
	if ("isUnavailable" in outcome)
		throw new RefusedError(status.UNAVAILABLE, "the token cannot be verified now, since the Kubernetes API server does not answer");
	if (caller.bearerToken !== undefined) throw new RefusedError(status.UNAUTHENTICATED, "the token is not accepted");
	return [];
}

function addAds(server: Server, { clock, logger, discovery, debug }: GrpcServersOptions, identifyCall: AdsServerOptions["identify"]): void {
	const options = { delegate: discovery.delegate, clock, logger: logger.child("ads"), identify: identifyCall, ...(debug && { debug }) };
	const { definition, implementation } = adsService(options);
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
