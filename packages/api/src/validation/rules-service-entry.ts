import type { ServiceEntrySpec, WorkloadEntrySpec } from "../schema/service-entry.ts";
import { fqdnProblem, isDnsLabel, isIpAddress, isSubnet, wildcardDomainProblem } from "./names.ts";
import { checkProtocol, isHttpProtocol, isTlsProtocol } from "./protocols.ts";
import type { Report } from "./report.ts";
import { checkExportTo, checkLabels, checkPort, checkSelectorLabels, checkSelectorSet } from "./rules-common.ts";
import { quote } from "./suggestion.ts";

// https://istio.io/latest/docs/reference/config/networking/service-entry/

export function checkServiceEntry(report: Report, spec: ServiceEntrySpec, namespace: string): void {
	if (spec.hosts.length === 0) report.at("hosts").error("service entry must have at least one host");
	for (const [i, host] of spec.hosts.entries()) {
		if (host === "*") report.at("hosts", i).error(`"*" is not allowed in a service entry; write a domain, like *.example.com`);
		else {
			const problem = wildcardDomainProblem(host);
			if (problem) report.at("hosts", i).error(problem);
		}
	}
	if (spec.workloadSelector && spec.endpoints?.length) {
		report.at("workloadSelector").error("only one of workloadSelector and endpoints is allowed; remove one");
	}
	checkSelectorLabels(report.at("workloadSelector", "labels"), spec.workloadSelector?.labels);
	checkSelectorSet(report.at("workloadSelector"), spec.workloadSelector, spec.workloadSelector?.labels);
	checkSharedPorts(report.at("hosts"), spec);
	checkPorts(report.at("ports"), spec);
	checkAddresses(report.at("addresses"), spec);
	checkResolution(report, spec);
	checkExportTo(report.at("exportTo"), spec.exportTo, { namespace, isServiceEntry: true });
}

function checkPorts(report: Report, spec: ServiceEntrySpec): void {
	const names = new Set<string>();
	const numbers = new Set<number>();
	const isBare = !spec.addresses?.length && (spec.resolution ?? "NONE") === "NONE";
	for (const [i, port] of (spec.ports ?? []).entries()) {
		const at = report.at(i);
		checkPort(at.at("number"), port.number);
		if (port.targetPort !== undefined) checkPort(at.at("targetPort"), port.targetPort);
		if (!isDnsLabel(port.name)) at.at("name").error(`${quote(port.name)} is no valid port name; use letters, digits and "-"`);
		if (names.has(port.name)) at.at("name").error(`the port name ${quote(port.name)} is already defined; rename one`);
		if (numbers.has(port.number)) at.at("number").error(`the port ${port.number} is already defined; remove one`);
		names.add(port.name);
		numbers.add(port.number);
		checkProtocol(at.at("protocol"), port.protocol);
		// With another resolution each host is given an address.
		if (isBare && (!port.protocol || port.protocol === "TCP")) at.warn("without addresses a port of TCP takes connections to any host; add addresses");
	}
}

/** Only HTTP's authority and TLS's server name tell hosts on one port apart. */
function checkSharedPorts(report: Report, spec: ServiceEntrySpec): void {
	if (spec.hosts.length < 2 || (spec.resolution ?? "NONE") === "NONE") return;
	const blind = spec.ports?.find(({ protocol = "" }) => !isHttpProtocol(protocol) && !isTlsProtocol(protocol));
	if (blind) report.error(`multiple hosts provided with non-HTTP, non-TLS ports (${blind.name}); write a service entry for each host`);
}

function checkAddresses(report: Report, spec: ServiceEntrySpec): void {
	const resolution = spec.resolution ?? "NONE";
	for (const [i, address] of (spec.addresses ?? []).entries()) {
		if (!isSubnet(address)) report.at(i).error(`${quote(address)} is no IP address or CIDR`);
		else if (address.includes("/") && resolution !== "NONE" && resolution !== "STATIC") {
			report.at(i).error(`CIDR addresses are allowed only with resolution NONE or STATIC, not ${resolution}; write single addresses`);
		}
	}
}

