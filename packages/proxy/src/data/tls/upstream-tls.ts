import type { X509Certificate } from "node:crypto";
import type { ConnectionOptions, SecureContext, TLSSocket } from "node:tls";
import type { Cluster } from "../../config/clusters.ts";
import type { UpstreamTls } from "../../config/tls.ts";
import type { HostEntry } from "../lb/host-entry.ts";
import type { TlsInfo } from "../log/stream-info.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { nodeTls } from "./node-tls.ts";
import { compilePeerVerifier, type LocalIdentity, type PeerVerifier, readTlsInfo } from "./peer-identity.ts";
import { createContextFinder, localIdentityOf, type SecureContextFinder, type SecureContexts } from "./secure-contexts.ts";
import type { Connection } from "../transport/connection.ts";
import type { ChosenTransport, ConnectResult, Personal } from "../upstream/chosen-transport.ts";
import { connectOptions, openTo } from "../upstream/plain-transport.ts";
import type { WorkerContext } from "../worker/context.ts";

const agreedAlpn = new WeakMap<Connection, string>();

/** The protocol that the handshake agreed upon; "" when none. */
export function upstreamAlpn(connection: Connection): string {
	return agreedAlpn.get(connection) ?? "";
}

const tlsInfos = new WeakMap<Connection, TlsInfo>();

/** What the peer of a TLS connection proved. */
export function upstreamTlsInfo(connection: Connection): TlsInfo | undefined {
	return tlsInfos.get(connection);
}

const addressesMax = 1024;
const sessionsMax = 4;

/** Its frames are not spoken, so it is never agreed upon. */
const peerExchange = "istio-peer-exchange";

let ways = 0;

/** A resumed handshake does not show the certificate again: the one that the ticket was given under stands for it. */
interface RememberedSession {
	readonly ticket: Buffer;
	readonly certificate: X509Certificate;
}

interface ServerNames {
	/** In the hello. */
	readonly asked: string;
	/** In the certificate, where that is looked at (`auto_san_validation`). */
	readonly verified: string;
}

/** TLS to the hosts of one cluster, by one server name and one list of protocols. */
export class UpstreamTlsTransport implements ChosenTransport {
	/** Unique: pools of a replaced one are not found again. */
	readonly key = `tls ${ways++}`;
	readonly isTls = true;
	isStale = false;
	readonly #config: Cluster;
	readonly #context: WorkerContext;
	readonly #contextOf: SecureContextFinder;
	readonly #tls: UpstreamTls;
	readonly #names: ServerNames;
	readonly #alpn: readonly string[];
	readonly #verify: PeerVerifier;
	/** By address. Certificates, trust, expected names and server name are this object's, so a ticket never meets others (CVE-2026-48934). */
	readonly #sessions = new Map<string, RememberedSession[]>();

	constructor(config: Cluster, context: WorkerContext, contexts: SecureContexts, tls: UpstreamTls, names: ServerNames, alpn: readonly string[]) {
		this.#config = config;
		this.#context = context;
		this.#contextOf = createContextFinder(contexts, { params: tls.params, certificates: tls.certificates, trust: tls.validation?.trust });
		this.#tls = tls;
		this.#names = names;
		this.#alpn = alpn.filter((name) => name !== peerExchange);
		this.#verify = compilePeerVerifier(tls.validation, true, createCompileContext());
	}

