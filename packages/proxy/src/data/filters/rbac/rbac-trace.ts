import type { StreamInfo, TlsInfo } from "../../log/stream-info.ts";
import type { WorkerContext } from "../../worker/context.ts";

/** Tells, for those who turn the logger `rbac` to debug, what policies looked at and what they said: Istio's documentation has people look for these lines. */
export interface RbacTrace {
	readonly isOn: () => boolean;
	readonly write: (line: string) => void;
}

export const rbacTrace = (context: WorkerContext): RbacTrace => ({
	isOn: () => context.debugs("rbac"),
	write: (line) => context.log("rbac", "debug", line),
});

/** In Envoy's words, on one line. */
export function describeChecked({ connection, dynamicMetadata, request }: StreamInfo): string {
	const { directRemoteAddress, localAddress, remoteAddress, requestedServerName, tls } = connection;
	const parts = [
		`requestedServerName: ${requestedServerName}`,
		`sourceIP: ${directRemoteAddress}`,
		`directRemoteIP: ${directRemoteAddress}`,
		`remoteIP: ${remoteAddress}`,
		`localAddress: ${localAddress}`,
		`ssl: ${tls === undefined ? "none" : describeTls(tls)}`,
	];
	if (request !== undefined) {
		const headers = [`':authority', '${request.authority}'`, `':path', '${request.path}'`, `':method', '${request.method}'`];
		request.forEach((name, value) => headers.push(`'${name}', '${value}'`));
		parts.push(`headers: ${headers.join("; ")}`);
	}
	parts.push(`dynamicMetadata: ${dynamicMetadata === undefined ? "" : JSON.stringify(dynamicMetadata)}`);
	return `checking ${request === undefined ? "connection" : "request"}: ${parts.join(", ")}`;
}

const describeTls = ({ peerDnsSans, peerSubject, peerUriSans }: TlsInfo): string =>
	`uriSanPeerCertificate: ${peerUriSans.join(",")}, dnsSanPeerCertificate: ${peerDnsSans.join(",")}, subjectPeerCertificate: ${peerSubject}`;
