import { createHash } from "node:crypto";
import type { SecureContext } from "node:tls";
import { keyOf } from "../../config/resource-source.ts";
import type { DownstreamTls } from "../../config/tls.ts";
import { createCompileContext } from "../match/compile-context.ts";
import type { TlsInfo } from "../log/stream-info.ts";
import type { Connection } from "../transport/connection.ts";
import { Timer } from "../transport/timers.ts";
import type { WorkerContext } from "../worker/context.ts";
import type { Secured } from "./engine.ts";
import { compilePeerVerifier, readTlsInfo } from "./peer-identity.ts";
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

const handshakeTimeoutMsDefault = 30_000;

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
	const finishHandshake = (secured: Secured, context: SecureContext): AcceptedTls | Error => {
		const { alpn, certificate, chainError, cipher, isResumed, version } = secured;
		const verdict = verify({ certificate, chainError }, "");
		const info = readTlsInfo(secured, localIdentityOf(context));
		if (verdict.kind === "refused") {
			onStat(verdict.stat);
			secured.destroy();
			return new RefusedPeerError(verdict.reason, info);
		}
		if (verdict.stat !== undefined) onStat(verdict.stat);
		onStat("ssl.handshake");
		if (certificate === undefined) onStat("ssl.no_certificate");
		if (isResumed) onStat("ssl.session_reused");
		onStat(`ssl.versions.${version}`);
		onStat(`ssl.ciphers.${cipher}`);
		return { connection: secured.adopt(), info, alpn };
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
			const alpn = offered.filter((name) => client.alpn.includes(name));
			const requestsCertificate = tls.validation !== undefined || tls.requireClientCertificate;
			const waitMs = timeoutMs || handshakeTimeoutMsDefault;
			const timer = new Timer(context.wheel, () => {
				giveUp();
				onStat("downstream_cx_transport_socket_connect_timeout");
				onResult(new Error("TLS handshake timeout"));
				context.afterEvent();
			});
			timer.arm(context.overload?.scale("transportSocketConnect", waitMs) ?? waitMs);
			const giveUp = context.tls.accept(connection, bytes, { context: secure, requestsCertificate, alpn }, (result) => {
				timer.disarm();
				const accepted = result instanceof Error ? result : finishHandshake(result, secure);
				if (accepted instanceof Error && !(accepted instanceof RefusedPeerError)) onStat("ssl.connection_error");
				onResult(accepted);
				context.afterEvent();
			});
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
