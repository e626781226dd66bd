import type { AttributeContext_Peer } from "@weft/xds/generated/envoy/service/auth/v3/attribute_context.ts";
import type { CheckResponse } from "@weft/xds/generated/envoy/service/auth/v3/external_auth.ts";
import type { UnaryResult } from "../../grpc/cluster-call.ts";
import type { ConnectionInfo, TlsInfo } from "../log/stream-info.ts";
import { splitAddress } from "./peer-address.ts";

/** What an `envoy.service.auth.v3.Authorization` is told of requests and connections alike. */
export const checkPath = "/envoy.service.auth.v3.Authorization/Check";

/** Loaded by those whose configuration asks for it: most sidecars never do. */
export const loadCheckMessages = () => import("@weft/xds/generated/envoy/service/auth/v3/external_auth.ts");
export type CheckMessages = Awaited<ReturnType<typeof loadCheckMessages>>;

/** `service`: what the peer calls itself. */
export function sourceOf({ remoteAddress, tls }: ConnectionInfo, sendsCertificate: boolean, service: string): Partial<AttributeContext_Peer> {
	const certificate = sendsCertificate && tls !== undefined ? encodeURIComponent(tls.peerCertificatePem) : "";
	return { ...peerOf(remoteAddress, peerPrincipal(tls)), service, certificate };
}

export function destinationOf({ localAddress, tls }: ConnectionInfo): Partial<AttributeContext_Peer> {
	return peerOf(localAddress, tls?.localUriSans[0] ?? tls?.localSubject ?? "");
}

function peerOf(address: string, principal: string): Partial<AttributeContext_Peer> {
	const { host, port } = splitAddress(address);
	const wire = port === undefined ? { pipe: { path: host, mode: 0 } } : { socketAddress: { address: host, portValue: port } };
	return { address: wire as AttributeContext_Peer["address"], principal };
}

const peerPrincipal = (tls: TlsInfo | undefined): string => tls?.peerUriSans[0] ?? tls?.peerDnsSans[0] ?? tls?.peerSubject ?? "";

/** undefined: no answer that could be used. */
export function readCheck({ message }: UnaryResult, { CheckResponse }: CheckMessages): CheckResponse | undefined {
	if (message === undefined) return undefined;
	try {
		return CheckResponse.decode(message);
	} catch {
		return undefined;
	}
}
