import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { ConnectionOptions, SecureContext, TLSSocket } from "node:tls";
import type { Cluster, UpstreamTransport } from "../../config/clusters.ts";
import type { Host } from "../../config/hosts.ts";
import type { SocketAddress } from "../../config/sockets.ts";
import type { UpstreamTls } from "../../config/tls.ts";
import type { HostEntry } from "../lb/host-entry.ts";
import type { ConnectionInfo, TlsInfo, UpstreamSource } from "../log/stream-info.ts";
import { createCompileContext } from "../match/compile-context.ts";
import type { Connection, ConnectOptions } from "../transport/connection.ts";
import { sourceOptions } from "../transport/socket-options.ts";
import type { PoolProtocol, UpstreamProtocol } from "../upstream/exchange.ts";
import type { WorkerContext } from "../worker/context.ts";
import { buildProxyHeader, chooseTlvs } from "../upstream/proxy-protocol-header.ts";
import { compilePeerVerifier, type LocalIdentity, type PeerVerifier, readTlsInfo } from "./peer-identity.ts";
import { nodeTls } from "./node-tls.ts";
import { createContextFinder, localIdentityOf, type SecureContextFinder, SecureContexts } from "./secure-contexts.ts";

export type ConnectResult = (result: Connection | Error) => void;

/** One way to reach a host: plain, or TLS with a given server name. Pools are kept per way. */
export interface ChosenTransport {
	readonly key: string;
	readonly isTls: boolean;
	/** Secrets have changed since: finish what runs, reuse nothing. */
	readonly isStale: boolean;
	/** Calls back once; gives a function that gives up. */
	connect(host: HostEntry, onResult: ConnectResult, personal?: Personal): () => void;
}

/** What makes a connection one client's own. */
interface Personal {
	readonly source: UpstreamSource | undefined;
	/** Written before anything else. */
	readonly header: Buffer | undefined;
}

export interface TransportChooser {
	/**
	 * `authority`: of the request, for automatic server names; "" for TCP. `alpn`: replaces what the cluster offers.
	 * `downstream`: for whom, where the connection shows its client's address or names it.
	 */
	choose(host: HostEntry, authority: string, alpn: readonly string[] | undefined, downstream?: ConnectionInfo): ChosenTransport;
	/** What to offer for HTTP, given the lists of an alpn filter; undefined: what the cluster says. */
	httpAlpn(host: HostEntry, override: UpstreamAlpn | undefined, protocol: PoolProtocol): readonly string[] | undefined;
	refresh(): void;
}

/** By what is spoken with the peer. */
export type UpstreamAlpn = Readonly<Record<UpstreamProtocol, readonly string[]>>;

const agreedAlpn = new WeakMap<Connection, string>();

/** The protocol that the handshake agreed upon; "" when none. */
export function upstreamAlpn(connection: Connection): string {
	return agreedAlpn.get(connection) ?? "";
}

const tlsInfos = new WeakMap<Connection, TlsInfo>();

/** What the peer of a TLS connection proved. */
export function upstreamTlsInfo(connection: Connection): TlsInfo | undefined {
	return tlsInfos.get(connection);
}

const chosenMax = 1024;
const sessionsMax = 4;

