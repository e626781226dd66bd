import type { Responder } from "../security/upstream.ts";

/** What is sent to both proxies, and what their upstream answers. */
export interface Case {
	readonly name: string;
	/** Bytes on one connection, Latin-1; pieces are sent one after the other's response. */
	readonly send: string | readonly string[];
	/** Of the listener "main" unless it says otherwise. */
	readonly listener?: string;
	/** What every upstream of the suite answers; an echo of method and target by default. */
	readonly reply?: string | Responder;
	/** Responses to read for each piece sent. */
	readonly responses?: number;
	/** How long to wait for a response before it counts as none. */
	readonly quietMs?: number;
}

export interface Ports {
	/** Cluster name → port of its recording upstream. */
	readonly upstream: Readonly<Record<string, number>>;
	/** A port at which nobody listens. */
	readonly closed: number;
}

/** One configuration and what is tried on it. */
export interface Suite {
	readonly name: string;
	/** Each gets a recording upstream. */
	readonly upstreams: readonly string[];
	/** `static_resources` of the bootstrap. */
	resources(ports: Ports, accessLog: readonly object[]): object;
	readonly listeners: readonly string[];
	/** Further fields of the bootstrap. */
	readonly bootstrap?: object;
	/** Further fields of each log line, name → format. */
	readonly log?: Readonly<Record<string, string>>;
	/** Counters that say nothing about what this suite tries. */
	readonly ignoreStats?: RegExp;
	readonly cases: readonly Case[];
}

export const defaultLogFields = {
	status: "%RESPONSE_CODE%",
	details: "%RESPONSE_CODE_DETAILS%",
	flags: "%RESPONSE_FLAGS%",
	protocol: "%PROTOCOL%",
	method: "%REQ(:METHOD)%",
	path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
	authority: "%REQ(:AUTHORITY)%",
	cluster: "%UPSTREAM_CLUSTER%",
	route: "%ROUTE_NAME%",
	received: "%BYTES_RECEIVED%",
	sent: "%BYTES_SENT%",
	attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
	client: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
	failure: "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
};

/** A request without a body. `headers`: further lines. */
export function get(target: string, ...headers: readonly string[]): string {
	return request("GET", target, headers);
}

export function request(method: string, target: string, headers: readonly string[] = [], body = ""): string {
	const own = headers.some((line) => /^host:/i.test(line)) ? [] : ["host: test.example"];
	const length = body === "" ? [] : [`content-length: ${body.length}`];
	return `${[`${method} ${target} HTTP/1.1`, ...own, ...headers, ...length].join("\r\n")}\r\n\r\n${body}`;
}

/** A response of an upstream. */
export function reply(status: number, headers: readonly string[] = [], body = ""): string {
	return `${[`HTTP/1.1 ${status} Reason`, ...headers, `content-length: ${body.length}`].join("\r\n")}\r\n\r\n${body}`;
}
