import type { Connection, ConnectionHandler, TransportHooks } from "../transport/connection.ts";
import { CipherOutput } from "./cipher-output.ts";
import { type ClientSide, closedInHandshake, type HandshakeResult, type Secured, type TlsEngine } from "./engine.ts";
import { SecureConnection, type SecureShared } from "./openssl-connection.ts";
import { Session } from "./openssl-session.ts";
import { OpenSslShared } from "./openssl-shared.ts";
import type { OpenSsl } from "./openssl.ts";

const readBufferBytes = 80 * 1024;

/** TLS by OpenSSL itself, over plain connections of whatever transport. */
export function createOpenSslEngine(ssl: OpenSsl, hooks: TransportHooks): TlsEngine {
	const openSsl = new OpenSslShared(ssl);
	const shared: SecureShared = { openSsl, hooks, readBuffer: Buffer.allocUnsafeSlow(readBufferBytes), output: new CipherOutput(openSsl) };
	return {
		accept(connection, bytes, side, onResult) {
			const handshake = new Handshake(shared, connection, onResult, side.alpn[0] ?? "");
			handshake.start(() => Session.server(openSsl, side), bytes);
			return () => handshake.giveUp();
		},
		connect(connection, side, onResult) {
			const handshake = new Handshake(shared, connection, onResult, "", side.onSession);
			handshake.start(() => Session.client(openSsl, side), undefined);
			return () => handshake.giveUp();
		},
	};
}

/** Takes the plain connection until the handshake is done, or has failed. */
class Handshake implements ConnectionHandler {
	readonly #shared: SecureShared;
	readonly #connection: Connection;
	readonly #onResult: HandshakeResult;
	readonly #alpn: string;
	readonly #onSession: ClientSide["onSession"];
	#session: Session | undefined;
	#isDone = false;

	constructor(shared: SecureShared, connection: Connection, onResult: HandshakeResult, alpn: string, onSession?: ClientSide["onSession"]) {
		this.#shared = shared;
		this.#connection = connection;
		this.#onResult = onResult;
		this.#alpn = alpn;
		this.#onSession = onSession;
	}

	start(create: () => Session, bytes: Buffer | undefined): void {
		this.#connection.handler = this;
		try {
			this.#session = create();
		} catch (error) {
			return this.#fail(error instanceof Error ? error : new Error(String(error)));
		}
		if (bytes !== undefined) this.#session.feed(bytes, 0, bytes.length);
		this.#step(this.#session);
		if (!this.#isDone) this.#connection.resume();
	}

	onData(bytes: Buffer, start: number, end: number): void {
		if (this.#session === undefined) return;
		this.#session.feed(bytes, start, end);
		this.#step(this.#session);
	}

	#step(session: Session): void {
		const { openSsl, output } = this.#shared;
		const result = session.handshake(this.#alpn);
		// Also what says why it has failed.
		output.flush(this.#connection);
		if (result === false) return;
		if (result instanceof Error) return this.#fail(result);
		const early = openSsl.takeInput();
		this.#isDone = true;
		this.#connection.pause();
		this.#onResult(new OpenSslSecured(this.#shared, this.#connection, session, early, this.#onSession));
	}

	onEnd(): void {
		this.#fail(closedInHandshake());
	}
	onBlocked(): void {}
	onDrain(): void {}

	onClose(error: Error | undefined): void {
		const isTold = this.#isDone;
		this.#isDone = true;
		this.#session?.free();
		this.#session = undefined;
		if (!isTold) this.#onResult(error ?? closedInHandshake());
	}

	#fail(error: Error): void {
		if (this.#isDone) return;
		this.#isDone = true;
		this.#connection.destroy();
		this.#onResult(error);
	}

	giveUp(): void {
		if (this.#isDone) return;
		this.#isDone = true;
		this.#connection.destroy();
	}
}

/** The connection stays the handshake's until it is adopted, so that its end frees the session. */
class OpenSslSecured implements Secured {
	readonly #shared: SecureShared;
	readonly #connection: Connection;
	readonly #session: Session;
	readonly #early: Buffer | undefined;
	readonly #onSession: ClientSide["onSession"];
	readonly certificate;
	readonly chainError;
	readonly version;
	readonly cipher;
	readonly curve;
	readonly alpn;
	readonly isResumed;

	constructor(shared: SecureShared, connection: Connection, session: Session, early: Buffer | undefined, onSession: ClientSide["onSession"]) {
		this.#shared = shared;
		this.#connection = connection;
		this.#session = session;
		this.#early = early;
		this.#onSession = onSession;
		this.certificate = session.peerCertificate();
		this.chainError = this.certificate && session.chainError();
		this.version = session.version;
		this.cipher = session.cipher;
		this.curve = session.curve;
		this.alpn = session.alpn;
		this.isResumed = session.isResumed;
	}

	localCertificate() {
		return this.#session.localCertificate();
	}

	adopt(): Connection {
		const onSession = this.#onSession;
		const onTicket = onSession && ((ticket: Buffer) => onSession(ticket, this));
		return new SecureConnection(this.#shared, this.#connection, this.#session, this.#early, onTicket);
	}

	destroy(): void {
		this.#connection.destroy();
	}
}