export function createTransportChooser(config: Cluster, context: WorkerContext): TransportChooser {
	const plain = createPlain(config, context);
	const byHost = new WeakMap<Host, UpstreamTransport>();
	const transportOf = (host: Host): UpstreamTransport => {
		if (config.transportMatches.length === 0) return config.transport;
		const known = byHost.get(host);
		if (known !== undefined) return known;
		const found = config.transportMatches.find(({ match }) => isPartOf(match, host.transportMatch))?.transport ?? config.transport;
		byHost.set(host, found);
		return found;
	};
	let contexts = new SecureContexts();
	let chosen = new Map<UpstreamTls, Map<string, UpstreamTlsTransport>>();
	// Most requests in a row take the same way.
	let last:
		| { readonly tls: UpstreamTls; readonly authority: string; readonly alpn: readonly string[] | undefined; readonly way: UpstreamTlsTransport }
		| undefined;
	const chooseAny = (host: HostEntry, authority: string, alpn: readonly string[] | undefined): ChosenTransport => {
		const transport = transportOf(host.host);
		if (transport.kind === "raw") return plain;
		const { tls } = transport;
		if (last !== undefined && last.tls === tls && last.alpn === alpn && (!tls.autoSni || last.authority === authority)) return last.way;
		const name = tls.autoSni && authority !== "" ? hostNameOf(authority) : tls.sni;
		const key = alpn === undefined ? name : `${name} ${alpn.join(",")}`;
		const ways = chosen.get(tls) ?? new Map<string, UpstreamTlsTransport>();
		chosen.set(tls, ways);
		let way = ways.get(key);
		if (way === undefined) {
			if (ways.size >= chosenMax) ways.clear();
			way = new UpstreamTlsTransport(config, context, contexts, tls, name, alpn ?? tls.alpn);
			ways.set(key, way);
		}
		last = { tls, authority, alpn, way };
		return way;
	};
	return {
		choose(host, authority, alpn, downstream) {
			const way = chooseAny(host, authority, alpn);
			const transport = transportOf(host.host);
			if (transport.proxyProtocol !== undefined) return named(way, transport.proxyProtocol, transport, downstream);
			return downstream?.upstreamSource === undefined ? way : fromSource(way, downstream.upstreamSource);
		},
		httpAlpn(host, override, protocol) {
			const transport = transportOf(host.host);
			if (transport.kind === "raw") return undefined;
			const { alpn } = transport.tls;
			if (protocol === "auto") return alpn.length === 0 ? both : undefined;
			// Istio's filter speaks of mesh peers: a cluster that offers nothing of the mesh's is somebody else's server.
			if (override !== undefined && alpn.some((name) => name.startsWith("istio"))) return override[protocol];
			if (protocol === "HTTP/2") return alpn.length === 0 ? http2 : undefined;
			return withoutHttp2(transport.tls);
		},
		refresh() {
			for (const ways of chosen.values()) for (const way of ways.values()) way.isStale = true;
			chosen = new Map();
			last = undefined;
			contexts = new SecureContexts();
		},
	};
}

/** Where the configuration says nothing, as Envoy has it. */
const both: readonly string[] = ["h2", "http/1.1"];
const http2: readonly string[] = ["h2"];
const http1: readonly string[] = ["http/1.1"];

function http1Only(names: readonly string[]): readonly string[] {
	return names.filter((name) => name !== "h2" && name !== "istio-h2");
}

/** Its frames are not spoken, so it is never agreed upon. */
const peerExchange = "istio-peer-exchange";

const filtered = new WeakMap<UpstreamTls, readonly string[] | undefined>();

/** What to offer where HTTP/1.1 will be spoken; undefined: the list as it is. */
function withoutHttp2(tls: UpstreamTls): readonly string[] | undefined {
	if (filtered.has(tls)) return filtered.get(tls);
	const rest = http1Only(tls.alpn);
	const result = tls.alpn.length === 0 ? http1 : rest.length === tls.alpn.length ? undefined : rest;
	filtered.set(tls, result);
	return result;
}

function isPartOf(part: Readonly<Record<string, unknown>>, whole: Readonly<Record<string, unknown>>): boolean {
	return Object.entries(part).every(([key, value]) => Object.hasOwn(whole, key) && JSON.stringify(whole[key]) === JSON.stringify(value));
}

/** SNI is a host name: no port, no IP address (RFC 6066 §3). */
function hostNameOf(authority: string): string {
	const name = authority.replace(/:\d+$/, "");
	return isIP(name.replace(/^\[|\]$/g, "")) === 0 ? name : "";
}

function connectOptions(config: Cluster, host: HostEntry, personal: Personal | undefined): ConnectOptions {
	const { address } = host.host;
	const source = personal?.source;
	const keepaliveSeconds = config.tcpKeepalive?.timeSeconds;
	if (source !== undefined && address.kind === "ip" && address.address.includes(":") === source.address.includes(":"))
		return { address, bindAddress: source.address, keepaliveSeconds, socketOptions: sourceOptions(source.mark) };
	return { address, bindAddress: bindAddressFor(config.bindAddresses, address), keepaliveSeconds, socketOptions: config.socketOptions };
}

function bindAddressFor(addresses: readonly string[], to: SocketAddress): string {
	const [first = ""] = addresses;
	if (addresses.length < 2 || to.kind === "pipe") return first;
	return addresses.find((address) => address.includes(":") === to.address.includes(":")) ?? first;
}

/** The same way from one client's address: a way of its own, so that no pool is shared with another client. */
function fromSource(way: ChosenTransport, source: UpstreamSource): ChosenTransport {
	return {
		key: `${way.key} from ${source.address} ${source.mark}`,
		isTls: way.isTls,
		get isStale() {
			return way.isStale;
		},
		connect: (host, onResult) => way.connect(host, onResult, { source, header: undefined }),
	};
}

