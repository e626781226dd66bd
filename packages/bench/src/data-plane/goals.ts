import type { Report } from "./report.ts";
import { failedShareMax } from "./measurement.ts";
import type { ScenarioName } from "./scenarios.ts";
import { cpuRatioBetween, type Summary } from "./summary.ts";

/** Figures of weft-proxy that goals speak of. Ratios are of requests a core-second. */
type Figure = "toNginx" | "toHaproxy" | "toEnvoy" | "rssMb" | "anonymousMb" | "vcpuAtThousand" | "cpuToTenRoutes";

/** One bound that weft-proxy is to keep, and what was asked earlier where that was less. */
export type Goal = {
	readonly scenario: ScenarioName;
	readonly figure: Figure;
	readonly kind: "atLeast" | "atMost";
	readonly value: number;
	readonly earlier?: number;
};

const atLeast = (scenario: ScenarioName, figure: Figure, value: number, earlier?: number): Goal => goal("atLeast", scenario, figure, value, earlier);
const atMost = (scenario: ScenarioName, figure: Figure, value: number, earlier?: number): Goal => goal("atMost", scenario, figure, value, earlier);

function goal(kind: Goal["kind"], scenario: ScenarioName, figure: Figure, value: number, earlier: number | undefined): Goal {
	return { scenario, figure, kind, value, ...(earlier === undefined ? {} : { earlier }) };
}

export const goals: readonly Goal[] = [
	atLeast("plain", "toNginx", 0.95, 0.85),
	atLeast("plain", "toEnvoy", 2.4, 2.1),
	atLeast("hop", "toNginx", 0.9, 0.8),
	atLeast("hop", "toEnvoy", 2.4, 2.1),
	atLeast("ads", "toEnvoy", 2.1),
	...(["plain", "hop"] as const).map((scenario) => atMost(scenario, "rssMb", 72)),
	...(["h2c", "h2hop"] as const).map((scenario) => atMost(scenario, "rssMb", 80)),
	atMost("ads", "rssMb", 80, 100),
	atMost("ads", "anonymousMb", 40),
	...(["h2c", "h2hop", "grpc"] as const).flatMap((scenario) => [atLeast(scenario, "toHaproxy", 0.83), atLeast(scenario, "toEnvoy", 3)]),
	atLeast("tcp", "toNginx", 0.8),
	atLeast("tcp", "toEnvoy", 1),
	atLeast("tcpbulk", "toNginx", 1),
	atLeast("tcpbulk", "toEnvoy", 1),
	// "Flat": a tenth more is what rounds differ by.
	atMost("routes100", "cpuToTenRoutes", 1.1),
	atMost("routes1000", "cpuToTenRoutes", 1.1),
	atLeast("mesh", "toEnvoy", 3),
	atMost("meshhop", "vcpuAtThousand", 0.06),
];

const figureNames: Readonly<Record<Figure, string>> = {
	toNginx: "of nginx",
	toHaproxy: "of haproxy",
	toEnvoy: "of Envoy",
	rssMb: "MB RSS under load",
	anonymousMb: "MB anonymous under load",
	vcpuAtThousand: "vCPU a proxy at 1 000 requests/s",
	cpuToTenRoutes: "times the CPU a request of 10 routes",
};

export type Verdict = {
	readonly goal: Goal;
	/** As `≥ 0.95 of nginx`. */
	readonly wanted: string;
	/** Undefined when it was not measured. */
	readonly value: number | undefined;
	readonly verdict: "reached" | "missed" | "not measured" | "not judged, the rate was not kept" | "not judged, requests failed";
};

const rateToleranceShare = 0.05;

/** Judges weft-proxy by each goal whose scenario was run. */
export function judge(report: Pick<Report, "summaries" | "samples">): readonly Verdict[] {
	return goals.flatMap((each) => {
		const summary = report.summaries.find(({ scenario, peer }) => scenario === each.scenario && peer === "weft-proxy");
		if (summary === undefined) return [];
		const value = readFigure(each, summary, report);
		return [{ goal: each, wanted: describe(each), value, verdict: verdictOn(each, value, summary) }];
	});
}

function readFigure({ figure, scenario }: Goal, summary: Summary, { samples }: Pick<Report, "samples">): number | undefined {
	if (figure === "vcpuAtThousand") return summary.paced.thousand?.vcpuPerProxy;
	if (figure === "cpuToTenRoutes") return cpuRatioBetween("weft-proxy", scenario, "routes10", samples);
	return summary[figure];
}

function verdictOn({ kind, value: bound, figure }: Goal, value: number | undefined, { paced, requests, failed }: Summary): Verdict["verdict"] {
	if (value === undefined || Number.isNaN(value)) return "not measured";
	if (failed > requests * failedShareMax) return "not judged, requests failed";
	// CPU and memory are a proxy's own, however busy the machine was; only CPU at a rate needs the rate to have been kept.
	const rate = paced.thousand?.requestsPerSecond ?? 0;
	if (figure === "vcpuAtThousand" && Math.abs(rate - 1000) > rateToleranceShare * 1000) return "not judged, the rate was not kept";
	return (kind === "atLeast" ? value >= bound : value <= bound) ? "reached" : "missed";
}

function describe({ kind, value, earlier, figure }: Goal): string {
	return `${kind === "atLeast" ? "≥" : "≤"} ${value} ${figureNames[figure]}${earlier === undefined ? "" : ` (earlier ${earlier})`}`;
}
