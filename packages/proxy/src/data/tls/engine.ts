import type { X509Certificate } from "node:crypto";
import type { SecureContext } from "node:tls";
import type { Connection } from "../transport/connection.ts";

/** Makes TLS connections of plain ones. Both implementations pass the same tests. */
export interface TlsEngine {
	/** `bytes`: what has been read already. Calls back once. Returns a function that gives up without a word. */
	accept(connection: Connection, bytes: Buffer, side: ServerSide, onResult: HandshakeResult): () => void;
	/** The connection does not read yet. Calls back once, later. Returns a function that gives up without a word. */
	connect(connection: Connection, side: ClientSide, onResult: HandshakeResult): () => void;
}

/** Neither side refuses a peer by itself: whoever is called back looks at what the peer has shown. */
export type HandshakeResult = (result: Secured | Error) => void;

export interface ServerSide {
	readonly context: SecureContext;
	readonly requestsCertificate: boolean;
	/** What the client offers, too, best first. Without any no protocol is agreed upon, as Envoy does. */
	readonly alpn: readonly string[];
}

export interface ClientSide {
	readonly context: SecureContext;
	/** In the hello; "": none. */
	readonly serverName: string;
	readonly alpn: readonly string[];
	/** To resume. */
	readonly session: Buffer | undefined;
	/** The server gave a ticket, perhaps long after the handshake. */
	readonly onSession: ((session: Buffer, secured: Secured) => void) | undefined;
}

/** A handshake that is done. Fail closed: until `adopt` nothing is read or written. */
export interface Secured {
	/** The peer's. */
	readonly certificate: X509Certificate | undefined;
	/** What OpenSSL has against the peer's chain: Node's name of it. undefined: nothing, or there is no certificate. */
	readonly chainError: string | undefined;
	/** As OpenSSL writes it: TLSv1.3. */
	readonly version: string;
	readonly cipher: string;
	/** Of the key exchange, as Envoy writes it; "" where it is not known. */
	readonly curve: string;
	/** "": none was agreed upon. */
	readonly alpn: string;
	readonly isResumed: boolean;
	/** The one of ours that was shown. */
	localCertificate(): X509Certificate | undefined;
	/** Does not read until `resume`. */
	adopt(): Connection;
	/** Closes without a word. */
	destroy(): void;
}

/** Envoy's names of the groups for which others are in use. */
const curveNames: Readonly<Record<string, string>> = {
	prime256v1: "P-256",
	secp256r1: "P-256",
	secp384r1: "P-384",
	secp521r1: "P-521",
	x25519: "X25519",
	x448: "X448",
};

export const curveName = (name: string): string => curveNames[name] ?? name;

export const closedInHandshake = (): Error => new Error("connection closed during the TLS handshake");
