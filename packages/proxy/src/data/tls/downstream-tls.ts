import { createHash } from "node:crypto";
import type { SecureContext, TLSSocket } from "node:tls";
import { keyOf } from "../../config/resource-source.ts";
import type { DownstreamTls } from "../../config/tls.ts";
import { createCompileContext } from "../match/compile-context.ts";
import type { TlsInfo } from "../log/stream-info.ts";
import type { Connection } from "../transport/connection.ts";
import { Timer } from "../transport/timers.ts";
import type { WorkerContext } from "../worker/context.ts";
import { compilePeerVerifier, readTlsInfo } from "./peer-identity.ts";
import { nodeTls } from "./node-tls.ts";
import { createContextFinder, localIdentityOf, type SecretMap, type SecureContextFinder, SecureContexts } from "./secure-contexts.ts";

export interface AcceptedTls {
	readonly connection: Connection;
	readonly info: TlsInfo;
	/** "" when none was agreed. */
	readonly alpn: string;
}

/** What the client's hello says. */
export interface ClientOffer {
	/** "" without SNI. */
	readonly serverName: string;
	readonly alpn: readonly string[];
}

export interface DownstreamTlsAcceptor {
	/** `bytes`: what has been read already. Calls back once. */
	accept(connection: Connection, bytes: Buffer, client: ClientOffer, onResult: (result: AcceptedTls | Error) => void): void;
	/** Secrets changed: handshakes from now on use the new ones, and no ticket of before is taken. */
	refresh(): void;
	readonly errors: readonly string[];
}

/** Who was refused is for the log. */
export class RefusedPeerError extends Error {
	override name = "RefusedPeerError";
	readonly info: TlsInfo;
	constructor(message: string, info: TlsInfo) {
		super(message);
		this.info = info;
	}
}

class HandshakeTimeoutError extends Error {
	override name = "HandshakeTimeoutError";
}

const handshakeTimeoutMsDefault = 30_000;

interface HandshakeHandle {
	verifyError(): (Error & { readonly code?: string }) | null;
}

export function createDownstreamTls(
	tls: DownstreamTls,
	isHttp1Only: boolean,
	timeoutMs: number,
	context: WorkerContext,
	onStat: (name: string) => void,
): DownstreamTlsAcceptor {
	const compile = createCompileContext();
	const verify = compilePeerVerifier(tls.validation, tls.requireClientCertificate, compile);
	const offered = spokenAlpn(tls.alpn, isHttp1Only);
	let finder = finderOf(tls);
	const finishHandshake = (socket: TLSSocket, secure: SecureContext): AcceptedTls | Error => {
		const certificate = socket.getPeerX509Certificate();
		const handle = (socket as unknown as { readonly _handle: HandshakeHandle })._handle;
		const failure = certificate === undefined ? null : handle.verifyError();
		const verdict = verify({ certificate, chainError: failure === null ? undefined : (failure.code ?? failure.message) }, "");
		if (verdict.kind === "refused") {
			onStat(verdict.stat);
			return new RefusedPeerError(verdict.reason, readTlsInfo(socket, certificate, localIdentityOf(secure)));
		}
		if (verdict.stat !== undefined) onStat(verdict.stat);
		onStat("ssl.handshake");
		if (certificate === undefined) onStat("ssl.no_certificate");
		if (socket.isSessionReused()) onStat("ssl.session_reused");
		const info = readTlsInfo(socket, certificate, localIdentityOf(secure));
		onStat(`ssl.versions.${info.version}`);
		onStat(`ssl.ciphers.${info.cipher}`);
		const alpn = typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : "";
		return { connection: context.transport.adoptTls(socket), info, alpn };
	};
	return {
		errors: compile.errors,
		accept(connection, bytes, client, onResult) {
			const secure = find(finder, context.snapshot.secrets, client.serverName);
			if (secure instanceof Error) {
				connection.destroy();
				return onResult(secure);
			}
			// Without a common protocol OpenSSL would refuse the client; Envoy goes on without one.
			const agreed = offered.filter((name) => client.alpn.includes(name));
			const socket = new (nodeTls().TLSSocket)(context.transport.toSocket(connection, bytes), {
				isServer: true,
				secureContext: secure,
				requestCert: tls.validation !== undefined || tls.requireClientCertificate,
				rejectUnauthorized: false,
				...(agreed.length === 0 ? {} : { ALPNProtocols: agreed }),
			});
			const waitMs = timeoutMs || handshakeTimeoutMsDefault;
			awaitHandshake(
				socket,
				context.overload?.scale("transportSocketConnect", waitMs) ?? waitMs,
				context,
				() => finishHandshake(socket, secure),
				(result) => {
					if (result instanceof HandshakeTimeoutError) onStat("downstream_cx_transport_socket_connect_timeout");
					else if (result instanceof Error && !(result instanceof RefusedPeerError)) onStat("ssl.connection_error");
					onResult(result);
				},
			);
		},
		refresh() {
			finder = finderOf(tls);
		},
	};
}

/** In the order of the configuration, less what is not spoken: the metadata exchange, and HTTP/2 by a codec for HTTP/1. */
function spokenAlpn(names: readonly string[], isHttp1Only: boolean): readonly string[] {
	return names.filter((name) => name !== "istio-peer-exchange" && !(isHttp1Only && name === "h2"));
}

function finderOf(tls: DownstreamTls): SecureContextFinder {
	const { params, certificates, validation, disableStatelessResumption } = tls;
	const sessionIdContext = createHash("sha256")
		.update(JSON.stringify([certificates.map((c) => (c.kind === "secret" ? keyOf(c) : c.certChainPem)), validation]))
		.digest("hex")
		.slice(0, 32);
	const inputs = { params, certificates, trust: validation?.trust, sessionIdContext, hasNoTickets: disableStatelessResumption };
	return createContextFinder(new SecureContexts(), inputs);
}

/** Fails closed: without its certificate or trust the listener refuses, never goes on in clear text. */
function find(finder: SecureContextFinder, secrets: SecretMap, serverName: string): SecureContext | Error {
	try {
		const secure = finder(secrets, serverName);
		return secure.kind === "ready" ? secure.value : new Error(`TLS error: secret ${JSON.stringify(secure.secret)} is not there`);
	} catch (error) {
		return error instanceof Error ? error : new Error(String(error));
	}
}

function awaitHandshake(
	socket: TLSSocket,
	timeoutMs: number,
	context: WorkerContext,
	onSecure: () => AcceptedTls | Error,
	onResult: (result: AcceptedTls | Error) => void,
): void {
	let isDone = false;
	const timer = new Timer(context.wheel, () => finish(new HandshakeTimeoutError("TLS handshake timeout")));
	const finish = (result: AcceptedTls | Error) => {
		if (isDone) return;
		isDone = true;
		timer.disarm();
		socket.off("error", finish);
		if (result instanceof Error) {
			socket.on("error", () => {});
			socket.destroy();
		}
		onResult(result);
		context.afterEvent();
	};
	timer.arm(timeoutMs);
	socket.on("error", finish);
	socket.once("close", () => finish(new Error("connection closed during the TLS handshake")));
	socket.once("secure", () => finish(onSecure()));
}
