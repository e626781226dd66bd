import type { Report } from "./report.ts";
import { didYouMean, quote } from "./suggestion.ts";

/** Istio's protocols (pkg/config/protocol), case-insensitive. */
const protocols = [
	"HTTP",
	"HTTPS",
	"GRPC",
	"GRPC-WEB",
	"GRPC-WEB-H2C",
	"HTTP2",
	"HTTP_PROXY",
	"HBONE",
	"DOUBLE-HBONE",
	"TCP",
	"UDP",
	"TLS",
	"MONGO",
	"REDIS",
	"MYSQL",
];

export function checkProtocol(report: Report, protocol: string | undefined): void {
	if (protocol === undefined || protocol === "" || protocols.includes(protocol.toUpperCase())) return;
	report.error(`${quote(protocol)} is no known protocol; write one of ${protocols.join(", ")}${didYouMean(protocol, protocols)}`);
}

export const isHttpProtocol = (protocol: string): boolean =>
	["HTTP", "HTTP2", "HTTP_PROXY", "GRPC", "GRPC-WEB", "GRPC-WEB-H2C"].includes(protocol.toUpperCase());
export const isTlsProtocol = (protocol: string): boolean => ["HTTPS", "TLS"].includes(protocol.toUpperCase());
