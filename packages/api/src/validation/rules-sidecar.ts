import type { IstioEgressListener, IstioIngressListener, SidecarSpec } from "../schema/sidecar.ts";
import { isIpAddress, isPort } from "./names.ts";
import { checkProtocol, isTlsProtocol } from "./protocols.ts";
import type { Report } from "./report.ts";
import { checkDestination, checkPort, checkSelectorLabels } from "./rules-common.ts";
import { checkConnectionPool } from "./rules-destination-rule.ts";
import { checkNamespacedHost, checkServerTls } from "./rules-gateway.ts";
import { quote } from "./suggestion.ts";

// https://istio.io/latest/docs/reference/config/networking/sidecar/

export function checkSidecar(report: Report, spec: SidecarSpec): void {
	checkSelectorLabels(report.at("workloadSelector", "labels"), spec.workloadSelector?.labels);
	if (!spec.egress?.length && !spec.ingress?.length && !spec.outboundTrafficPolicy && !spec.inboundConnectionPool) {
		report.error("a Sidecar must have egress, ingress, outboundTrafficPolicy or inboundConnectionPool; add one");
	}
	checkIngress(report.at("ingress"), spec.ingress ?? []);
	checkEgress(report.at("egress"), spec.egress ?? []);
	if (spec.inboundConnectionPool) checkConnectionPool(report.at("inboundConnectionPool"), spec.inboundConnectionPool);
	const policy = spec.outboundTrafficPolicy;
	if (!policy?.egressProxy) return;
	if (policy.mode !== "ALLOW_ANY") report.at("outboundTrafficPolicy", "egressProxy").error("egressProxy works only with mode ALLOW_ANY; set it");
	checkDestination(report.at("outboundTrafficPolicy", "egressProxy"), policy.egressProxy);
}

function checkBind(report: Report, bind: string | undefined, portNumber: number | undefined): void {
	if (bind === undefined || bind === "") return;
	if (bind.startsWith("unix://")) {
		if (portNumber) report.error("a unix socket has no port; remove the port's number, or bind to an IP address");
	} else if (!isIpAddress(bind)) report.error(`${quote(bind)} is neither an IP address nor unix:// and a path`);
}

function checkIngress(report: Report, listeners: readonly IstioIngressListener[]): void {
	const ports = new Set<number>();
	for (const [i, listener] of listeners.entries()) {
		const at = report.at(i);
		const port = listener.port.number;
		if (port === undefined) at.at("port").error("an ingress listener needs a port number");
		checkPort(at.at("port", "number"), port);
		checkProtocol(at.at("port", "protocol"), listener.port.protocol);
		if (port !== undefined && ports.has(port)) at.at("port", "number").error(`the port ${port} has a listener already; ports must be unique`);
		if (port !== undefined) ports.add(port);
		checkBind(at.at("bind"), listener.bind, undefined);
		if (listener.defaultEndpoint) checkDefaultEndpoint(at.at("defaultEndpoint"), listener.defaultEndpoint);
		if (listener.connectionPool) checkConnectionPool(at.at("connectionPool"), listener.connectionPool);
		if (!listener.tls) continue;
		if (!isTlsProtocol(listener.port.protocol ?? "")) at.at("tls").error("tls needs a port of protocol HTTPS or TLS");
		if (!["SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"].includes(listener.tls.mode ?? "PASSTHROUGH")) {
			at.at("tls", "mode").error("an ingress listener's tls mode must be SIMPLE, MUTUAL or OPTIONAL_MUTUAL");
		}
		checkServerTls(at.at("tls"), listener.tls);
	}
}

/** `127.0.0.1:port`, `[::1]:port`, `0.0.0.0:port` (the instance's own address), `[::]:port` or `unix://` and a path. */
function checkDefaultEndpoint(report: Report, endpoint: string): void {
	if (endpoint.startsWith("unix://")) {
		const path = endpoint.slice("unix://".length);
		if (!path.startsWith("/") && !path.startsWith("@")) report.error(`${quote(endpoint)} needs an absolute path after unix://`);
		return;
	}
	const hit = /^(127\.0\.0\.1|0\.0\.0\.0|\[::1\]|\[::\]):(\d{1,5})$/.exec(endpoint);
	if (!hit || !isPort(Number(hit[2]))) {
		report.error(`${quote(endpoint)} must be 127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT, [::]:PORT or unix:///PATH`);
	}
}

function checkEgress(report: Report, listeners: readonly IstioEgressListener[]): void {
	const places = new Set<string>();
	for (const [i, listener] of listeners.entries()) {
		const at = report.at(i);
		if (listener.hosts.length === 0) at.at("hosts").error("an egress listener must have at least one host, like ./*");
		for (const [j, host] of listener.hosts.entries()) checkNamespacedHost(at.at("hosts", j), host, "sidecar");
		const port = listener.port?.number;
		if (port === undefined) {
			const isUnix = listener.bind?.startsWith("unix://") === true;
			if (!isUnix && listener.bind) at.at("bind").error("bind needs a port; add it");
			if (!isUnix && listener.captureMode && listener.captureMode !== "DEFAULT") at.at("captureMode").error("captureMode needs a port; add it");
			if (!isUnix && i !== listeners.length - 1) at.error("the egress listener without a port must be the last one; move it down");
			continue;
		}
		checkPort(at.at("port", "number"), port);
		checkProtocol(at.at("port", "protocol"), listener.port?.protocol);
		checkBind(at.at("bind"), listener.bind, port);
		const place = `${listener.bind ?? ""}:${port}`;
		if (places.has(place)) at.at("port", "number").error(`the port ${port} has an egress listener already; bind address and port must be unique`);
		places.add(place);
	}
}
