import type { PeerName } from "./peers.ts";
import type { ListenTls, Protocol } from "./topology.ts";

export const scenarioNames = [
	"plain",
	"hop",
	"ads",
	"h2c",
	"h2hop",
	"grpc",
	"tcp",
	"tcpbulk",
	"tls",
	"routes10",
	"routes100",
	"routes1000",
	"mesh",
	"meshhop",
	"idle",
	"idletls",
] as const;
export type ScenarioName = (typeof scenarioNames)[number];

/** How load is put on beside "as much as fits": at half of what a peer reached in the same round, or at 1 000 requests a second. */
export type PacedPhase = "half" | "thousand";

export type Scenario = {
	readonly title: string;
	readonly peers: readonly PeerName[];
	/** Two proxies have mutual TLS 1.3 between them. */
	readonly proxies: 1 | 2;
	readonly protocol: Protocol;
	/** Of the first proxy. */
	readonly listenTls: ListenTls;
	readonly body: "small" | "bulk";
	/** A unary call: a POST, answered with trailers. */
	readonly isGrpc: boolean;
	/** The client asks to close after each answer, so that each request is a connection. */
	readonly closes: boolean;
	readonly overAds: boolean;
	readonly hasMesh: boolean;
	readonly routes?: number;
	readonly paced: readonly PacedPhase[];
	/** Connections that stay open and idle, instead of load. */
	readonly idleConnections?: number;
	/** Scenarios of one group run within the same rounds, since they are compared with each other. */
	readonly group?: string;
};

const all: readonly PeerName[] = ["nginx", "haproxy", "envoy", "weft-proxy"];
// nginx speaks HTTP/2 to clients alone.
const http2Peers: readonly PeerName[] = ["haproxy", "envoy", "weft-proxy"];
const xdsPeers: readonly PeerName[] = ["envoy", "weft-proxy"];
// haproxy routes by maps in files of their own, which is no comparison of route tables.
const routePeers: readonly PeerName[] = ["nginx", "envoy", "weft-proxy"];

const base: Omit<Scenario, "title"> = {
	peers: all,
	proxies: 1,
	protocol: "http1",
	listenTls: "none",
	body: "small",
	isGrpc: false,
	closes: false,
	overAds: false,
	hasMesh: false,
	paced: [],
};

const routes = (count: number): Scenario => ({
	...base,
	title: `HTTP/1.1, ${count} routes to ${count} clusters, the last one asked for`,
	peers: routePeers,
	routes: count,
	group: "routes",
});

export const scenarios: Readonly<Record<ScenarioName, Scenario>> = {
	plain: { ...base, title: "HTTP/1.1 keep-alive, 1 KB, one proxy", paced: ["half"] },
	hop: { ...base, title: "HTTP/1.1 keep-alive, 1 KB, through two proxies with mutual TLS 1.3 between them", proxies: 2, paced: ["half"] },
	ads: { ...base, title: "HTTP/1.1 keep-alive, 1 KB, one proxy, everything over delta ADS", peers: xdsPeers, overAds: true },
	h2c: { ...base, title: "HTTP/2 in clear text, 1 KB, one proxy", peers: http2Peers, protocol: "http2", paced: ["half"] },
	h2hop: {
		...base,
		title: "HTTP/2 in clear text, 1 KB, through two proxies with HTTP/2 over mutual TLS 1.3 between them",
		peers: http2Peers,
		proxies: 2,
		protocol: "http2",
		paced: ["half"],
	},
	grpc: { ...base, title: "gRPC unary calls over HTTP/2 in clear text, 1 KB, one proxy", peers: http2Peers, protocol: "http2", isGrpc: true, paced: ["half"] },
	tcp: { ...base, title: "TCP, small messages (HTTP/1.1 keep-alive, 1 KB, as bytes), one proxy", protocol: "tcp" },
	tcpbulk: { ...base, title: "TCP, bulk (1 MB bodies as bytes), one proxy", protocol: "tcp", body: "bulk" },
	tls: { ...base, title: "New TLS 1.3 connections with full handshakes, one HTTP/1.1 request each, one proxy", listenTls: "server", closes: true },
	routes10: routes(10),
	routes100: routes(100),
	routes1000: routes(1000),
	mesh: {
		...base,
		title:
			"HTTP/1.1, one proxy with access log, metrics, tracing (1 %), authorization, faults, CORS, retries, header operations, 51 virtual hosts of 10 routes",
		peers: xdsPeers,
		hasMesh: true,
		paced: ["half"],
	},
	meshhop: {
		...base,
		title: "HTTP/1.1 through two proxies with mutual TLS 1.3 between them and the mesh features of a client's and a server's sidecar",
		peers: xdsPeers,
		proxies: 2,
		hasMesh: true,
		paced: ["thousand"],
	},
	idle: { ...base, title: "1 000 idle HTTP/1.1 connections after one request each", idleConnections: 1000 },
	idletls: { ...base, title: "1 000 idle HTTP/1.1 connections over TLS after one request each", listenTls: "server", idleConnections: 1000 },
};

/** The scenarios in order, those of one group together. */
export function groupScenarios(names: readonly ScenarioName[]): readonly (readonly ScenarioName[])[] {
	return [...Map.groupBy(names, (name) => scenarios[name].group ?? name).values()];
}

/** Whether its load needs h2load: HTTP/2 of any kind, and any load at a given rate. */
export function needsH2load(name: ScenarioName): boolean {
	return scenarios[name].protocol === "http2" || scenarios[name].paced.length > 0;
}
