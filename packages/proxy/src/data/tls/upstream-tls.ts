import type { X509Certificate } from "node:crypto";
import type { SecureContext } from "node:tls";
import type { Cluster } from "../../config/clusters.ts";
import type { UpstreamTls } from "../../config/tls.ts";
import type { HostEntry } from "../lb/host-entry.ts";
import type { TlsInfo } from "../log/stream-info.ts";
import { createCompileContext } from "../match/compile-context.ts";
import type { Secured } from "./engine.ts";
import { compilePeerVerifier, type PeerVerifier, readTlsInfo } from "./peer-identity.ts";
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
		const options = connectOptions(this.#config, host, personal);
		let giveUp = openTo(this.#context, options, personal?.header, (result) => {
			if (result instanceof Error) return onResult(result);
			giveUp = this.#secure(result, host, secure.value, onResult);
		});
		return () => giveUp();
	}

	#secure(connection: Connection, host: HostEntry, context: SecureContext, onResult: ConnectResult): () => void {
		const session = this.#takeSession(host.address);
		const certificateOf = (secured: Secured) => secured.certificate ?? (secured.isResumed ? session?.certificate : undefined);
		const onSession = (ticket: Buffer, secured: Secured) => {
			const certificate = certificateOf(secured);
			if (certificate !== undefined) this.#remember(host.address, { ticket, certificate });
		};
		const side = { context, serverName: this.#names.asked, alpn: this.#alpn, session: session?.ticket, onSession };
		return this.#context.tls.connect(connection, side, (result) => {
			onResult(result instanceof Error ? this.#explain(result) : this.#accept(result, certificateOf(result), context));
			this.#context.afterEvent();
		});
	}

	#explain(error: Error & { readonly code?: string }): Error {
		// Not what the network has to say.
		if (error.code === "EPROTO" || error.code?.startsWith("ERR_SSL_") === true)
			this.#context.snapshot.clusters.get(this.#config.name)?.countTls("ssl.connection_error");
		return error;
	}

	/** Fail closed: nothing is written before the peer is known. */
	#accept(secured: Secured, certificate: X509Certificate | undefined, context: SecureContext): Connection | Error {
		const { chainError, cipher, curve, isResumed, version } = secured;
		const dnsName = this.#tls.autoSanValidation ? this.#names.verified : "";
		const verdict = this.#verify({ certificate, chainError }, dnsName);
		const cluster = this.#context.snapshot.clusters.get(this.#config.name);
		if (verdict.kind === "refused") {
			cluster?.countTls(verdict.stat);
			secured.destroy();
			return new Error(verdict.reason);
		}
		if (verdict.stat !== undefined) cluster?.countTls(verdict.stat);
		cluster?.countTls("ssl.handshake");
		cluster?.countHandshake(version, cipher, curve);
		if (isResumed) cluster?.countTls("ssl.session_reused");
		const info = readTlsInfo(secured, localIdentityOf(context), certificate);
		const connection = secured.adopt();
		tlsInfos.set(connection, info);
		if (secured.alpn !== "") agreedAlpn.set(connection, secured.alpn);
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
