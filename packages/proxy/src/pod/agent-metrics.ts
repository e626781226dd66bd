/** Istio's own names: https://istio.io/latest/docs/reference/commands/pilot-agent/#metrics */
export interface AgentCounts {
	scrapes: number;
	failedScrapes: { proxy: number; application: number };
	certificateRequests: number;
	failedCertificateRequests: number;
	/** Responses of the control plane, by type URL. */
	xdsResponses: number;
}

export interface AgentFacts {
	readonly counts: AgentCounts;
	readonly startedMs: number;
	readonly nowMs: number;
	/** From the start of the process until it was first ready; undefined: not yet. */
	readonly startupMs: number | undefined;
	readonly certificateExpiresAtMs: number | undefined;
	readonly cpuSeconds: number;
	readonly residentBytes: number;
}

export function createAgentCounts(): AgentCounts {
	return { scrapes: 0, failedScrapes: { proxy: 0, application: 0 }, certificateRequests: 0, failedCertificateRequests: 0, xdsResponses: 0 };
}

/** The Prometheus text format. */
export function renderAgentMetrics({ counts, startedMs, nowMs, startupMs, certificateExpiresAtMs, cpuSeconds, residentBytes }: AgentFacts): string {
	const expiry = certificateExpiresAtMs === undefined ? undefined : (certificateExpiresAtMs - nowMs) / 1000;
	return [
		metric("cert_expiry_seconds", "gauge", "Seconds until the workload certificate expires; negative: it has.", expiry, '{resource_name="default"}'),
		metric("startup_duration_seconds", "gauge", "From the start of the process until it was ready.", startupMs === undefined ? undefined : startupMs / 1000),
		metric("num_outgoing_requests", "counter", "Requests to the certificate authority.", counts.certificateRequests, '{request_type="csr"}'),
		metric("num_failed_outgoing_requests", "counter", "Those that failed.", counts.failedCertificateRequests, '{request_type="csr"}'),
		metric("xds_proxy_responses", "counter", "Responses of the control plane.", counts.xdsResponses),
		metric("scrapes_total", "counter", "Scrapes of this endpoint.", counts.scrapes),
		metric(
			"scrape_failures_total",
			"counter",
			"Scrapes that a part did not answer.",
			[counts.failedScrapes.proxy, counts.failedScrapes.application],
			['{type="envoy"}', '{type="application"}'],
		),
		metric("process_cpu_seconds_total", "counter", "User and system time.", cpuSeconds),
		metric("process_resident_memory_bytes", "gauge", "Resident memory.", residentBytes),
		metric("process_start_time_seconds", "gauge", "Start of the process, in seconds of the epoch.", startedMs / 1000),
	].join("");
}

function metric(
	name: string,
	type: "counter" | "gauge",
	help: string,
	values: number | undefined | readonly number[],
	labels: string | readonly string[] = "",
): string {
	if (values === undefined) return "";
	const all = typeof values === "number" ? [values] : values;
	const lines = all.map((value, i) => `istio_agent_${name}${typeof labels === "string" ? labels : (labels[i] ?? "")} ${value}\n`);
	return `# HELP istio_agent_${name} ${help}\n# TYPE istio_agent_${name} ${type}\n${lines.join("")}`;
}
