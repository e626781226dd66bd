import { X509Certificate } from "node:crypto";
import type { Metadata, ServerUnaryCall } from "@grpc/grpc-js";
import type { Caller } from "./authenticator.ts";

/** What every kind of gRPC server call offers, unary or streaming. */
export type IncomingCall = Pick<ServerUnaryCall<unknown, unknown>, "getAuthContext" | "getPeer" | "metadata">;

const bearer = /^Bearer ([A-Za-z0-9._~+/=-]+)$/i;

/**
 * Reads who is calling. @grpc/grpc-js leaves the certificate out of the auth context unless TLS verified it (CVE-2026-101916 was
 * the lack of that); a test of ours holds it to that.
 */
export function callerOf(call: IncomingCall): Caller {
	const raw = call.getAuthContext().sslPeerCertificate?.raw;
	return {
		verifiedCertificate: raw === undefined ? undefined : new X509Certificate(raw),
		bearerToken: bearerOf(call.metadata),
		remoteAddress: call.getPeer(),
	};
}

function bearerOf(metadata: Metadata): string | undefined {
	// Two authorization headers leave open which one counts: neither does.
	const [value, ...others] = metadata.get("authorization");
	return typeof value === "string" && others.length === 0 ? bearer.exec(value)?.[1] : undefined;
}