/** The same way with the client's name at its beginning: likewise nobody else's. */
function named(
	way: ChosenTransport,
	version: "v1" | "v2",
	{ addedTlvs = [], passedTlvs }: UpstreamTransport,
	downstream: ConnectionInfo | undefined,
): ChosenTransport {
	const addresses = downstream && { source: downstream.remoteAddress, destination: downstream.localAddress };
	const source = downstream?.upstreamSource;
	const passed = passedTlvs === undefined || downstream === undefined ? [] : chooseTlvs(downstream.proxyTlvs, passedTlvs);
	const values = passed.map(({ type, value }) => `${type}=${value.toString("base64")}`).join();
	const tlvs = [...addedTlvs, ...passed.filter(({ type }) => !addedTlvs.some((own) => own.type === type))];
	return {
		key: `${way.key} for ${addresses?.source ?? ""} ${addresses?.destination ?? ""} ${source?.mark ?? ""} ${values}`,
		isTls: way.isTls,
		get isStale() {
			return way.isStale;
		},
		connect: (host, onResult) => way.connect(host, onResult, { source, header: buildProxyHeader(version, addresses, tlvs) }),
	};
}

/** Connects, and writes the header where there is one. */
function open(context: WorkerContext, options: ConnectOptions, header: Buffer | undefined, onResult: ConnectResult): () => void {
	return context.transport.connect(options, (result) => {
		if (header !== undefined && !(result instanceof Error)) result.write(header);
		onResult(result);
	});
}

function createPlain(config: Cluster, context: WorkerContext): ChosenTransport {
	return {
		key: "",
		isTls: false,
		isStale: false,
		connect: (host, onResult, personal) => open(context, connectOptions(config, host, personal), personal?.header, onResult),
	};
}

let ways = 0;

/** A resumed handshake does not show the certificate again: the one that the ticket was given under stands for it. */
interface RememberedSession {
	readonly ticket: Buffer;
	readonly certificate: X509Certificate;
}

class UpstreamTlsTransport implements ChosenTransport {
	/** Unique: pools of a replaced one are not found again. */
	readonly key = `tls ${ways++}`;
	readonly isTls = true;
	isStale = false;
	readonly #config: Cluster;
	readonly #context: WorkerContext;
	readonly #contextOf: SecureContextFinder;
	readonly #tls: UpstreamTls;
	readonly #serverName: string;
	readonly #alpn: readonly string[];
	readonly #verify: PeerVerifier;
	/** By address. Certificates, trust, expected names and server name are this object's, so a ticket never meets others (CVE-2026-48934). */
	readonly #sessions = new Map<string, RememberedSession[]>();

	constructor(config: Cluster, context: WorkerContext, contexts: SecureContexts, tls: UpstreamTls, serverName: string, alpn: readonly string[]) {
		this.#config = config;
		this.#context = context;
		this.#contextOf = createContextFinder(contexts, { params: tls.params, certificates: tls.certificates, trust: tls.validation?.trust });
		this.#tls = tls;
		this.#serverName = serverName;
		this.#alpn = alpn.filter((name) => name !== peerExchange);
		this.#verify = compilePeerVerifier(tls.validation, true, createCompileContext());
	}

