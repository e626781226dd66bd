import {
	loadBalancerAnnotation,
	outlierFailurePercentageAnnotation,
	parseOutlierFailurePercentage,
	parseOwnLoadBalancer,
} from "../destination-rule-annotations.ts";
import { diagnosticCodes } from "../diagnostic.ts";
import type {
	ClientTLSSettings,
	ConnectionPoolSettings,
	DestinationRuleSpec,
	OutlierDetection,
	PortTrafficPolicy,
	TrafficPolicy,
} from "../schema/destination-rule.ts";
import { fqdnProblem, isIpAddress, isPort, wildcardDomainProblem } from "./names.ts";
import type { Report } from "./report.ts";
import {
	checkDuration,
	checkExportTo,
	checkFineDuration,
	checkLabels,
	checkNonNegative,
	checkPercentNumber,
	checkPort,
	checkSelectorLabels,
	checkSelectorSet,
	checkSubsetName,
} from "./rules-common.ts";
import { checkLoadBalancer } from "./rules-load-balancer.ts";
import { quote } from "./suggestion.ts";

// https://istio.io/latest/docs/reference/config/networking/destination-rule/

export function checkDestinationRule(report: Report, spec: DestinationRuleSpec, namespace: string): void {
	const problem = wildcardDomainProblem(spec.host);
	if (problem) report.at("host").error(problem);
	if (spec.trafficPolicy) checkTrafficPolicy(report.at("trafficPolicy"), spec.trafficPolicy);
	warnOfUnverified(report.at("trafficPolicy"), spec);
	const names = new Set<string>();
	for (const [i, subset] of (spec.subsets ?? []).entries()) {
		const at = report.at("subsets", i);
		checkSubsetName(at.at("name"), subset.name);
		if (names.has(subset.name)) at.at("name").error(`the subset ${quote(subset.name)} is defined twice; rename one`);
		names.add(subset.name);
		checkLabels(at.at("labels"), subset.labels);
		if (subset.trafficPolicy) checkTrafficPolicy(at.at("trafficPolicy"), subset.trafficPolicy);
	}
	checkSelectorLabels(report.at("workloadSelector", "matchLabels"), spec.workloadSelector?.matchLabels);
	checkSelectorSet(report.at("workloadSelector"), spec.workloadSelector, spec.workloadSelector?.matchLabels);
	checkExportTo(report.at("exportTo"), spec.exportTo, { namespace, hasWorkloadSelector: spec.workloadSelector !== undefined });
}

export function checkDestinationRuleAnnotations(report: Report, annotations: Readonly<Record<string, string>>): void {
	const parsers = { [outlierFailurePercentageAnnotation]: parseOutlierFailurePercentage, [loadBalancerAnnotation]: parseOwnLoadBalancer };
	for (const [name, parse] of Object.entries(parsers)) {
		const text = annotations[name];
		const problem = text === undefined ? undefined : parse(text).problem;
		if (problem !== undefined) report.at(name).error(problem);
	}
}

function checkTrafficPolicy(report: Report, policy: TrafficPolicy): void {
	if (Object.keys(policy).length === 0) report.error("a traffic policy must have at least one field; remove it");
	if (policy.tunnel && policy.proxyProtocol) report.error("tunnel and proxyProtocol cannot be set together; remove one");
	checkParts(report, policy);
	for (const [i, level] of (policy.portLevelSettings ?? []).entries()) {
		const at = report.at("portLevelSettings", i);
		if (level.port?.number === undefined) at.at("port").error("the port's number is required: it says which port the settings are for");
		checkPort(at.at("port", "number"), level.port?.number);
		if (!level.loadBalancer && !level.connectionPool && !level.outlierDetection && !level.tls) {
			at.error("port level settings must have at least one field besides the port; remove them");
		}
		checkParts(at, level);
	}
	if (policy.tunnel) checkTunnel(report.at("tunnel"), policy.tunnel);
	if (policy.retryBudget?.percent !== undefined) checkPercentNumber(report.at("retryBudget", "percent"), policy.retryBudget.percent);
}

function checkParts(report: Report, policy: Omit<PortTrafficPolicy, "port">): void {
	if (policy.outlierDetection) checkOutlierDetection(report.at("outlierDetection"), policy.outlierDetection);
	if (policy.connectionPool) checkConnectionPool(report.at("connectionPool"), policy.connectionPool);
	if (policy.loadBalancer) checkLoadBalancer(report.at("loadBalancer"), policy.loadBalancer, policy.outlierDetection !== undefined);
	if (policy.tls) checkClientTls(report.at("tls"), policy.tls);
}