/** Resolved by what each request names, so the name has to be in it: the Host header, or the SNI. */
function checkDynamicDns(report: Report, { hosts, ports, addresses }: ServiceEntrySpec): void {
	for (const [i, host] of hosts.entries()) {
		if (!host.startsWith("*")) report.at("hosts", i).error(`${quote(host)} is no wildcard; with resolution DYNAMIC_DNS write *.domain, else resolution DNS`);
	}
	if (addresses?.length)
		report.at("addresses").error("no addresses are allowed with resolution DYNAMIC_DNS: requests are told apart by their hosts; remove them");
	for (const [i, { protocol = "" }] of (ports ?? []).entries()) {
		if (dynamicProtocols.includes(protocol.toUpperCase())) continue;
		report
			.at("ports", i, "protocol")
			.error(`DYNAMIC_DNS is for ports of protocol ${dynamicProtocols.join(", ")}, not ${protocol || "unknown"}; write one of them`);
	}
}

/** Requests or handshakes of these name their host. */
const dynamicProtocols = ["HTTP", "HTTP2", "GRPC", "TLS"];

function checkResolution(report: Report, spec: ServiceEntrySpec): void {
	const endpoints = spec.endpoints ?? [];
	const resolution = spec.resolution ?? "NONE";
	if (resolution === "DYNAMIC_DNS") checkDynamicDns(report, spec);
	if ((resolution === "NONE" || resolution === "DYNAMIC_DNS") && endpoints.length > 0) {
		report.at("endpoints").error(`no endpoints are allowed with resolution ${resolution}; set resolution STATIC or DNS`);
	}
	if (resolution === "DNS_ROUND_ROBIN" && endpoints.length > 1) {
		report.at("endpoints").error("with resolution DNS_ROUND_ROBIN there can be only one endpoint; set resolution DNS");
	}
	const byDns = resolution === "DNS" || resolution === "DNS_ROUND_ROBIN";
	if (byDns && endpoints.length === 0) {
		for (const [i, host] of spec.hosts.entries()) {
			if (isIpAddress(host) || !host.startsWith("*")) continue;
			report.at("hosts", i).error(`${quote(host)} cannot be resolved: with resolution ${resolution} and no endpoints a host must be fully qualified`);
		}
	}
	const ports = new Set((spec.ports ?? []).map((port) => port.name));
	if (spec.workloadSelector && resolution !== "STATIC") {
		report.at("workloadSelector").warn(`workloadSelector should not be set with resolution ${resolution}; set resolution STATIC`);
	}
	for (const [i, endpoint] of endpoints.entries()) {
		const at = report.at("endpoints", i);
		if (endpoint.address?.startsWith("unix://")) {
			if (byDns) at.at("address").error("a unix socket is not found by DNS; set resolution STATIC");
			else if ((spec.ports ?? []).length !== 1) report.at("ports").error("exactly 1 port is required for endpoints on unix sockets");
		}
		checkWorkloadEntry(at, endpoint, byDns ? "name" : "address");
		for (const name of Object.keys(endpoint.ports ?? {})) {
			if (!ports.has(name)) at.at("ports", name).error(`the endpoint's port ${quote(name)} is not defined by the service entry; add it to ports`);
		}
	}
}

/** @param wants `address`: an IP address or socket path only, as STATIC resolution needs; `name`: a DNS name as well. */
export function checkWorkloadEntry(report: Report, entry: WorkloadEntrySpec, wants: "address" | "name" = "name"): void {
	checkLabels(report.at("labels"), entry.labels);
	const address = entry.address ?? "";
	const ports = Object.entries(entry.ports ?? {});
	for (const [name, port] of ports) {
		if (!isDnsLabel(name)) report.at("ports", name).error(`${quote(name)} is no valid port name; use letters, digits and "-"`);
		checkPort(report.at("ports", name), port);
	}
	const at = report.at("address");
	if (address === "") {
		if (!entry.network) at.error("the address must be set (an IP address or a DNS name), unless network is");
		else at.warn(`the address is unset; the network ${quote(entry.network)} must have a gateway to reach it`);
	} else if (address.startsWith("unix://")) {
		checkUnixAddress(report, address.slice("unix://".length), ports.length);
	} else if (!isIpAddress(address)) {
		const problem = wants === "address" ? `${quote(address)} is no IP address, as resolution STATIC needs it; set resolution DNS` : fqdnProblem(address);
		if (problem) at.error(problem);
	}
}

function checkUnixAddress(report: Report, path: string, portCount: number): void {
	const isAbstract = path.startsWith("@");
	if (path === "" || (!isAbstract && !path.startsWith("/"))) report.at("address").error(`${quote(path)} is no absolute path of a socket`);
	if (portCount > 0) report.at("ports").error("an endpoint on a unix socket has no ports; remove them");
}
