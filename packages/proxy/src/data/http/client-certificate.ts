import { known } from "../codec/known-names.ts";
import type { TlsInfo } from "../log/stream-info.ts";
import type { HttpConnectionManager } from "../../config/runtime-config.ts";
import type { HttpStream } from "./stream.ts";

/** `x-forwarded-client-cert`: says who the client proved to be (Envoy, HTTP header manipulation, XFCC). */
export function applyClientCertificate({ request, manager, connection }: HttpStream): void {
	const { forwardClientCert: mode, clientCertDetails } = manager.config;
	if (mode === "alwaysForwardOnly") return;
	const tls = connection.info.tls;
	const isMutual = tls !== undefined && tls.peerFingerprint256 !== "";
	// Without a verified peer nobody vouches for what the header says.
	if (mode === "sanitize" || !isMutual) {
		request.removeKnown(known["x-forwarded-client-cert"]);
		return;
	}
	if (mode === "forwardOnly") return;
	const element = formatElement(tls, clientCertDetails);
	const earlier = mode === "appendForward" ? request.getKnown(known["x-forwarded-client-cert"]) : undefined;
	request.removeKnown(known["x-forwarded-client-cert"]);
	request.append("x-forwarded-client-cert", earlier === undefined ? element : `${earlier},${element}`);
}

function formatElement(tls: TlsInfo, details: HttpConnectionManager["clientCertDetails"]): string {
	const parts: string[] = [];
	for (const uri of tls.localUriSans.slice(0, 1)) parts.push(`By=${uri}`);
	parts.push(`Hash=${tls.peerFingerprint256}`);
	if (details.cert) parts.push(`Cert="${encodeURIComponent(tls.peerCertificatePem)}"`);
	if (details.chain) parts.push(`Chain="${encodeURIComponent(tls.peerCertificatePem)}"`);
	if (details.subject) parts.push(`Subject="${tls.peerSubject.replace(/["\\]/g, "\\$&")}"`);
	if (details.uri) parts.push(`URI=${tls.peerUriSans[0] ?? ""}`);
	if (details.dns) for (const name of tls.peerDnsSans) parts.push(`DNS=${name}`);
	return parts.join(";");
}
