import type { SidecarPort } from "../schema/common.ts";
import type { ServerTLSSettings } from "../schema/gateway.ts";
import type { IstioEgressListener, IstioIngressListener, SidecarSpec } from "../schema/sidecar.ts";
import { isIpAddress, isPort, isSocketPath } from "./names.ts";
import { checkProtocol, isHttpProtocol, isTlsProtocol } from "./protocols.ts";
import type { Report } from "./report.ts";
import { checkDestination, checkPort, checkPortName, checkSelectorLabels, checkSelectorSet } from "./rules-common.ts";
import { checkConnectionPool } from "./rules-destination-rule.ts";
import { checkNamespacedHost, checkServerTls } from "./rules-gateway.ts";
import { quote } from "./suggestion.ts";

// https://istio.io/latest/docs/reference/config/networking/sidecar/

export function checkSidecar(report: Report, spec: SidecarSpec, namespace: string): void {
	checkSelectorLabels(report.at("workloadSelector", "labels"), spec.workloadSelector?.labels);
	checkSelectorSet(report.at("workloadSelector"), spec.workloadSelector, spec.workloadSelector?.labels);
	if (!spec.egress?.length && !spec.ingress?.length && !spec.outboundTrafficPolicy && !spec.inboundConnectionPool) {
		report.error("a Sidecar must have egress, ingress, outboundTrafficPolicy or inboundConnectionPool; add one");
	}
	checkIngress(report.at("ingress"), spec.ingress ?? []);
	checkEgress(report.at("egress"), spec.egress ?? [], namespace);
	if (spec.inboundConnectionPool) checkConnectionPool(report.at("inboundConnectionPool"), spec.inboundConnectionPool);
	const policy = spec.outboundTrafficPolicy;
	if (!policy?.egressProxy) return;
	if (policy.mode !== "ALLOW_ANY") report.at("outboundTrafficPolicy", "egressProxy").error("egressProxy works only with mode ALLOW_ANY; set it");
	checkDestination(report.at("outboundTrafficPolicy", "egressProxy"), policy.egressProxy);
	if (policy.egressProxy.host.startsWith("*")) report.at("outboundTrafficPolicy", "egressProxy", "host").error("an egress proxy is one host, without *");
	if (!policy.egressProxy.port) report.at("outboundTrafficPolicy", "egressProxy", "port").error("the egress proxy's port is required");
}

function checkTargetPort(report: Report, targetPort: number | undefined): void {
	if (targetPort) report.at("targetPort").error("targetPort has no effect in Sidecars; remove it");
}

function checkIngress(report: Report, listeners: readonly IstioIngressListener[]): void {
	const ports = new Set<number>();
	for (const [i, listener] of listeners.entries()) {
		const at = report.at(i);
		const { number, protocol = "", targetPort } = listener.port;
		if (number === undefined) at.at("port").error("an ingress listener needs a port number");
		checkPort(at.at("port", "number"), number);
		checkProtocol(at.at("port", "protocol"), protocol);
		checkPortName(at.at("port", "name"), listener.port.name);
		checkTargetPort(at.at("port"), targetPort);
		if (number !== undefined && ports.has(number)) at.at("port", "number").error(`the port ${number} has a listener already; ports must be unique`);
		if (number !== undefined) ports.add(number);
		if (listener.bind && !isIpAddress(listener.bind)) at.at("bind").error(`${quote(listener.bind)} is no IP address to bind to`);
		if (listener.defaultEndpoint) checkDefaultEndpoint(at.at("defaultEndpoint"), listener.defaultEndpoint);
		if (listener.connectionPool) checkConnectionPool(at.at("connectionPool"), listener.connectionPool);
		if (listener.connectionPool?.http && !isHttpProtocol(protocol)) {
			at.at("connectionPool", "http").warn("the port's protocol is not HTTP, so only the tcp settings apply");
		}
		if (listener.tls && !isTlsProtocol(listener.port.protocol ?? ""))
			at.at("tls").error("only an ingress of protocol HTTPS or TLS can have tls; set its protocol");
		if (listener.tls) checkIngressTls(at.at("tls"), listener.tls);
	}
}

