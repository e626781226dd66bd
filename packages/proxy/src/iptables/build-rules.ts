import { type CaptureConfig, capturesLoopback, type DnsCapture } from "./capture-config.ts";
import { createRuleBuilder, type RuleBuilder, type RuleSet, type VersionedWord } from "./rule-set.ts";

// The rules that Istio's data plane documents: https://github.com/istio/istio/wiki/Understanding-IPTables-snapshot
// Order within a chain decides; the functions below stand in that order.

const inbound = "ISTIO_INBOUND";
const redirect = "ISTIO_REDIRECT";
const inRedirect = "ISTIO_IN_REDIRECT";
const output = "ISTIO_OUTPUT";
const outputDns = "ISTIO_OUTPUT_DNS";
const divert = "ISTIO_DIVERT";
const tproxy = "ISTIO_TPROXY";
const drop = "ISTIO_DROP";

/** Marks what the proxy sends to its own pod's address, so that it is captured as inbound. */
const outboundMark = "1338";
const dnsListenerPort = "15053";
/** The address that inbound passthrough connects from; IPv6 has but one loopback address, so it gets one of its own. */
export const inboundPassthroughV6 = "::6/128";
const passthrough: VersionedWord = { v4: "127.0.0.6/32", v6: inboundPassthroughV6 };

/** What to apply, of both families. Pure. */
export function buildCaptureRules(config: CaptureConfig): RuleSet {
	const rules = createRuleBuilder(config);
	const loopback: VersionedWord = { v4: config.ipv4LoopbackCidr, v6: "::1/128" };
	leaveInterfaces(rules, config);
	if (config.dropInvalid) {
		rules.append("mangle", "PREROUTING", ["-m", "conntrack", "--ctstate", "INVALID", "-j", drop]);
		rules.append("mangle", drop, ["-j", "DROP"]);
	}
	rules.append("nat", inbound, ["-p", "tcp", "--dport", config.inboundTunnelPort, "-j", "RETURN"]);
	rules.append("nat", redirect, ["-p", "tcp", "-j", "REDIRECT", "--to-ports", config.proxyPort]);
	rules.append("nat", inRedirect, ["-p", "tcp", "-j", "REDIRECT", "--to-ports", config.inboundCapturePort]);
	captureInbound(rules, config, loopback);
	rules.append("nat", "OUTPUT", ["-j", output]);
	for (const port of config.outboundPortsExclude) {
		rules.append("nat", output, ["-p", "tcp", "--dport", port, "-j", "RETURN"]);
		rules.append("nat", output, ["-p", "udp", "--dport", port, "-j", "RETURN"]);
	}
	rules.append("nat", output, ["-o", "lo", "-s", passthrough, "-j", "RETURN"]);
	for (const uid of config.proxyUids) leaveProxyTraffic(rules, config, loopback, ["--uid-owner", uid]);
	for (const gid of config.proxyGids) leaveProxyTraffic(rules, config, loopback, ["--gid-owner", gid]);
	selectOwnerGroups(rules, config);
	captureDns(rules, config);
	captureOutbound(rules, config, loopback);
	if (config.interceptionMode === "TPROXY") keepSourceAddresses(rules, config, loopback);
	return rules.build();
}

function leaveInterfaces(rules: RuleBuilder, config: CaptureConfig): void {
	for (const name of config.excludeInterfaces) {
		rules.append("nat", "PREROUTING", ["-i", name, "-j", "RETURN"]);
		rules.append("nat", "OUTPUT", ["-o", name, "-j", "RETURN"]);
	}
	if (config.interceptionMode === "TPROXY") {
		for (const name of config.excludeInterfaces) {
			rules.append("mangle", "PREROUTING", ["-i", name, "-j", "RETURN"]);
			rules.append("mangle", "OUTPUT", ["-o", name, "-j", "RETURN"]);
		}
	}
	for (const name of config.rerouteInterfaces) rules.insert("nat", "PREROUTING", 1, ["-i", name, "-j", "RETURN"]);
}

