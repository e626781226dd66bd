import type { HttpConnectionManager } from "../../config/http-connection-manager.ts";
import type { TlsInfo } from "../log/stream-info.ts";

/** One element of `x-forwarded-client-cert`: a hop's caller. */
export interface XfccElement {
	readonly by: readonly string[];
	readonly hash: string;
	readonly subject: string;
	readonly uri: readonly string[];
	readonly dns: readonly string[];
	/** URL-encoded PEM. */
	readonly cert: string;
	readonly chain: string;
}

export type XfccDetails = HttpConnectionManager["clientCertDetails"];
export type XfccMode = HttpConnectionManager["forwardClientCert"];

/**
 * The value of `x-forwarded-client-cert` to send upstream; undefined: send none. Build `own` once per connection with
 * `formatXfcc`; "" when the client proved nothing.
 */
export function forwardXfcc(mode: XfccMode, received: string | undefined, own: string, isMutualTls: boolean): string | undefined {
	switch (mode) {
		case "alwaysForwardOnly":
			return received;
		case "sanitize":
			return undefined;
		case "forwardOnly":
			return isMutualTls ? received : undefined;
		case "appendForward":
			if (!isMutualTls) return undefined;
			return received === undefined || received === "" ? own || undefined : own === "" ? received : `${received},${own}`;
		case "sanitizeSet":
			return isMutualTls ? own || undefined : undefined;
	}
}

/** Our element for this connection, keys in Envoy's order; "" without a client certificate. */
export function formatXfcc(tls: TlsInfo | undefined, details: XfccDetails): string {
	if (!tls || tls.peerFingerprint256 === "") return "";
	const parts = [...tls.localUriSans.map((uri) => `By=${uri}`), `Hash=${tls.peerFingerprint256}`];
	if (details.cert && tls.peerCertificatePem !== "") parts.push(`Cert="${encodeURIComponent(tls.peerCertificatePem)}"`);
	if (details.chain && tls.peerCertificatePem !== "") parts.push(`Chain="${encodeURIComponent(tls.peerCertificatePem)}"`);
	if (details.subject) parts.push(`Subject="${tls.peerSubject.replace(/[\\"]/g, "\\$&")}"`);
	if (details.uri) parts.push(...(tls.peerUriSans.length === 0 ? ["URI="] : tls.peerUriSans.map((uri) => `URI=${uri}`)));
	if (details.dns) parts.push(...tls.peerDnsSans.map((dns) => `DNS=${dns}`));
	return parts.join(";");
}

/** All hops, first caller first; malformed parts are left out. */
export function parseXfcc(value: string): readonly XfccElement[] {
	return splitOutsideQuotes(value, ",").map((element) => {
		const pairs = splitOutsideQuotes(element, ";").map((pair) => {
			const equals = pair.indexOf("=");
			return [pair.slice(0, Math.max(equals, 0)).trim().toLowerCase(), unquote(pair.slice(equals + 1).trim())] as const;
		});
		const all = (key: string) => pairs.flatMap(([name, text]) => (name === key && text !== "" ? [text] : []));
		const one = (key: string) => all(key)[0] ?? "";
		return { by: all("by"), hash: one("hash"), subject: one("subject"), uri: all("uri"), dns: all("dns"), cert: one("cert"), chain: one("chain") };
	});
}

function splitOutsideQuotes(text: string, separator: string): readonly string[] {
	const parts: string[] = [];
	let [start, quoted] = [0, false];
	for (let i = 0; i < text.length; i++) {
		if (text[i] === "\\" && quoted) i++;
		else if (text[i] === '"') quoted = !quoted;
		else if (text[i] === separator && !quoted) {
			parts.push(text.slice(start, i));
			start = i + 1;
		}
	}
	parts.push(text.slice(start));
	return parts.filter((part) => part.trim() !== "");
}

function unquote(text: string): string {
	return text.length >= 2 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text;
}