	connect(host: HostEntry, onResult: ConnectResult, personal?: Personal): () => void {
		let secure: ReturnType<SecureContextFinder>;
		try {
			secure = this.#contextOf(this.#context.snapshot.secrets);
		} catch (error) {
			return this.#failLater(new Error(`TLS error: ${error instanceof Error ? error.message : String(error)}`), onResult);
		}
		if (secure.kind === "missing") return this.#failLater(new Error("TLS error: Secret is not supplied by SDS"), onResult);
		const { address } = host.host;
		const options = connectOptions(this.#config, host, personal);
		const context = secure.value;
		if (options.socketOptions === undefined && personal?.header === undefined) {
			const to = address.kind === "ip" ? { host: address.address, port: address.port } : { path: address.path };
			return this.#secure(
				host,
				context,
				{ ...to, ...(options.bindAddress === "" || address.kind === "pipe" ? {} : { localAddress: options.bindAddress }) },
				onResult,
			);
		}
		// node:tls makes no sockets with options, and says nothing before its hello: the connection comes first.
		let giveUp = open(this.#context, options, personal?.header, (result) => {
			if (result instanceof Error) return onResult(result);
			giveUp = this.#secure(host, context, { socket: this.#context.transport.toSocket(result, undefined) }, onResult);
		});
		return () => giveUp();
	}

	#secure(host: HostEntry, secureContext: SecureContext, to: ConnectionOptions, onResult: ConnectResult): () => void {
		const session = this.#takeSession(host.address);
		const socket = nodeTls().connect({
			...to,
			secureContext,
			...(this.#serverName === "" ? {} : { servername: this.#serverName }),
			...(this.#alpn.length === 0 ? {} : { ALPNProtocols: [...this.#alpn] }),
			...(session === undefined ? {} : { session: session.ticket }),
			// Verified below, by SPIFFE names rather than by host name, and on resumption too.
			rejectUnauthorized: false,
			checkServerIdentity: () => undefined,
		});
		socket.setNoDelay(true);
		return this.#await(socket, host, session, (peer) => this.#accept(socket, peer, localIdentityOf(secureContext)), onResult);
	}

	#await(
		socket: TLSSocket,
		host: HostEntry,
		session: RememberedSession | undefined,
		accept: (peer: X509Certificate | undefined) => Connection | Error,
		onResult: ConnectResult,
	): () => void {
		let isDone = false;
		const finish = (result: Connection | Error) => {
			if (isDone) return;
			isDone = true;
			socket.off("error", onError);
			if (result instanceof Error) {
				socket.on("error", () => {});
				socket.destroy();
			}
			onResult(result);
			this.#context.afterEvent();
		};
		const onError = (error: Error & { readonly code?: string }) => {
			// Not what the network has to say.
			if (error.code === "EPROTO" || error.code?.startsWith("ERR_SSL_") === true)
				this.#context.snapshot.clusters.get(this.#config.name)?.countTls("ssl.connection_error");
			finish(error);
		};
		socket.on("error", onError);
		socket.once("close", () => finish(new Error("TLS error: connection closed during the handshake")));
		const certificateOf = () => socket.getPeerX509Certificate() ?? (socket.isSessionReused() ? session?.certificate : undefined);
		socket.on("session", (ticket) => {
			const certificate = certificateOf();
			if (certificate !== undefined) this.#remember(host.address, { ticket, certificate });
		});
		socket.once("secureConnect", () => finish(accept(certificateOf())));
		return () => finishSilently();
		function finishSilently(): void {
			if (isDone) return;
			isDone = true;
			socket.on("error", () => {});
			socket.destroy();
		}
	}

	/** Fail closed: nothing is written before the peer is known. */
	#accept(socket: TLSSocket, certificate: X509Certificate | undefined, own: LocalIdentity | undefined): Connection | Error {
		const chainError = socket.authorized ? undefined : String(socket.authorizationError ?? "unknown");
		const dnsName = this.#tls.autoSanValidation ? this.#serverName : "";
		const verdict = this.#verify({ certificate, chainError }, dnsName);
		const cluster = this.#context.snapshot.clusters.get(this.#config.name);
		if (verdict.kind === "refused") {
			cluster?.countTls(verdict.stat);
			return new Error(verdict.reason);
		}
		if (verdict.stat !== undefined) cluster?.countTls(verdict.stat);
		cluster?.countTls("ssl.handshake");
		cluster?.countHandshake(socket.getProtocol() ?? "", socket.getCipher()?.name ?? "", curveOf(socket));
		if (socket.isSessionReused()) cluster?.countTls("ssl.session_reused");
		const info = readTlsInfo(socket, certificate, own);
		const connection = this.#context.transport.adoptTls(socket);
		tlsInfos.set(connection, info);
		if (typeof socket.alpnProtocol === "string") agreedAlpn.set(connection, socket.alpnProtocol);
		return connection;
	}

	#failLater(error: Error, onResult: ConnectResult): () => void {
		const timer = setImmediate(() => {
			onResult(error);
			this.#context.afterEvent();
		});
		return () => clearImmediate(timer);
	}

	/** Each ticket once (RFC 8446 §C.4), and none under a certificate that has expired since. */
	#takeSession(address: string): RememberedSession | undefined {
		const session = this.#sessions.get(address)?.pop();
		return session === undefined || session.certificate.validToDate.getTime() <= this.#context.wallMs() ? undefined : session;
	}

	#remember(address: string, session: RememberedSession): void {
		const known = this.#sessions.get(address) ?? [];
		if (this.#sessions.size > chosenMax) this.#sessions.clear();
		if (known.length < sessionsMax) known.push(session);
		this.#sessions.set(address, known);
	}
}

/** As Envoy names it; "" where Node does not tell: of resumed sessions, and of key exchanges that are no curves alone. */
function curveOf(socket: TLSSocket): string {
	const key = socket.getEphemeralKeyInfo();
	const name = (key !== null && "name" in key && key.name) || "";
	return standardCurves[name] ?? name;
}

const standardCurves: Readonly<Record<string, string>> = { prime256v1: "P-256", secp384r1: "P-384", secp521r1: "P-521" };
