import type { SecureContext } from "node:tls";
import type { Transport, TransportHooks } from "../transport/connection.ts";
import type { TlsEngine } from "./engine.ts";
import { createNodeEngine } from "./node-engine.ts";
import { createOpenSslEngine } from "./openssl-engine.ts";
import { contextPointer, loadOpenSsl, type OpenSsl } from "./openssl.ts";

/** OpenSSL itself where this Node's can be called; else, and over public sockets, node:tls. Made when the first handshake needs it. */
export async function createTlsEngine(transport: Transport, hooks: TransportHooks): Promise<TlsEngine> {
	const openSsl = transport.kind === "net" ? undefined : await loadOpenSsl();
	if (openSsl === undefined) return createNodeEngine(transport);
	let made: TlsEngine | undefined;
	const engineFor = (context: SecureContext): TlsEngine => (made ??= chooseEngine(openSsl, context, transport, hooks));
	return {
		accept: (connection, bytes, side, onResult) => engineFor(side.context).accept(connection, bytes, side, onResult),
		connect: (connection, side, onResult) => engineFor(side.context).connect(connection, side, onResult),
	};
}

function chooseEngine(openSsl: OpenSsl, context: SecureContext, transport: Transport, hooks: TransportHooks): TlsEngine {
	try {
		if (contextPointer(context) !== undefined) return createOpenSslEngine(openSsl, hooks);
	} catch {
		// It is laid out otherwise, or the system lets nobody make functions for C to call.
	}
	return createNodeEngine(transport);
}
