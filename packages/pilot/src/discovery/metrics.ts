import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { ResourceStats } from "../translator/encode.ts";

// Istio's names (pilot/pkg/xds/monitoring in the Istio documentation), so that its dashboards and alerts apply.
const secondsBuckets = [0.01, 0.05, 0.1, 0.5, 1, 3, 5, 10, 20, 30];

export interface DiscoveryMetrics {
	readonly connected: Gauge;
	/** Of each response that is sent, so it is counted as cheaply as can be. */
	readonly pushes: Map<string, number>;
	readonly triggers: Counter<"type">;
	readonly pushSeconds: Histogram<"type">;
	readonly convergenceSeconds: Histogram;
	readonly configBytes: Histogram<"type">;
	readonly rejects: Counter<"type">;
	readonly totalRejects: Counter;
	readonly debounceSeconds: Histogram;
	readonly services: Gauge;
	readonly virtualServices: Gauge;
	readonly missingSecrets: Counter;
}

export function createDiscoveryMetrics(registry: Registry): DiscoveryMetrics {
	const registers = [registry];
	const pushes = new Map<string, number>();
	exposeCounts(registry, "pilot_xds_pushes", "Responses sent to proxies, by type.", () => pushes);
	return {
		connected: new Gauge({ name: "pilot_xds", help: "Number of endpoints connected to this control plane using xDS.", registers }),
		pushes,
		triggers: new Counter({ name: "pilot_push_triggers", help: "Pushes, by what caused them.", labelNames: ["type"], registers }),
		pushSeconds: new Histogram({
			name: "pilot_xds_push_time",
			help: "Seconds to translate one push.",
			labelNames: ["type"],
			buckets: secondsBuckets,
			registers,
		}),
		convergenceSeconds: new Histogram({
			name: "pilot_proxy_convergence_time",
			help: "Seconds between a change and a proxy having it in force.",
			buckets: secondsBuckets,
			registers,
		}),
		configBytes: new Histogram({
			name: "pilot_xds_config_size_bytes",
			help: "Size of responses, by type.",
			labelNames: ["type"],
			buckets: [1e3, 1e4, 1e5, 1e6, 4e6, 1e7, 4e7],
			registers,
		}),
		rejects: new Counter({ name: "pilot_xds_rejects", help: "Responses that a proxy refused, by type.", labelNames: ["type"], registers }),
		totalRejects: new Counter({ name: "pilot_total_xds_rejects", help: "Responses that a proxy refused.", registers }),
		debounceSeconds: new Histogram({
			name: "pilot_debounce_time",
			help: "Seconds that changes were gathered before a push.",
			buckets: secondsBuckets,
			registers,
		}),
		services: new Gauge({ name: "pilot_services", help: "Services known to the control plane.", registers }),
		missingSecrets: new Counter({ name: "pilot_sds_certificate_errors_total", help: "Secrets that a proxy asked for and was not sent.", registers }),
		virtualServices: new Gauge({ name: "pilot_virt_services", help: "VirtualServices known to the control plane.", registers }),
	};
}

/** Weft's own: how often a resource had to be built and encoded, whoever it went to. They grow with what differs, not with proxies. */
export function exposeResourceStats(registry: Registry, { builds, encodes }: ResourceStats): void {
	exposeCounts(registry, "weft_resource_builds_total", "Resources built from the model, by type.", () => Object.entries(builds));
	exposeCounts(registry, "weft_resource_encodes_total", "Resources encoded to bytes, by type.", () => Object.entries(encodes));
}

/** What is counted elsewhere, read when somebody asks. */
function exposeCounts(registry: Registry, name: string, help: string, read: () => Iterable<readonly [type: string, count: number]>): void {
	new Counter({
		name,
		help,
		labelNames: ["type"],
		registers: [registry],
		collect() {
			this.reset();
			for (const [type, count] of read()) this.inc({ type }, count);
		},
	});
}