function captureInbound(rules: RuleBuilder, config: CaptureConfig, loopback: VersionedWord): void {
	const { inboundPorts } = config;
	if (inboundPorts.kind === "only" && inboundPorts.ports.length === 0) return;
	const isTproxy = config.interceptionMode === "TPROXY";
	const table = isTproxy ? "mangle" : "nat";
	if (isTproxy) {
		rules.append("mangle", divert, ["-j", "MARK", "--set-mark", config.tproxyMark]);
		rules.append("mangle", divert, ["-j", "ACCEPT"]);
		const mark = ["--tproxy-mark", `${config.tproxyMark}/0xffffffff`, "--on-port", config.inboundCapturePort];
		rules.append("mangle", tproxy, ["!", "-d", loopback, "-p", "tcp", "-j", "TPROXY", ...mark]);
	}
	rules.append(table, "PREROUTING", ["-p", "tcp", "-j", inbound]);
	const capture = (match: readonly string[]): void => {
		if (!isTproxy) return rules.append("nat", inbound, ["-p", "tcp", ...match, "-j", inRedirect]);
		// What belongs to a socket already is only routed to the loopback interface; a new connection goes to the proxy.
		rules.append("mangle", inbound, ["-p", "tcp", ...match, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", divert]);
		rules.append("mangle", inbound, ["-p", "tcp", ...match, "-j", tproxy]);
	};
	if (inboundPorts.kind === "only") {
		for (const port of inboundPorts.ports) capture(["--dport", port]);
		return;
	}
	for (const port of config.inboundPortsExclude) rules.append(table, inbound, ["-p", "tcp", "--dport", port, "-j", "RETURN"]);
	capture([]);
}

/** What the proxy sends is not captured again, but for calls of the application to its own service, which come back as inbound. */
function leaveProxyTraffic(rules: RuleBuilder, config: CaptureConfig, loopback: VersionedWord, owner: readonly [string, string]): void {
	const withDns = config.dns.kind !== "off";
	// With DNS capture, the agent's own questions over TCP must not come back as inbound; only users are told apart there.
	const exceptPorts =
		withDns && owner[0] === "--uid-owner" ? ["-m", "multiport", "!", "--dports", `53,${config.inboundTunnelPort}`] : ["!", "--dport", config.inboundTunnelPort];
	rules.append("nat", output, ["-o", "lo", "!", "-d", loopback, "-p", "tcp", ...exceptPorts, "-m", "owner", ...owner, "-j", inRedirect]);
	// Calls to the own pod's address stay direct. A DNS server on localhost is still captured, hence the exception of port 53.
	if (!capturesLoopback(config)) {
		const exceptDns = withDns ? ["-p", "tcp", "!", "--dport", "53"] : [];
		rules.append("nat", output, ["-o", "lo", ...exceptDns, "-m", "owner", "!", ...owner, "-j", "RETURN"]);
	}
	rules.append("nat", output, ["-m", "owner", ...owner, "-j", "RETURN"]);
}

function selectOwnerGroups(rules: RuleBuilder, { ownerGroups }: CaptureConfig): void {
	if (ownerGroups.kind === "all-except") {
		for (const group of ownerGroups.groups) rules.append("nat", output, ["-m", "owner", "--gid-owner", group, "-j", "RETURN"]);
		return;
	}
	const isNoneOf = ownerGroups.groups.flatMap((group) => ["-m", "owner", "!", "--gid-owner", group]);
	rules.append("nat", output, [...isNoneOf, "-j", "RETURN"]);
}

function captureOutbound(rules: RuleBuilder, config: CaptureConfig, loopback: VersionedWord): void {
	rules.append("nat", output, ["-d", loopback, "-j", "RETURN"]);
	for (const cidr of config.outboundRangesExclude.v4) rules.append("nat", output, ["-d", cidr, "-j", "RETURN"], "v4");
	for (const cidr of config.outboundRangesExclude.v6) rules.append("nat", output, ["-d", cidr, "-j", "RETURN"], "v6");
	for (const port of config.outboundPortsInclude) rules.append("nat", output, ["-p", "tcp", "--dport", port, "-j", redirect]);
	for (const family of ["v4", "v6"] as const) {
		if (config.outboundRanges.kind === "all") {
			rules.append("nat", output, ["-j", redirect], family);
			for (const name of config.rerouteInterfaces) rules.insert("nat", "PREROUTING", 1, ["-i", name, "-j", redirect], family);
			continue;
		}
		for (const cidr of config.outboundRanges[family]) {
			for (const name of config.rerouteInterfaces) rules.insert("nat", "PREROUTING", 1, ["-i", name, "-d", cidr, "-j", redirect], family);
			rules.append("nat", output, ["-d", cidr, "-j", redirect], family);
		}
	}
}

/** TPROXY: the proxy connects to the application from the client's own address; marks bring the answers back to it. */
function keepSourceAddresses(rules: RuleBuilder, config: CaptureConfig, loopback: VersionedWord): void {
	const mark = config.tproxyMark;
	rules.append("mangle", "PREROUTING", ["-p", "tcp", "-m", "mark", "--mark", mark, "-j", "CONNMARK", "--save-mark"]);
	rules.append("mangle", "OUTPUT", ["-p", "tcp", "-o", "lo", "-m", "mark", "--mark", mark, "-j", "RETURN"]);
	const owners = [...config.proxyUids.map((uid) => ["--uid-owner", uid]), ...config.proxyGids.map((gid) => ["--gid-owner", gid])];
	for (const owner of owners) {
		rules.append("mangle", "OUTPUT", ["!", "-d", loopback, "-p", "tcp", "-o", "lo", "-m", "owner", ...owner, "-j", "MARK", "--set-mark", outboundMark]);
	}
	rules.append("mangle", "OUTPUT", ["-p", "tcp", "-m", "connmark", "--mark", mark, "-j", "CONNMARK", "--restore-mark"]);
	rules.insert("mangle", inbound, 1, ["-p", "tcp", "-m", "mark", "--mark", mark, "-j", "RETURN"]);
	rules.insert("mangle", inbound, 2, ["-p", "tcp", "-s", passthrough, "-i", "lo", "-j", "RETURN"]);
	rules.insert("mangle", inbound, 3, ["-p", "tcp", "-i", "lo", "-m", "mark", "!", "--mark", outboundMark, "-j", "RETURN"]);
}

function captureDns(rules: RuleBuilder, config: CaptureConfig): void {
	const { dns } = config;
	if (dns.kind === "off") return;
	rules.append("raw", "OUTPUT", ["-j", outputDns]);
	for (const family of ["v4", "v6"] as const) {
		if (dns.kind === "all" || dns[family].length > 0) rules.append("nat", output, ["-j", outputDns], family);
	}
	for (const { family, match } of questions(dns)) {
		rules.append("nat", outputDns, ["-p", "tcp", "--dport", "53", ...match("-d"), "-j", "REDIRECT", "--to-ports", dnsListenerPort], family);
	}
	for (const { family, match } of questions(dns)) {
		rules.append("nat", outputDns, ["-p", "udp", "--dport", "53", ...match("-d"), "-j", "REDIRECT", "--to-port", dnsListenerPort], family);
	}
	splitDnsZones(rules, config, dns);
}

/** Agent to server and client to agent are tracked apart: one zone would mix answers of the same port pair (UDP). */
function splitDnsZones(rules: RuleBuilder, config: CaptureConfig, dns: Exclude<DnsCapture, { kind: "off" }>): void {
	const owners = [...config.proxyUids.map((uid) => ["--uid-owner", uid]), ...config.proxyGids.map((gid) => ["--gid-owner", gid])];
	for (const owner of owners) {
		rules.append("raw", outputDns, ["-p", "udp", "--dport", "53", "-m", "owner", ...owner, "-j", "CT", "--zone", "1"]);
		rules.append("raw", outputDns, ["-p", "udp", "--sport", dnsListenerPort, "-m", "owner", ...owner, "-j", "CT", "--zone", "2"]);
	}
	for (const family of ["v4", "v6"] as const) {
		if (dns.kind === "all" || dns[family].length > 0) rules.append("raw", "PREROUTING", ["-j", inbound], family);
	}
	for (const { family, match } of questions(dns)) {
		rules.append("raw", outputDns, ["-p", "udp", "--dport", "53", ...match("-d"), "-j", "CT", "--zone", "2"], family);
		rules.append("raw", inbound, ["-p", "udp", "--sport", "53", ...match("-s"), "-j", "CT", "--zone", "1"], family);
	}
}

interface Questions {
	readonly family: "v4" | "v6" | "both";
	readonly match: (side: "-d" | "-s") => readonly string[];
}

function questions(dns: Exclude<DnsCapture, { kind: "off" }>): readonly Questions[] {
	if (dns.kind === "all") return [{ family: "both", match: () => [] }];
	return [
		...dns.v4.map((server): Questions => ({ family: "v4", match: (side) => [side, `${server}/32`] })),
		...dns.v6.map((server): Questions => ({ family: "v6", match: (side) => [side, `${server}/128`] })),
	];
}
