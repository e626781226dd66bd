import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { type Proxy, startPair } from "../differential/pair.ts";
import { createAuthority, type KeyedCertificate, requireClientCertificate } from "../security/identities.ts";
import { type Call, identities, issuers, type Peer, type VerdictCase } from "./cases.ts";
import { requestAuthentication, tokenOf } from "./tokens.ts";
import { emit } from "./translate.ts";

type Json = Readonly<Record<string, unknown>>;

/** What a proxy made of a request: its status, and the path that went on when it was let through. */
export interface Verdict {
	readonly status: number;
	readonly path: string | undefined;
}

/** The same policies in a real Envoy and in weft-proxy. */
export interface VerdictPair {
	readonly proxies: readonly [Proxy, Proxy];
	stop(): Promise<void>;
}

const types = "type.googleapis.com/envoy.extensions";
const authority = createAuthority("td1");
const serverTls = requireClientCertificate(authority.issue("spiffe://td1/ns/foo/sa/server"), authority.caPem);
const certificates: ReadonlyMap<string, KeyedCertificate> = new Map(identities.map((identity) => [identity, authority.issue(`spiffe://${identity}`)]));

export async function startVerdictPair(cases: readonly VerdictCase[]): Promise<VerdictPair> {
	const servers = await Promise.all([listening(httpEcho()), listening(tcpEcho())]);
	const [http, tcp] = servers.map((server) => (server.address() as AddressInfo).port) as [number, number];
	const closeAll = () => {
		for (const server of servers) server.close();
	};
	try {
		const names = cases.flatMap(({ seed }) => [`http-${seed}`, `tcp-${seed}`]);
		const bootstrap = bootstrapOf(cases, { http, tcp });
		const proxies = await startPair(() => bootstrap, names);
		return {
			proxies,
			async stop() {
				for (const proxy of proxies) await proxy.stop();
				closeAll();
			},
		};
	} catch (error) {
		closeAll();
		throw error;
	}
}

const loopback = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });

function bootstrapOf(cases: readonly VerdictCase[], ports: { readonly http: number; readonly tcp: number }): object {
	const authentication = requestAuthentication(issuers);
	const cluster = (name: "http" | "tcp") => ({
		name,
		type: "STATIC",
		connect_timeout: "5s",
		load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(ports[name]) } }] }] },
	});
	return {
		node: { id: "n", cluster: "c" },
		admin: { address: loopback(0) },
		static_resources: {
			listeners: cases.flatMap((each) => {
				const { manager, networkFilters } = emit(each, authentication);
				return [
					listener(`http-${each.seed}`, [{ name: "envoy.filters.network.http_connection_manager", typed_config: withRoutes(manager) }]),
					listener(`tcp-${each.seed}`, [...networkFilters, tcpProxy]),
				];
			}),
			clusters: [cluster("http"), cluster("tcp")],
		},
	};
}

const tcpProxy = {
	name: "envoy.filters.network.tcp_proxy",
	typed_config: { "@type": `${types}.filters.network.tcp_proxy.v3.TcpProxy`, stat_prefix: "tcp", cluster: "tcp" },
};

function withRoutes(manager: Json): Json {
	const router = { name: "envoy.filters.http.router", typed_config: { "@type": `${types}.filters.http.router.v3.Router` } };
	return {
		...manager,
		httpFilters: [...(manager["httpFilters"] as readonly Json[]), router],
		routeConfig: { name: "r", virtualHosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "http" } }] }] },
	};
}

