import type { TLSSocket } from "node:tls";
import type { Connection, Transport } from "../transport/connection.ts";
import { type ClientSide, closedInHandshake, curveName, type HandshakeResult, type Secured, type TlsEngine } from "./engine.ts";
import { nodeTls } from "./node-tls.ts";

/** node:tls, for a Node whose OpenSSL cannot be called, and over its public sockets. */
export function createNodeEngine(transport: Transport): TlsEngine {
	return {
		accept(connection, bytes, { context, requestsCertificate, alpn }, onResult) {
			const socket = new (nodeTls().TLSSocket)(transport.toSocket(connection, bytes), {
				isServer: true,
				secureContext: context,
				requestCert: requestsCertificate,
				rejectUnauthorized: false,
				...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
			});
			return awaitHandshake(socket, "secure", transport, onResult);
		},
		connect: (connection, side, onResult) => awaitHandshake(startClient(transport, connection, side), "secureConnect", transport, onResult),
	};
}

function startClient(transport: Transport, connection: Connection, { context, serverName, alpn, session, onSession }: ClientSide): TLSSocket {
	const socket = nodeTls().connect({
		socket: transport.toSocket(connection, undefined),
		secureContext: context,
		...(serverName === "" ? {} : { servername: serverName }),
		...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
		...(session === undefined ? {} : { session }),
		// Looked at by whoever is called back, by SPIFFE names rather than by host name, and on resumption too.
		rejectUnauthorized: false,
		checkServerIdentity: () => undefined,
	});
	if (onSession !== undefined) socket.on("session", (ticket) => onSession(ticket, new NodeSecured(socket, transport)));
	return socket;
}

function awaitHandshake(socket: TLSSocket, done: "secure" | "secureConnect", transport: Transport, onResult: HandshakeResult): () => void {
	let isDone = false;
	const finish = (result: Secured | Error | undefined) => {
		if (isDone) return;
		isDone = true;
		socket.off("error", finish);
		if (!(result instanceof NodeSecured)) {
			socket.on("error", () => {});
			socket.destroy();
		}
		if (result !== undefined) onResult(result);
	};
	socket.on("error", finish);
	socket.once("close", () => finish(closedInHandshake()));
	socket.once(done, () => finish(new NodeSecured(socket, transport)));
	return () => finish(undefined);
}

interface HandshakeHandle {
	verifyError(): (Error & { readonly code?: string }) | null;
}

class NodeSecured implements Secured {
	readonly #socket: TLSSocket;
	readonly #transport: Transport;
	readonly certificate;
	readonly chainError;
	readonly version;
	readonly cipher;
	readonly curve;
	readonly alpn;
	readonly isResumed;

	constructor(socket: TLSSocket, transport: Transport) {
		this.#socket = socket;
		this.#transport = transport;
		this.certificate = socket.getPeerX509Certificate();
		const failure = (socket as unknown as { readonly _handle: HandshakeHandle })._handle.verifyError();
		this.chainError = this.certificate === undefined || failure === null ? undefined : (failure.code ?? failure.message);
		this.version = socket.getProtocol() ?? "";
		this.cipher = socket.getCipher()?.name ?? "";
		// Node does not tell of resumed sessions, of servers, and of key exchanges that are no curves alone.
		const key = socket.getEphemeralKeyInfo();
		this.curve = curveName((key !== null && "name" in key && key.name) || "");
		this.alpn = typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : "";
		this.isResumed = socket.isSessionReused();
	}

	localCertificate() {
		return this.#socket.getX509Certificate();
	}
	adopt() {
		return this.#transport.adoptTls(this.#socket);
	}
	destroy() {
		this.#socket.on("error", () => {});
		this.#socket.destroy();
	}
}