function checkOutlierDetection(report: Report, outlier: OutlierDetection): void {
	checkDuration(report.at("interval"), outlier.interval);
	checkDuration(report.at("baseEjectionTime"), outlier.baseEjectionTime);
	checkPercentNumber(report.at("maxEjectionPercent"), outlier.maxEjectionPercent);
	checkPercentNumber(report.at("minHealthPercent"), outlier.minHealthPercent);
	if (!outlier.splitExternalLocalOriginErrors && (outlier.consecutiveLocalOriginFailures ?? 0) > 0) {
		report
			.at("consecutiveLocalOriginFailures")
			.error("consecutiveLocalOriginFailures works only with splitExternalLocalOriginErrors: true; set it, or remove this");
	}
}

export function checkConnectionPool(report: Report, pool: ConnectionPoolSettings): void {
	if (!pool.http && !pool.tcp) report.error("a connection pool must have tcp or http settings; remove it");
	const http = report.at("http");
	for (const field of ["http1MaxPendingRequests", "http2MaxRequests", "maxRequestsPerConnection", "maxRetries", "maxConcurrentStreams"] as const) {
		checkNonNegative(http.at(field), pool.http?.[field]);
	}
	checkDuration(http.at("idleTimeout"), pool.http?.idleTimeout);
	if (pool.http?.h2UpgradePolicy === "UPGRADE" && pool.http.useClientProtocol) {
		http.at("useClientProtocol").error("useClientProtocol cannot be true where h2UpgradePolicy is UPGRADE; remove one");
	}
	checkDuration(http.at("http2KeepAlive", "interval"), pool.http?.http2KeepAlive?.interval);
	checkDuration(http.at("http2KeepAlive", "timeout"), pool.http?.http2KeepAlive?.timeout);
	const tcp = report.at("tcp");
	checkNonNegative(tcp.at("maxConnections"), pool.tcp?.maxConnections);
	for (const field of ["connectTimeout", "maxConnectionDuration"] as const) checkDuration(tcp.at(field), pool.tcp?.[field]);
	// 0s: never.
	checkFineDuration(tcp.at("idleTimeout"), pool.tcp?.idleTimeout);
	checkDuration(tcp.at("tcpKeepalive", "time"), pool.tcp?.tcpKeepalive?.time);
	checkDuration(tcp.at("tcpKeepalive", "interval"), pool.tcp?.tcpKeepalive?.interval);
}

function checkClientTls(report: Report, tls: ClientTLSSettings): void {
	if (tls.credentialName && (tls.clientCertificate || tls.privateKey || tls.caCertificates || tls.caCrl)) {
		report.at("credentialName").error("certificate files cannot stand beside credentialName; remove one or the other");
	}
	if (tls.mode === "MUTUAL" && !tls.credentialName) {
		if (!tls.clientCertificate) report.at("clientCertificate").error("MUTUAL needs a client certificate; give clientCertificate or credentialName");
		if (!tls.privateKey) report.at("privateKey").error("MUTUAL needs a private key; give privateKey or credentialName");
	}
	if (tls.insecureSkipVerify && (tls.caCertificates || tls.credentialName || tls.subjectAltNames?.length || tls.caCrl)) {
		report.at("insecureSkipVerify").error("insecureSkipVerify cannot stand beside caCertificates, credentialName, caCrl or subjectAltNames; remove it");
	}
}

/** Also where credentialName names the certificates: proxies read them only of a rule that selects workloads, and gateways. */
function warnOfUnverified(report: Report, { host, trafficPolicy, workloadSelector }: DestinationRuleSpec): void {
	const check = (at: Report, tls: ClientTLSSettings | undefined, code: string, place: string): void => {
		if (!tls || (tls.mode !== "SIMPLE" && tls.mode !== "MUTUAL") || tls.caCertificates) return;
		if (tls.credentialName && workloadSelector) return;
		at.warn(`TLS mode is ${tls.mode} but no caCertificates are set to validate server identity for host: ${host}${place}; the system's are used`, code);
	};
	check(report.at("tls"), trafficPolicy?.tls, diagnosticCodes.noServerCertificateVerification, "");
	for (const [i, level] of (trafficPolicy?.portLevelSettings ?? []).entries()) {
		const code = diagnosticCodes.noServerCertificateVerificationPort;
		check(report.at("portLevelSettings", i, "tls"), level.tls, code, ` at port ${level.port?.number ?? 0}`);
	}
}

function checkTunnel(report: Report, tunnel: NonNullable<TrafficPolicy["tunnel"]>): void {
	if (tunnel.protocol && !["CONNECT", "POST"].includes(tunnel.protocol)) {
		report.at("protocol").error(`${quote(tunnel.protocol)} is neither CONNECT nor POST`);
	}
	const problem = isIpAddress(tunnel.targetHost) ? undefined : fqdnProblem(tunnel.targetHost);
	if (problem) report.at("targetHost").error(problem);
	if (!isPort(tunnel.targetPort)) checkPort(report.at("targetPort"), tunnel.targetPort);
}