/** Where a connection comes from and goes to is what it says itself, so that policies have ports and addresses to tell apart. */
function listener(name: string, filters: readonly Json[]): Json {
	const listenerFilter = (kind: string, type: string) => ({
		name: `envoy.filters.listener.${kind}`,
		typed_config: { "@type": `${types}.filters.listener.${kind}.v3.${type}` },
	});
	const tls = { "@type": `${types}.transport_sockets.tls.v3.DownstreamTlsContext`, ...serverTls };
	return {
		name,
		address: loopback(0),
		listener_filters: [listenerFilter("proxy_protocol", "ProxyProtocol"), listenerFilter("tls_inspector", "TlsInspector")],
		filter_chains: [
			{
				filter_chain_match: { transport_protocol: "tls" },
				filters,
				transport_socket: { name: "envoy.transport_sockets.tls", typed_config: tls },
			},
			{ filter_chain_match: { transport_protocol: "raw_buffer" }, filters },
		],
	};
}

function httpEcho(): Server {
	const server = createHttpServer((request, response) => response.setHeader("x-path", request.url ?? "").end());
	// A connection that ends just as it is taken again would be a 503 of the proxy.
	server.keepAliveTimeout = 600_000;
	return server;
}

/** Tells by a byte of its own that it was reached. */
function tcpEcho(): Server {
	return createServer((socket) => {
		socket.on("error", () => socket.destroy());
		socket.on("data", () => socket.end("+"));
	});
}

async function listening(server: Server): Promise<Server> {
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	return server;
}

function open(proxy: Proxy, name: string, { identity, sni, sourceIp, destinationIp, destinationPort }: Peer): Socket {
	const socket = connect({ port: proxy.port(name), host: "127.0.0.1", localAddress: sourceIp, noDelay: true });
	socket.write(`PROXY TCP4 ${sourceIp} ${destinationIp} 40000 ${destinationPort}\r\n`);
	if (identity === undefined) return socket;
	const { certChainPem, privateKeyPem } = certificates.get(identity) as KeyedCertificate;
	return connectTls({ socket, cert: certChainPem, key: privateKeyPem, servername: sni, rejectUnauthorized: false });
}

/** Whether the upstream was reached. */
export function verdictOnConnection(proxy: Proxy, seed: number, peer: Peer): Promise<boolean> {
	return new Promise((resolve, reject) => {
		const socket = open(proxy, `tcp-${seed}`, peer);
		let text = "";
		socket.setTimeout(10_000, () =>
			socket.destroy(new Error(`${proxy.name} neither answered nor closed a connection of ${JSON.stringify(peer)} (${seed}): ${text}`)),
		);
		socket.on("data", (bytes: Buffer) => (text += bytes.toString("latin1")));
		socket.on("error", (error: NodeJS.ErrnoException) => (error.message.includes("neither") ? reject(error) : undefined));
		socket.on("close", () => resolve(text === "+"));
		// Fewer bytes than a record header could still become TLS.
		socket.write("anybody there?");
	});
}

/** A connection for each request: an answer of the proxy's own may end the connection it goes by. */
export function verdictOnRequest(proxy: Proxy, seed: number, peer: Peer, call: Call): Promise<Verdict> {
	return new Promise((resolve, reject) => {
		const socket = open(proxy, `http-${seed}`, peer);
		const what = () => `${proxy.name} gave no answer to ${JSON.stringify({ seed, peer, call })}`;
		let text = "";
		socket.setTimeout(10_000, () => socket.destroy(new Error(what())));
		socket.on("data", (bytes: Buffer) => {
			text += bytes.toString("latin1");
			if (!text.includes("\r\n\r\n")) return;
			resolve({ status: Number(text.slice(9, 12)), path: /^x-path: (.*)$/im.exec(text)?.[1]?.trim() });
			socket.destroy();
		});
		socket.on("error", reject);
		socket.on("close", () => reject(new Error(what())));
		socket.write(requestText(call), "latin1");
	});
}

function requestText({ method, path, host, headers, claims }: Call): string {
	const lines = [
		`${method} ${path} HTTP/1.1`,
		`host: ${host}`,
		...headers.map(([name, value]) => `${name}: ${value}`),
		...(claims ? [`authorization: Bearer ${tokenOf(claims)}`] : []),
		...(method === "POST" ? ["content-length: 0"] : []),
	];
	return `${lines.join("\r\n")}\r\n\r\n`;
}
