import { parseDurationMs } from "../duration.ts";
import type { ProxyConfig } from "../schema/proxy-config.ts";
import { fqdnProblem, isIpAddress, isPort } from "./names.ts";
import type { Report } from "./report.ts";
import { checkDuration, checkPort } from "./rules-common.ts";
import { quote } from "./suggestion.ts";

/** MeshConfig's `defaultConfig`, and the annotation proxy.istio.io/config. What is not there has Istio's default, which is valid. */
export function checkProxyConfig(report: Report, config: ProxyConfig): void {
	for (const field of ["configPath", "binaryPath", "serviceCluster"] as const) {
		if (config[field] === "") report.at(field).error(`${field} must not be empty; leave it out to have the default`);
	}
	checkDuration(report.at("drainDuration"), config.drainDuration);
	if ((parseDurationMs(config.drainDuration ?? "") ?? 0) % 1000 !== 0) report.at("drainDuration").error("draining takes whole seconds; round it");
	checkAddress(report.at("discoveryAddress"), config.discoveryAddress);
	for (const name of ["zipkin", "datadog", "lightstep"] as const) {
		const collector = config.tracing?.[name];
		// The node's address is known in the pod.
		if (collector) checkAddress(report.at("tracing", name, "address"), (collector.address ?? "").replace("$(HOST_IP)", "127.0.0.1"));
	}
	if (config.statsdUdpAddress) checkAddress(report.at("statsdUdpAddress"), config.statsdUdpAddress);
	for (const name of ["envoyMetricsService", "envoyAccessLogService"] as const) {
		const address = config[name]?.address;
		if (address) checkAddress(report.at(name, "address"), address);
	}
	for (const field of ["proxyAdminPort", "statusPort"] as const) checkPort(report.at(field), config[field]);
}

/** `host:port`, an IPv6 address in brackets. */
function checkAddress(report: Report, address: string | undefined): void {
	if (address === undefined) return;
	const [, bracketed, name = bracketed ?? "", port] = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d+)$/.exec(address) ?? [];
	const isHost = isIpAddress(name) || fqdnProblem(name) === undefined;
	if (!isHost || !isPort(Number(port))) report.error(`${quote(address)} is no address; write HOST:PORT`);
}
