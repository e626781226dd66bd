import type { MtlsMode } from "../../model/push.ts";

/** What kind of traffic a port takes: known to be HTTP, known not to be, or to be sniffed. */
export type ListenerProtocol = "http" | "tcp" | "auto";

export interface InboundChainMatch {
	/** What is inside. */
	readonly protocol: "http" | "tcp";
	/** Whether the chain ends mutual TLS. */
	readonly mutualTls: boolean;
	readonly transportProtocol: "tls" | "raw_buffer";
	readonly applicationProtocols?: readonly string[];
}

/** ALPN that only a sidecar offers: over mutual TLS, with HTTP or with anything inside. */
const mutualTlsAny = ["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"];
const mutualTlsHttp = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
const mutualTlsTcp = ["istio-peer-exchange", "istio"];
/** What http_inspector reports for plain text. */
export const plainTextHttp = ["http/1.1", "h2c"];

const tls = { mutualTls: true, transportProtocol: "tls" } as const;
/** TLS that is not for us goes on to the application untouched. */
const foreignTls = { protocol: "tcp", mutualTls: false, transportProtocol: "tls" } as const;
const plain = { mutualTls: false, transportProtocol: "raw_buffer" } as const;

/** Filter chains of one port by what PeerAuthentication asks and what the port speaks. */
const matrix: Readonly<Record<MtlsMode, Readonly<Record<ListenerProtocol, readonly InboundChainMatch[]>>>> = {
	STRICT: {
		http: [{ ...tls, protocol: "http" }],
		tcp: [{ ...tls, protocol: "tcp" }],
		auto: [
			{ ...tls, protocol: "http", applicationProtocols: mutualTlsHttp },
			{ ...tls, protocol: "tcp" },
		],
	},
	PERMISSIVE: {
		http: [
			{ ...tls, protocol: "http", applicationProtocols: mutualTlsAny },
			{ ...plain, protocol: "http" },
		],
		tcp: [{ ...tls, protocol: "tcp", applicationProtocols: mutualTlsAny }, foreignTls, { ...plain, protocol: "tcp" }],
		auto: [
			{ ...tls, protocol: "http", applicationProtocols: mutualTlsHttp },
			{ ...plain, protocol: "http", applicationProtocols: plainTextHttp },
			{ ...tls, protocol: "tcp", applicationProtocols: mutualTlsTcp },
			{ ...plain, protocol: "tcp" },
			foreignTls,
		],
	},
	DISABLE: {
		http: [{ ...plain, protocol: "http" }],
		tcp: [{ ...plain, protocol: "tcp" }],
		auto: [
			{ ...plain, protocol: "http", applicationProtocols: plainTextHttp },
			{ ...plain, protocol: "tcp" },
		],
	},
};

export function inboundChainMatches(mode: MtlsMode, protocol: ListenerProtocol): readonly InboundChainMatch[] {
	return matrix[mode][protocol];
}
