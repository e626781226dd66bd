import type { Prober } from "./probers.ts";
import type { ScrapeConfig } from "./scrape-config.ts";

/** What a proxy in a pod does beyond serving: the ports that Kubernetes asks, and how it ends. */
export interface PodOptions {
	readonly isSidecar: boolean;
	readonly podIp: string;
	/** Where the application's probes go: the pod's address, or loopback for applications that listen nowhere else. */
	readonly probeAddress: string;
	/** Of the agent's own server: 15020. */
	readonly statusPort: number;
	readonly logLevel: string;
	readonly logAsJson: boolean;
	/** By path, e.g. `/app-health/web/livez`. */
	readonly probers: ReadonlyMap<string, Prober>;
	/** Where the application's metrics are; undefined: it has none. */
	readonly scrape: ScrapeConfig | undefined;
	readonly drain: PodDrain;
	/** What names of the application's DNS queries mean; undefined: they are not captured. */
	readonly dns: { readonly namespace: string; readonly domain: string } | undefined;
}

export interface PodDrain {
	/** How long connections are served after SIGTERM. */
	readonly terminationMs: number;
	/** Instead: until none is left, but no shorter than `minimumMs`. */
	readonly exitsOnZeroConnections: boolean;
	readonly minimumMs: number;
	/** How long `/drain` spreads the closing of inbound connections over. */
	readonly listenersMs: number;
}

/** Listeners of the bootstrap, as Istio's: readiness, and the data path's statistics. */
export const podPorts = { status: 15_021, prometheus: 15_090 } as const;
