import type { ResolvedMeshConfig } from "@weft/api";
import { parseBool } from "../annotations.ts";
import type { StringMap } from "../json.ts";
import { annotationsOf, mapProxy, type Pod, withAnnotations } from "../pod/pod.ts";

// https://istio.io/latest/docs/ops/integrations/prometheus/#option-1-metrics-merging

export const scrapeVariable = "ISTIO_PROMETHEUS_ANNOTATIONS";
const parts = ["scrape", "path", "port"] as const;

/** Points Prometheus at the agent, which adds the application's metrics to its own; where those are goes to the agent's environment. */
export function mergePrometheus(pod: Pod, mesh: ResolvedMeshConfig, statusPort: string): Pod {
	const annotations = annotationsOf(pod);
	if (!isWanted(annotations, mesh)) return pod;
	const own = readScrape(annotations);
	// So already: injected before, or the user wants it so.
	if (own.port === statusPort) return pod;
	const isSaid = parts.some((part) => own[part] !== undefined);
	const value = JSON.stringify({ scrape: own.scrape ?? "", path: own.path ?? "", port: own.port ?? "" });
	const told = isSaid ? mapProxy(pod, (proxy) => ({ ...proxy, env: [...(proxy.env ?? []), { name: scrapeVariable, value }] })) : pod;
	// Prometheus reads any spelling of these names and picks one: all must go.
	const others = Object.entries(annotations).filter(([name]) => partOf(name) === undefined);
	return withAnnotations(told, { ...Object.fromEntries(others), ...agentAnnotations(statusPort) });
}

export const agentAnnotations = (statusPort: string): StringMap => ({
	"prometheus.io/path": "/stats/prometheus",
	"prometheus.io/port": statusPort,
	"prometheus.io/scrape": "true",
});

function isWanted(annotations: StringMap, mesh: ResolvedMeshConfig): boolean {
	const scrape = readScrape(annotations).scrape;
	if (scrape !== undefined && parseBool(scrape) === false) return false;
	return parseBool(annotations["prometheus.istio.io/merge-metrics"] ?? "") ?? mesh.enablePrometheusMerge;
}

function readScrape(annotations: StringMap): Readonly<Partial<Record<(typeof parts)[number], string>>> {
	return Object.fromEntries(
		Object.entries(annotations).flatMap(([name, value]) => {
			const part = partOf(name);
			return part === undefined ? [] : [[part, value]];
		}),
	);
}

/** Prometheus turns every character of a name that is no letter or digit into an underscore. */
export function partOf(name: string): (typeof parts)[number] | undefined {
	const sanitized = name.replace(/[^a-zA-Z0-9_]/g, "_");
	return parts.find((part) => sanitized === `prometheus_io_${part}`);
}
