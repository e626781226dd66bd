import type { Listener } from "../../config/listeners.ts";
import type { Connection, ConnectionHandler } from "../transport/connection.ts";
import type { ProxyTlv } from "../log/stream-info.ts";
import { Timer } from "../transport/timers.ts";
import type { WorkerContext } from "../worker/context.ts";
import { readClientHello } from "./client-hello.ts";
import { inspectHttp } from "./http-inspector.ts";
import type { InspectorChoice, Inspectors } from "./inspectors.ts";
import { type Endpoint, type ProxyProtocolStat, readProxyProtocol } from "./proxy-protocol.ts";

interface Origin {
	/** As the PROXY protocol names them; undefined: as the socket does. */
	readonly source: Endpoint | undefined;
	readonly destination: Endpoint | undefined;
	/** Of its header. */
	readonly tlvs: readonly ProxyTlv[];
	/** Read already, for whoever serves the connection. */
	readonly bytes: Buffer | undefined;
}

/** As in Envoy: what is not allowed has been found all the same. */
const foundBefore: Readonly<Partial<Record<ProxyProtocolStat, ProxyProtocolStat>>> = {
	"versions.v1.disallowed": "versions.v1.found",
	"versions.v2.disallowed": "versions.v2.found",
};

export const noTlvs: readonly ProxyTlv[] = [];

export type Inspected =
	| (Origin & { readonly kind: "tls"; readonly serverName: string; readonly alpn: readonly string[] })
	/** `protocol`: `http/1.0`, `http/1.1`, `h2c`, or "" when not HTTP or not looked for. */
	| (Origin & { readonly kind: "plain"; readonly protocol: string });

export interface InspectionEvents {
	/** By the destination port, which the PROXY protocol may change. */
	readonly inspectors: InspectorChoice;
	onInspected(inspected: Inspected): void;
	/** It goes on after the timeout. */
	onTimeout(): void;
	onFailed(stat: "downstream_pre_cx_timeout" | "downstream_listener_filter_error" | "downstream_listener_filter_remote_close"): void;
	onStat(name: string): void;
	onProxyStat(stat: ProxyProtocolStat): void;
}

/**
 * The listener filters: looks at a connection's first bytes, which stay unread for whoever serves it. Silence until
 * the timeout is a server-speaks-first protocol when the listener says to go on.
 */
export class Inspection implements ConnectionHandler {
	readonly #connection: Connection;
	readonly #config: Listener;
	readonly #events: InspectionEvents;
	readonly #timer: Timer;
	#bytes: Buffer = Buffer.alloc(0);
	#needsProxyHeader: boolean;
	#inspectors: Inspectors;
	#source: Endpoint | undefined;
	#destination: Endpoint | undefined;
	#isNotTls = false;
	#tlvs: readonly ProxyTlv[] = noTlvs;
	#isDone = false;

	constructor(connection: Connection, config: Listener, destination: Endpoint | undefined, context: WorkerContext, events: InspectionEvents) {
		this.#connection = connection;
		this.#config = config;
		this.#destination = destination;
		this.#events = events;
		this.#needsProxyHeader = config.proxyProtocol !== undefined;
		this.#inspectors = events.inspectors(destination?.port ?? connection.localPort);
		this.#timer = new Timer(context.wheel, () => this.#onTimeout());
		this.#timer.arm(config.listenerFiltersTimeoutMs);
		connection.handler = this;
		connection.resume();
	}

	onData(bytes: Buffer, start: number, end: number): void {
		this.#bytes = this.#bytes.length === 0 ? Buffer.from(bytes.subarray(start, end)) : Buffer.concat([this.#bytes, bytes.subarray(start, end)]);
		if (this.#needsProxyHeader && !this.#readProxyHeader()) return;
		this.#inspect();
	}

	#readProxyHeader(): boolean {
		const verdict = readProxyProtocol(this.#bytes, this.#config.proxyProtocol);
		if (verdict.kind === "incomplete") return false;
		this.#events.onProxyStat(verdict.stat);
		const found = foundBefore[verdict.stat];
		if (found !== undefined) this.#events.onProxyStat(found);
		if (verdict.kind === "absent") {
			this.#needsProxyHeader = false;
			return true;
		}
		if (verdict.kind === "invalid") {
			this.#fail("downstream_listener_filter_error");
			return false;
		}
		this.#needsProxyHeader = false;
		this.#source = verdict.source;
		this.#tlvs = verdict.tlvs;
		this.#destination = verdict.destination ?? this.#destination;
		this.#bytes = this.#bytes.subarray(verdict.length);
		this.#inspectors = this.#events.inspectors(this.#destination?.port ?? this.#connection.localPort);
		return true;
	}

	#inspect(): void {
		const { tls, http: wantsHttp } = this.#inspectors;
		const { onStat } = this.#events;
		if (tls && !this.#isNotTls) {
			const verdict = readClientHello(this.#bytes);
			if (verdict.kind === "incomplete") return;
			if (verdict.kind === "hello") {
				const { serverName, alpn } = verdict.hello;
				if (wantsHttp && this.#config.inspectsHttpFirst) onStat("http_not_found");
				onStat("tls_found");
				onStat(serverName === "" ? "sni_not_found" : "sni_found");
				onStat(alpn.length === 0 ? "alpn_not_found" : "alpn_found");
				return this.#finish({ kind: "tls", serverName, alpn, ...this.#origin() });
			}
			this.#isNotTls = true;
			onStat("tls_not_found");
		}
		if (!wantsHttp) return this.#finish({ kind: "plain", protocol: "", ...this.#origin() });
		const http = inspectHttp(this.#bytes);
		if (http === "incomplete") return;
		onStat(http === "http/1.0" ? "http10_found" : http === "http/1.1" ? "http11_found" : http === "h2c" ? "http2_found" : "http_not_found");
		this.#finish({ kind: "plain", protocol: http === "none" ? "" : http, ...this.#origin() });
	}

	#origin(): Origin {
		return { source: this.#source, destination: this.#destination, tlvs: this.#tlvs, bytes: this.#bytes };
	}

	#finish(inspected: Inspected): void {
		if (this.#isDone) return;
		this.#isDone = true;
		this.#timer.disarm();
		this.#connection.pause();
		this.#events.onInspected(inspected);
	}

	#fail(stat: Parameters<InspectionEvents["onFailed"]>[0]): void {
		if (this.#isDone) return;
		this.#isDone = true;
		this.#timer.disarm();
		this.#events.onFailed(stat);
	}

	#onTimeout(): void {
		// What must begin with a PROXY header does not go on without one.
		const isHeaderMissing = this.#needsProxyHeader && this.#config.proxyProtocol?.allowWithout !== true;
		if (!this.#config.continueOnListenerFiltersTimeout || isHeaderMissing) return this.#fail("downstream_pre_cx_timeout");
		this.#events.onTimeout();
		this.#finish({ kind: "plain", protocol: "", ...this.#origin() });
	}

	onEnd(): void {
		this.#fail("downstream_listener_filter_remote_close");
	}
	onBlocked(): void {}
	onDrain(): void {}
	onClose(): void {
		this.#fail("downstream_listener_filter_remote_close");
	}
}
