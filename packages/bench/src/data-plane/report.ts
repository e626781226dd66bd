import { formatDetails } from "./report-details.ts";
import type { IdleSample } from "./idle.ts";
import { streamsPerConnection } from "./load.ts";
import type { MachineShape } from "./machine.ts";
import { quietShareMax, type Sample } from "./measurement.ts";
import { formatOverview } from "./overview.ts";
import type { MissingPeer } from "./peers.ts";
import type { Summary } from "./summary.ts";

export type Report = {
	readonly date: string;
	readonly machine: MachineShape;
	readonly versions: Readonly<Record<string, string>>;
	readonly missing: readonly MissingPeer[];
	readonly connections: number;
	readonly secondsPerRound: number;
	readonly bodyBytes: number;
	readonly summaries: readonly Summary[];
	readonly samples: readonly Sample[];
	readonly idle: readonly IdleSample[];
};

/** The report as a page: how it was measured, one table of everything with the goals, then the figures of each scenario. */
export function formatReport(report: Report): string {
	const { machine } = report;
	const versions = Object.entries(report.versions).map(([name, version]) => `${name} ${version}`);
	const lines = [
		"# Data plane",
		"",
		"Written by `npm run bench -- data-plane`. Medians over the rounds; the proxies take turns within each round.",
		"",
		`- ${report.date}`,
		`- ${machine.cores} × ${machine.model}, ${machine.memoryMb} MB, ${machine.kernel}; load average at the start ${machine.loadBefore.toFixed(2)}`,
		`- ${versions.join(", ")}`,
		`- One worker each, pinned to core 0; load (wrk, ${report.connections} connections; for HTTP/2 h2load, a quarter of them with ${streamsPerConnection} streams each; for bulk an eighth of them; ${report.secondsPerRound} s a round) and backends (nginx; nghttpd for gRPC) on core 1; body ${report.bodyBytes} bytes.`,
		"- CPU: user and system time of all of the peer's proxies. Memory: the larger proxy of the peer, ready and idle, and under load.",
		"- Ratios: of requests a core-second (1 s ÷ CPU a request), so above 1 is less CPU than the other. Goals are the stricter of those that were set; an earlier, weaker one is in brackets.",
		"- Half load: h2load at half of the rate that the peer reached in the same round; latencies from each request's start.",
		"- With mesh features, Envoy and weft-proxy get the same file; of it, a stock Envoy leaves out Istio's own filters (metadata exchange, ALPN, istio.stats), weft-proxy runs them.",
		"- Core busy: what the peer used of core 0; well under 100, the load or the backend set the rate. Others: what anything else used of either core.",
		...disturbance(report.samples),
		...report.missing.map((peer) => `- Not measured: ${peer.name} (${peer.fix})`),
		...formatOverview(report),
		...formatDetails(report),
	];
	return `${lines.join("\n")}\n`;
}

function disturbance(samples: readonly Sample[]): readonly string[] {
	const disturbed = samples.filter((sample) => sample.foreignShare > quietShareMax).length;
	if (disturbed === 0) return [];
	return [
		`- **Disturbed**: in ${disturbed} of ${samples.length} measurements others used more than ${quietShareMax * 100} % of a core; compare CPU, not rates or latencies.`,
	];
}
