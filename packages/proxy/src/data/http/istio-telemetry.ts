import type { Listener } from "../../config/listeners.ts";
import type { NodeInfo } from "../../config/runtime-config.ts";
import type { IstioStats } from "../../config/telemetry.ts";
import type { ConnectionInfo, StreamInfo, TlsInfo } from "../log/stream-info.ts";
import { grpcStatusOf } from "../headers/grpc-status.ts";
import {
	createIstioMetrics,
	type IstioMetrics,
	type IstioPeer,
	type IstioRecorder,
	peerOfEndpoint,
	peerOfNode,
	peerOfPrincipal,
} from "../stats/istio-metrics.ts";
import type { IstioSeriesDump } from "../stats/istio-series.ts";
import type { BoundsOf } from "../stats/stats-view.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import type { HostEntry } from "../lb/host-entry.ts";
import type { HttpStream } from "./stream.ts";

/** Istio's standard metrics of one worker: one table for each distinct configuration of the filter. */
export class IstioTelemetry {
	readonly #node: NodeInfo;
	readonly #boundsOf: BoundsOf;
	readonly #tables = new Map<string, IstioMetrics>();

	constructor(node: NodeInfo, boundsOf: BoundsOf) {
		this.#node = node;
		this.#boundsOf = boundsOf;
	}

	/** What one listener reports to; `errors` receives overrides that cannot be kept. */
	reporter(stats: IstioStats, direction: Listener["direction"], errors: string[]): IstioReporter {
		const key = JSON.stringify(stats);
		let table = this.#tables.get(key);
		if (table === undefined) {
			const created = createIstioMetrics(stats, this.#node, undefined, this.#boundsOf);
			errors.push(...created.errors);
			table = created.value;
			// What is wrong with it is to be said each time.
			if (created.errors.length === 0) this.#tables.set(key, table);
		}
		return new IstioReporter(table, stats, this.#node, direction);
	}

	dump(): readonly IstioSeriesDump[] {
		return Array.from(this.#tables.values(), (table) => table.dump()).flat();
	}

	reset(): void {
		for (const table of this.#tables.values()) table.reset();
	}
}

interface Known {
	readonly peer: string;
	readonly told: IstioPeer | undefined;
	readonly recorder: IstioRecorder;
}

/** The certificate says who it is; the workload is what the peer told, if its certificate is of that namespace. */
function sourceOf(principal: string, told: IstioPeer | undefined): IstioPeer {
	const proven = peerOfPrincipal(principal);
	if (told === undefined || (proven.namespace !== "" && proven.namespace !== told.namespace)) return proven;
	return { ...told, principal };
}

/** Recorders are kept by downstream connection and upstream host: no label is built per request. */
export class IstioReporter {
	readonly #table: IstioMetrics;
	readonly #stats: IstioStats;
	readonly #node: NodeInfo;
	readonly #isInbound: boolean;
	readonly #byConnection = new WeakMap<ConnectionInfo, Map<HostEntry | undefined, Known>>();
	readonly #byHost = new WeakMap<HostEntry, Known>();

	constructor(table: IstioMetrics, stats: IstioStats, node: NodeInfo, direction: Listener["direction"]) {
		this.#table = table;
		this.#stats = stats;
		this.#node = node;
		this.#isInbound = direction === "inbound" && stats.reporter !== "gateway";
	}

	report(stream: HttpStream): void {
		const { info, router } = stream;
		const recorder = this.recorder(info.connection, router.cluster, router.host, info.upstreamTls, stream.request.authority, stream.peer);
		const grpc = stream.isGrpcRequest ? String(grpcStatusOf(info) ?? "") : "";
		recorder.http(info.responseCode, grpc, info.responseFlags, info.endAt - info.startAt, info.bytesReceived, info.bytesSent, this.tagsOf(info));
	}

	/** What a request, or a connection, adds to its labels by expressions. */
	tagsOf(info: StreamInfo): string {
		return this.#table.tagsOf(info);
	}

	/** `authority` "" for TCP. */
	recorder(
		connection: ConnectionInfo,
		cluster: ClusterRuntime | undefined,
		host: HostEntry | undefined,
		upstreamTls: TlsInfo | undefined,
		authority: string,
		told?: IstioPeer,
	): IstioRecorder {
		const hasService = cluster?.config.istioService !== undefined;
		// Without a named service the host header says it, which differs from request to request.
		const peer = hasService ? (upstreamTls?.peerUriSans[0] ?? "") : authority;
		const known = this.#isInbound || host === undefined ? this.#byConnection.get(connection)?.get(host) : this.#byHost.get(host);
		if (known !== undefined && known.peer === peer && known.told === told) return known.recorder;
		const recorder = this.#table.forPair({
			reporter: this.#isInbound ? "destination" : "source",
			source: this.#isInbound ? sourceOf(connection.tls?.peerUriSans[0] ?? "", told) : this.#self(upstreamTls),
			destination: this.#isInbound ? this.#self(connection.tls) : peerOfEndpoint(host?.host.istioWorkload, upstreamTls?.peerUriSans[0] ?? ""),
			service: cluster?.config.istioService ?? this.#fallbackService(authority),
			securityPolicy: this.#isInbound ? ((connection.tls?.peerUriSans.length ?? 0) > 0 ? "mutual_tls" : "none") : "unknown",
		});
		this.#keep(connection, host, { peer, told, recorder });
		return recorder;
	}

	#keep(connection: ConnectionInfo, host: HostEntry | undefined, known: Known): void {
		if (!this.#isInbound && host !== undefined) {
			this.#byHost.set(host, known);
			return;
		}
		const hosts = this.#byConnection.get(connection) ?? new Map<HostEntry | undefined, Known>();
		hosts.set(host, known);
		this.#byConnection.set(connection, hosts);
	}

	#self(tls: TlsInfo | undefined): IstioPeer {
		return peerOfNode(this.#node, tls?.localUriSans[0] ?? "");
	}

	#fallbackService(authority: string): { readonly host: string; readonly name: string; readonly namespace: string } {
		const host = this.#stats.disableHostHeaderFallback ? "" : authority;
		return { host, name: host, namespace: "" };
	}
}