	connect(host: HostEntry, onResult: ConnectResult, personal?: Personal): () => void {
		let secure: ReturnType<SecureContextFinder>;
		try {
			secure = this.#contextOf(this.#context.snapshot.secrets);
		} catch (error) {
			return this.#failLater(new Error(`TLS error: ${error instanceof Error ? error.message : String(error)}`), onResult);
		}
		if (secure.kind === "missing") return this.#failLater(new Error("TLS error: Secret is not supplied by SDS"), onResult);
		const { address } = host.host;
		const options = connectOptions(this.#config, host, personal);
		const context = secure.value;
		if (options.socketOptions === undefined && personal?.header === undefined) {
			const to = address.kind === "ip" ? { host: address.address, port: address.port } : { path: address.path };
			return this.#secure(
				host,
				context,
				{ ...to, ...(options.bindAddress === "" || address.kind === "pipe" ? {} : { localAddress: options.bindAddress }) },
				onResult,
			);
		}
		// node:tls makes no sockets with options, and says nothing before its hello: the connection comes first.
		let giveUp = openTo(this.#context, options, personal?.header, (result) => {
			if (result instanceof Error) return onResult(result);
			giveUp = this.#secure(host, context, { socket: this.#context.transport.toSocket(result, undefined) }, onResult);
		});
		return () => giveUp();
	}

	#secure(host: HostEntry, secureContext: SecureContext, to: ConnectionOptions, onResult: ConnectResult): () => void {
		const session = this.#takeSession(host.address);
		const socket = nodeTls().connect({
			...to,
			secureContext,
			...(this.#names.asked === "" ? {} : { servername: this.#names.asked }),
			...(this.#alpn.length === 0 ? {} : { ALPNProtocols: [...this.#alpn] }),
			...(session === undefined ? {} : { session: session.ticket }),
			// Verified below, by SPIFFE names rather than by host name, and on resumption too.
			rejectUnauthorized: false,
			checkServerIdentity: () => undefined,
		});
		socket.setNoDelay(true);
		return this.#await(socket, host, session, (peer) => this.#accept(socket, peer, localIdentityOf(secureContext)), onResult);
	}

	#await(
		socket: TLSSocket,
		host: HostEntry,
		session: RememberedSession | undefined,
		accept: (peer: X509Certificate | undefined) => Connection | Error,
		onResult: ConnectResult,
	): () => void {
		let isDone = false;
		const finish = (result: Connection | Error) => {
			if (isDone) return;
			isDone = true;
			socket.off("error", onError);
			if (result instanceof Error) {
				socket.on("error", () => {});
				socket.destroy();
			}
			onResult(result);
			this.#context.afterEvent();
		};
		const onError = (error: Error & { readonly code?: string }) => {
			// Not what the network has to say.
			if (error.code === "EPROTO" || error.code?.startsWith("ERR_SSL_") === true)
				this.#context.snapshot.clusters.get(this.#config.name)?.countTls("ssl.connection_error");
			finish(error);
		};
		socket.on("error", onError);
		socket.once("close", () => finish(new Error("TLS error: connection closed during the handshake")));
		const certificateOf = () => socket.getPeerX509Certificate() ?? (socket.isSessionReused() ? session?.certificate : undefined);
		socket.on("session", (ticket) => {
			const certificate = certificateOf();
			if (certificate !== undefined) this.#remember(host.address, { ticket, certificate });
		});
		socket.once("secureConnect", () => finish(accept(certificateOf())));
		return () => finishSilently();
		function finishSilently(): void {
			if (isDone) return;
			isDone = true;
			socket.on("error", () => {});
			socket.destroy();
		}
	}

	/** Fail closed: nothing is written before the peer is known. */
	#accept(socket: TLSSocket, certificate: X509Certificate | undefined, own: LocalIdentity | undefined): Connection | Error {
		const chainError = socket.authorized ? undefined : String(socket.authorizationError ?? "unknown");
		const dnsName = this.#tls.autoSanValidation ? this.#names.verified : "";
		const verdict = this.#verify({ certificate, chainError }, dnsName);
		const cluster = this.#context.snapshot.clusters.get(this.#config.name);
		if (verdict.kind === "refused") {
			cluster?.countTls(verdict.stat);
			return new Error(verdict.reason);
		}
		if (verdict.stat !== undefined) cluster?.countTls(verdict.stat);
		cluster?.countTls("ssl.handshake");
		cluster?.countHandshake(socket.getProtocol() ?? "", socket.getCipher()?.name ?? "", curveOf(socket));
		if (socket.isSessionReused()) cluster?.countTls("ssl.session_reused");
		const info = readTlsInfo(socket, certificate, own);
		const connection = this.#context.transport.adoptTls(socket);
		tlsInfos.set(connection, info);
		if (typeof socket.alpnProtocol === "string") agreedAlpn.set(connection, socket.alpnProtocol);
		return connection;
	}

	#failLater(error: Error, onResult: ConnectResult): () => void {
		const timer = setImmediate(() => {
			onResult(error);
			this.#context.afterEvent();
		});
		return () => clearImmediate(timer);
	}

	/** Each ticket once (RFC 8446 §C.4), and none under a certificate that has expired since. */
	#takeSession(address: string): RememberedSession | undefined {
		const session = this.#sessions.get(address)?.pop();
		return session === undefined || session.certificate.validToDate.getTime() <= this.#context.wallMs() ? undefined : session;
	}

	#remember(address: string, session: RememberedSession): void {
		const known = this.#sessions.get(address) ?? [];
		if (this.#sessions.size > addressesMax) this.#sessions.clear();
		if (known.length < sessionsMax) known.push(session);
		this.#sessions.set(address, known);
	}
}

/** As Envoy names it; "" where Node does not tell: of resumed sessions, and of key exchanges that are no curves alone. */
function curveOf(socket: TLSSocket): string {
	const key = socket.getEphemeralKeyInfo();
	const name = (key !== null && "name" in key && key.name) || "";
	return standardCurves[name] ?? name;
}

const standardCurves: Readonly<Record<string, string>> = { prime256v1: "P-256", secp384r1: "P-384", secp521r1: "P-521" };
