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
	readonly cases: readonly Case[];
}

const type = "type.googleapis.com/envoy";
export const loopback = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });

/** An extension's `{ name, typed_config }`. `message`: its full name without the `envoy.` in front. */
export function extension(name: string, message: string, fields: object = {}): object {
	return { name, typed_config: { "@type": `${type}.${message}`, ...fields } };
}

export const router = extension("envoy.filters.http.router", "extensions.filters.http.router.v3.Router");

export function httpListener(name: string, manager: object): object {
	const filter = extension("envoy.filters.network.http_connection_manager", "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", {
		stat_prefix: name,
		http_filters: [router],
		...manager,
	});
	return { name, address: loopback(0), filter_chains: [{ filters: [filter] }] };
}

export function staticCluster(name: string, ports: number | readonly number[], fields: object = {}): object {
	const endpoints = [ports].flat().map((port) => ({ endpoint: { address: loopback(port) } }));
	return { name, type: "STATIC", connect_timeout: "1s", load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: endpoints }] }, ...fields };
}

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
