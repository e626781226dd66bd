import { noSlot } from "../../config/shared-state.ts";
import type { HealthCheck, ProbeResult } from "../../config/health-check.ts";
import { RuntimeValues } from "../../config/runtime-values.ts";
import type { Cluster, UpstreamTransport } from "../../config/clusters.ts";
import type { ClusterHosts, Host } from "../../config/hosts.ts";
import type { SocketAddress } from "../../config/sockets.ts";
import { createHostCounts, formatSocketAddress, type HostEntry } from "../lb/host-entry.ts";
import { createStatsRegistry } from "../stats/registry.ts";
import { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import { HostPools } from "../upstream/host-pools.ts";
import type { WorkerContext } from "../worker/context.ts";
import { probeGrpc } from "./grpc-probe.ts";
import { probeHttp } from "./http-probe.ts";
import { probeTcp } from "./tcp-probe.ts";

/** One look at one host. */
export interface ProbeTarget {
	readonly cluster: ClusterRuntime;
	readonly entry: HostEntry;
	readonly check: HealthCheck;
	/** Who is asked for where the check names nobody. */
	readonly authority: string;
	/** The name that the host says to be of is looked at. */
	readonly verifiesName: boolean;
}

interface ProbedCluster {
	readonly of: ClusterRuntime;
	readonly runtime: ClusterRuntime;
	readonly entries: Map<string, { readonly host: Host; readonly entry: HostEntry }>;
}

/**
 * Looks at hosts when the main thread says so, over connections of its own: they count neither in the cluster's
 * statistics nor under its limits, but are made as the cluster's are, TLS included.
 */
export class Prober {
	readonly #context: WorkerContext;
	readonly #clusters = new Map<string, ProbedCluster>();

	constructor(context: WorkerContext) {
		this.#context = context;
	}

	/** `onResult` runs once, later or at once. */
	probe(clusterName: string, address: string, onResult: (result: ProbeResult) => void): void {
		const cluster = this.#clusterOf(clusterName);
		const check = cluster?.of.config.healthChecks[0];
		const host = cluster && hostOf(cluster.of, address);
		if (cluster === undefined || check === undefined || host === undefined) return onResult({ kind: "unknown" });
		const entry = this.#entryOf(cluster, host, check);
		const authority = host.healthCheck?.hostname || host.hostname || clusterName;
		const verifiesName = this.#isDrawn(this.#context.runtime.percent("health_check.verify_cluster", 100));
		const finish = (result: ProbeResult) => {
			if (!check.reuseConnection) this.#drain(entry);
			onResult(!verifiesName && (result.kind === "good" || result.kind === "bad") ? { ...result, isUnverified: true } : result);
		};
		const target: ProbeTarget = { cluster: cluster.runtime, entry, check, authority, verifiesName };
		if (check.probe.kind === "http") probeHttp(target, check.probe, finish);
		else if (check.probe.kind === "grpc") probeGrpc(target, check.probe, finish);
		else probeTcp(target, check.probe, finish);
		this.#context.afterEvent();
	}

	#isDrawn(percent: number): boolean {
		return percent >= 100 || this.#context.random() * 100 < percent;
	}

	/** Made anew when the cluster is another. Clusters that are gone take theirs with them. */
	#clusterOf(name: string): ProbedCluster | undefined {
		const of = this.#context.snapshot.clusters.get(name);
		const known = this.#clusters.get(name);
		if (known !== undefined && known.of === of) return known;
		for (const [other, probed] of this.#clusters) if (this.#context.snapshot.clusters.get(other) !== probed.of) this.#forget(other, probed);
		if (of === undefined) return undefined;
		const fresh = { of, runtime: this.#privateRuntime(of), entries: new Map() };
		this.#clusters.set(name, fresh);
		return fresh;
	}

	/** The same transports; statistics that nobody reads, limits that hold for nobody else. */
	#privateRuntime(of: ClusterRuntime): ClusterRuntime {
		const context: WorkerContext = Object.create(this.#context, {
			stats: { value: createStatsRegistry() },
			post: { value: () => undefined },
			runtime: { value: new RuntimeValues() },
		});
		const probe = of.config.healthChecks[0]?.probe;
		const isHttp2 = probe?.kind === "grpc" || (probe?.kind === "http" && probe.codec === "http2");
		const { alpn } = of.config.healthChecks[0] ?? {};
		const config = {
			...withAlpn(of.config, alpn),
			breakerSlot: noSlot,
			outlier: undefined,
			healthChecks: [],
			upstreamProtocol: isHttp2 ? "http2" : "http1",
		} as const;
		return new ClusterRuntime({ ...config, kind: "static", maxRequestsPerConnection: 0 }, noHosts(of.config.name), context);
	}

	#entryOf({ entries }: ProbedCluster, host: Host, check: HealthCheck): HostEntry {
		const key = formatSocketAddress(host.address);
		const known = entries.get(key);
		if (known?.host === host) return known.entry;
		if (known !== undefined) this.#drain(known.entry);
		const address = probedAddress(host);
		const entry: HostEntry = {
			host: { ...host, address, slot: noSlot, transportMatch: check.transportMatch ?? host.transportMatch },
			address: formatSocketAddress(address),
			priority: 0,
			locality: { region: "", zone: "", subZone: "" },
			active: 0,
			addedAtMs: 0,
			latencyMs: -1,
			latencyAtMs: 0,
			inUse: true,
			attachment: undefined,
			counts: createHostCounts(),
			totals: { active: 0 },
		};
		entries.set(key, { host, entry });
		return entry;
	}

	#drain(entry: HostEntry): void {
		if (entry.attachment instanceof HostPools) entry.attachment.drain();
	}

	#forget(name: string, { runtime, entries }: ProbedCluster): void {
		for (const { entry } of entries.values()) this.#drain(entry);
		runtime.remove();
		this.#clusters.delete(name);
	}

	close(): void {
		for (const [name, probed] of [...this.#clusters]) this.#forget(name, probed);
	}
}

function withAlpn(config: Cluster, alpn: readonly string[] | undefined): Cluster {
	if (alpn === undefined) return config;
	const offering = (transport: UpstreamTransport): UpstreamTransport =>
		transport.kind === "tls" ? { ...transport, tls: { ...transport.tls, alpn } } : transport;
	const transportMatches = config.transportMatches.map((match) => ({ ...match, transport: offering(match.transport) }));
	return { ...config, transport: offering(config.transport), transportMatches };
}

function hostOf(cluster: ClusterRuntime, address: string): Host | undefined {
	for (const entry of cluster.hosts.entries()) if (entry.address === address) return entry.host;
	return undefined;
}

function noHosts(cluster: string): ClusterHosts {
	return { cluster, overprovisioningFactor: undefined, priorities: [] };
}

/** The host's own address and port for checks go before those that it is used by. */
function probedAddress(host: Host): SocketAddress {
	const address = host.healthCheck?.address ?? host.address;
	if (address.kind === "pipe") return address;
	return { ...address, port: host.healthCheck?.port || address.port };
}
