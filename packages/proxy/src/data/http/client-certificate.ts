import { known } from "../codec/known-names.ts";
import { forwardXfcc } from "../headers/xfcc.ts";
import type { HttpStream } from "./stream.ts";

/** `x-forwarded-client-cert`: says who the client proved to be; what an unverified client says of itself goes. */
export function applyClientCertificate({ request, manager, downstream }: HttpStream): void {
	const { forwardClientCert: mode } = manager.config;
	if (mode === "alwaysForwardOnly") return;
	const own = mode === "appendForward" || mode === "sanitizeSet" ? downstream.ownCertificate : "";
	const received = request.getKnown(known["x-forwarded-client-cert"]);
	const isMutual = downstream.info.tls !== undefined && downstream.info.tls.peerFingerprint256 !== "";
	const value = forwardXfcc(mode, received, own, isMutual);
	if (value === received) return;
	request.removeKnown(known["x-forwarded-client-cert"]);
	if (value !== undefined) request.append("x-forwarded-client-cert", value);
}
