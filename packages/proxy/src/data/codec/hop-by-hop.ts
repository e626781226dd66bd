import { hasToken } from "./head-parser.ts";
import { known } from "./known-names.ts";
import type { RequestHead } from "./request-head.ts";
import type { ResponseHead } from "./response-head.ts";
import { removeHopByHop } from "../headers/edge.ts";

const bit = (name: keyof typeof known): number => 1 << known[name];
const requestHopByHop =
	bit("connection") | bit("keep-alive") | bit("proxy-connection") | bit("te") | bit("upgrade") | bit("transfer-encoding") | bit("http2-settings");
const responseHopByHop = bit("connection") | bit("keep-alive") | bit("proxy-connection") | bit("transfer-encoding") | bit("upgrade") | bit("te");

/** The protocol asked for, lower case; "" when none, or when it is HTTP/2, which is never negotiated in clear text this way. */
export function readUpgrade(head: RequestHead): string {
	if (head.method === "CONNECT") return "connect";
	if (!head.hasKnown(known.upgrade) || !hasToken(head.get("connection") ?? "", "upgrade")) return "";
	// With content it would not be clear where that ends and the tunnel begins: an ordinary request (RFC 9110 §7.8).
	if (head.hasBody) return "";
	const value = (head.get("upgrade") ?? "").trim().toLowerCase();
	return value === "h2c" ? "" : value;
}

/** What a client may not have a proxy drop: it tells whom the request is from. Nor names that no header has. */
const notNominated = /^(:.*|x-forwarded-(for|host|proto))$/;
const nominatedMax = 10;
const nominatedTeBytesMax = 256;

/** Whether `connection` names what it must not, or more than anybody has reason to: as in Envoy, the request is refused. */
export function nominatesTooMuch(head: RequestHead): boolean {
	const value = head.get("connection") ?? "";
	if (value === "close" || value === "keep-alive") return false;
	const names = value.toLowerCase().split(",", nominatedMax);
	if (names.length === nominatedMax) return true;
	return names.some((name) => notNominated.test(name.trim()) || (name.trim() === "te" && (head.get("te") ?? "").length >= nominatedTeBytesMax));
}

export function stripRequest(head: RequestHead): void {
	if ((head.present & requestHopByHop) === 0) return;
	removeHopByHop(head);
	head.removeKnown(known["http2-settings"]);
}

/** Most upstreams say `connection: keep-alive` and nothing else of this kind. */
export function stripResponse(head: ResponseHead): void {
	if ((head.present & responseHopByHop) !== 0) {
		if ((head.present & responseHopByHop) === bit("connection") && head.getKnown(known.connection) === "keep-alive") head.removeKnown(known.connection);
		else removeHopByHop(head);
	}
	// RFC 9112 §6.2: not with chunks, and not with 204, which has no body that could be waited for.
	if (!head.isChunked && head.status !== 204) return;
	head.removeKnown(known["content-length"]);
	head.contentLength = -1;
}
