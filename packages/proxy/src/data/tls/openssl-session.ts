import type { X509Certificate } from "node:crypto";
import type { SecureContext } from "node:tls";
import { chainErrorName } from "./chain-errors.ts";
import type { ClientSide, ServerSide } from "./engine.ts";
import { curveName } from "./engine.ts";
import type { OpenSslShared } from "./openssl-shared.ts";
import type { Pointer } from "./openssl.ts";

// Numbers from include/openssl/ssl.h and tls1.h.
const [controlMode, controlServerName] = [33, 55];
/** SSL_MODE_RELEASE_BUFFERS: a connection that waits keeps none. */
const releaseBuffers = 0x10n;
const noRenegotiation = 1n << 30n;
const [verifyNone, verifyPeer] = [0, 1];
/** Of SSL_get_error. */
const [errorWantRead, errorZeroReturn] = [2, 6];

/** What a read came to when it is no bytes. */
export const readResults = { wantsMore: 0, ended: -1, failed: -2 } as const;

/** One end of a TLS connection, as OpenSSL keeps it (SSL): bytes in by `feed`, bytes out by `takeOutput`. After `free` nothing may be called. */
export class Session {
	/** Node's object behind the SSL_CTX: callbacks look for it there, so it must live as long as the session. */
	readonly context: SecureContext;
	readonly #shared: OpenSslShared;
	readonly #at: Pointer;

	private constructor(shared: OpenSslShared, context: SecureContext) {
		const { calls, input, output } = shared;
		this.context = context;
		this.#shared = shared;
		this.#at = calls.SSL_new(shared.contextOf(context));
		if (this.#at === 0n) throw shared.takeError("SSL_new");
		calls.BIO_up_ref(input.at);
		calls.BIO_up_ref(output.at);
		calls.SSL_set_bio(this.#at, input.at, output.at);
		calls.SSL_ctrl(this.#at, controlMode, releaseBuffers, 0n);
		calls.SSL_set_options(this.#at, noRenegotiation);
	}

	/** @throws Error when OpenSSL refuses */
	static server(shared: OpenSslShared, { context, requestsCertificate, alpn }: ServerSide): Session {
		shared.prepareAlpn(context, alpn[0] ?? "");
		const session = new Session(shared, context);
		if (requestsCertificate) shared.calls.SSL_set_verify(session.#at, verifyPeer, shared.acceptAnyPeer);
		shared.calls.SSL_set_accept_state(session.#at);
		return session;
	}

	/** @throws Error when OpenSSL refuses */
	static client(shared: OpenSslShared, { context, serverName, alpn, session: earlier }: ClientSide): Session {
		const { calls } = shared;
		const session = new Session(shared, context);
		const at = session.#at;
		// What it finds is looked at afterwards; the handshake goes on.
		calls.SSL_set_verify(at, verifyNone, shared.acceptAnyPeer);
		if (serverName !== "") calls.SSL_ctrl(at, controlServerName, 0n, serverName);
		if (alpn.length > 0) {
			const list = Buffer.concat(alpn.map((name) => Buffer.from([name.length, ...Buffer.from(name, "latin1")])));
			list.copy(shared.scratch.bytes);
			calls.SSL_set_alpn_protos(at, shared.scratch.at, list.length);
		}
		if (earlier !== undefined) session.#resume(earlier);
		calls.SSL_set_connect_state(at);
		return session;
	}

	#resume(encoded: Buffer): void {
		const { calls } = this.#shared;
		const earlier = this.#shared.decode(encoded, (at, count) => calls.d2i_SSL_SESSION(0n, at, count));
		// Without it the handshake is a full one.
		if (earlier === 0n) return calls.ERR_clear_error();
		calls.SSL_set_session(this.#at, earlier);
		calls.SSL_SESSION_free(earlier);
	}

	/** `alpn`: what a server answers. Whether it is done; false: more must come. Output may have come of it, also of a failure. */
	handshake(alpn = ""): boolean | Error {
		const shared = this.#shared;
		const { calls } = shared;
		shared.alpnChoice = alpn;
		const result = calls.SSL_do_handshake(this.#at);
		if (result !== 1 && calls.SSL_get_error(this.#at, result) !== errorWantRead) {
			shared.input.drop();
			return shared.takeError("SSL_do_handshake");
		}
		// A chain that is not trusted leaves its errors although the handshake goes on; the next read would take them for its own.
		calls.ERR_clear_error();
		return result === 1;
	}

	/** Bytes of the wire. */
	feed(bytes: Buffer, start: number, end: number): void {
		const { input, wire } = this.#shared;
		if (end > start) input.write(wire.of(bytes, start), end - start);
	}

	/** Clear text into `target` from `start` on: how many bytes, or one of `readResults`. */
	read(target: Buffer, start: number): number {
		const { calls, read } = this.#shared;
		const count = calls.SSL_read(this.#at, read.of(target, start), target.length - start);
		return count > 0 ? count : this.#explainRead(count);
	}

	#explainRead(count: number): number {
		const { calls, input } = this.#shared;
		const error = calls.SSL_get_error(this.#at, count);
		if (error === errorWantRead) return readResults.wantsMore;
		input.drop();
		return error === errorZeroReturn ? readResults.ended : readResults.failed;
	}

	/** All of it, or an error. */
	write(bytes: Uint8Array): Error | undefined {
		const { calls, written } = this.#shared;
		if (calls.SSL_write(this.#at, written.of(bytes), bytes.length) === bytes.length) return undefined;
		return this.#shared.takeError("SSL_write");
	}

	/** Says that nothing more will be written (close_notify). */
	shutdown(): void {
		if (this.#shared.calls.SSL_shutdown(this.#at) < 0) this.#shared.calls.ERR_clear_error();
	}

	free(): void {
		this.#shared.calls.SSL_free(this.#at);
	}

	/** What may be kept to resume; undefined: the server gave no ticket yet. */
	ticket(): Buffer | undefined {
		const { calls } = this.#shared;
		const session = calls.SSL_get_session(this.#at);
		if (session === 0n || calls.SSL_SESSION_is_resumable(session) !== 1) return undefined;
		return this.#shared.encode((at) => calls.i2d_SSL_SESSION(session, at));
	}

	peerCertificate(): X509Certificate | undefined {
		const { calls } = this.#shared;
		const certificate = calls.SSL_get1_peer_certificate(this.#at);
		try {
			return this.#shared.readCertificate(certificate);
		} finally {
			calls.X509_free(certificate);
		}
	}

	localCertificate(): X509Certificate | undefined {
		return this.#shared.readCertificate(this.#shared.calls.SSL_get_certificate(this.#at));
	}

	/** undefined: the chain is good. */
	chainError(): string | undefined {
		const { calls } = this.#shared;
		const result = calls.SSL_get_verify_result(this.#at);
		if (result === 0n) return undefined;
		return chainErrorName(Number(result)) ?? this.#shared.text(calls.X509_verify_cert_error_string(result));
	}

	get version(): string {
		return this.#shared.text(this.#shared.calls.SSL_get_version(this.#at));
	}
	get cipher(): string {
		const { calls } = this.#shared;
		return this.#shared.text(calls.SSL_CIPHER_get_name(calls.SSL_get_current_cipher(this.#at)));
	}
	get curve(): string {
		return curveName(this.#shared.text(this.#shared.calls.SSL_get0_group_name(this.#at)));
	}
	get isResumed(): boolean {
		return this.#shared.calls.SSL_session_reused(this.#at) === 1;
	}
	get alpn(): string {
		return this.#shared.readText((data, length) => this.#shared.calls.SSL_get0_alpn_selected(this.#at, data, length));
	}
}