function checkIngressTls(report: Report, tls: ServerTLSSettings): void {
	for (const field of ["subjectAltNames", "httpsRedirect", "credentialName"] as const) {
		const value = tls[field];
		if (Array.isArray(value) ? value.length > 0 : value) report.at(field).error(`${field} is not supported in a Sidecar's ingress; remove it`);
	}
	if (tls.mode === "ISTIO_MUTUAL" || tls.mode === "AUTO_PASSTHROUGH") report.at("mode").error(`the mode ${tls.mode} is not for a Sidecar's ingress`);
	checkServerTls(report, tls);
}

/** `127.0.0.1:port`, `[::1]:port`, `0.0.0.0:port` (the instance's own address), `[::]:port` or `unix://` and a path. */
function checkDefaultEndpoint(report: Report, endpoint: string): void {
	if (endpoint.startsWith("unix://")) {
		const path = endpoint.slice("unix://".length);
		if (!path.startsWith("/") && !path.startsWith("@")) report.error(`${quote(endpoint)} needs an absolute path after unix://`);
		return;
	}
	const hit = /^(127\.0\.0\.1|0\.0\.0\.0|\[::1\]|\[::\]|):(\d{1,5})$/.exec(endpoint);
	if (!hit || !isPort(Number(hit[2]))) {
		report.error(`${quote(endpoint)} must be 127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT, [::]:PORT or unix:///PATH`);
	}
}

function checkEgress(report: Report, listeners: readonly IstioEgressListener[], namespace: string): void {
	const places = new Set<string>();
	for (const [i, listener] of listeners.entries()) {
		const at = report.at(i);
		if (listener.hosts.length === 0) at.at("hosts").error("an egress listener must have at least one host, like ./*");
		for (const [j, host] of listener.hosts.entries()) checkNamespacedHost(at.at("hosts", j), host, "sidecar");
		warnOfTwice(at.at("hosts"), listener.hosts, namespace);
		if (listener.port) {
			checkEgressPort(at, listener, listener.port, places);
			continue;
		}
		for (const field of ["bind", "captureMode"] as const) if (listener[field]) at.at(field).warn(`${field} has no effect without a port; add one`);
		if (i !== listeners.length - 1) at.error("the egress listener without a port must be the last one; move it down");
	}
}

/** Hosts that others before them bring already, or that `*` behind them does. */
function warnOfTwice(report: Report, hosts: readonly string[], namespace: string): void {
	const services = new Map<string, Set<string>>();
	for (const [i, text] of hosts.entries()) {
		const slash = text.indexOf("/");
		if (slash < 0) continue;
		const [of, host] = [text.slice(0, slash), text.slice(slash + 1)];
		const own = of === "." ? namespace : of;
		const known = services.get(own) ?? new Set<string>();
		services.set(own, known);
		const isTwice = host === "*" ? known.size > 0 : known.has(host) || known.has("*");
		if (isTwice) report.at(i).warn(`duplicated egress host: ${quote(text)}`);
		known.add(host);
	}
	if (services.get("*")?.has("*") && services.size > 1) report.warn("`*/*` host select all resources, no other hosts can be added");
}

function checkEgressPort(report: Report, listener: IstioEgressListener, port: SidecarPort, places: Set<string>): void {
	const { bind = "", captureMode = "DEFAULT" } = listener;
	const number = port.number ?? 0;
	checkProtocol(report.at("port", "protocol"), port.protocol);
	checkPortName(report.at("port", "name"), port.name);
	checkTargetPort(report.at("port"), port.targetPort);
	const place = number === 0 ? bind : String(number);
	if (places.has(place)) report.at("port").error(`${quote(place)} has an egress listener already; ports and sockets must be unique`);
	places.add(place);
	if (number === 0) {
		if (!bind.startsWith("unix://") || !isSocketPath(bind.slice("unix://".length)))
			report.at("port").error("a port without number needs bind: unix:// and a path; give the number, or the socket");
		if (captureMode === "IPTABLES") report.at("captureMode").error("captureMode of a unix socket must be DEFAULT or NONE");
		return;
	}
	checkPort(report.at("port", "number"), number);
	if (bind !== "" && !isIpAddress(bind)) report.at("bind").error(`${quote(bind)} is no IP address to bind to`);
}
