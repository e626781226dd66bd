import { isIPv4, isIPv6 } from "node:net";
import type { CaptureConfig, DnsCapture, PortSelection, RangeSelection, Ranges } from "./capture-config.ts";
import type { FlagName, FlagValues } from "./flags.ts";

/** What the machine says, as arguments so that a test can say it. */
export interface Machine {
	/** Nameservers of /etc/resolv.conf; read only where DNS capture needs them. Throws when it cannot be read. */
	nameservers(): readonly string[];
	/** The first address of the pod is an IPv6 one. */
	readonly isIPv6Pod: boolean;
	/** The uid of the user `name`, if there is one. */
	uidOf(name: string): string | undefined;
}

export interface DecodedConfig {
	readonly config: CaptureConfig;
	readonly errors: readonly string[];
	readonly warnings: readonly string[];
}

type Variables = Readonly<Record<string, string | undefined>>;
const ownerGroupsMax = 64;

/** Checks everything before anything is touched: all problems at once, each naming its flag. */
export function decodeCaptureConfig(values: FlagValues, variables: Variables, machine: Machine): DecodedConfig {
	const errors: string[] = [];
	const warnings: string[] = [];
	const read = createReader(values, errors);
	const proxyUids = read.ids("proxy-uid", machine.uidOf(variables["ENVOY_USER"] ?? "istio-proxy") ?? "1337");
	const ipv4LoopbackCidr = variables["ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR"] ?? "127.0.0.1/32";
	if (familyOf(ipv4LoopbackCidr) !== "v4" || !ipv4LoopbackCidr.startsWith("127.") || Number(ipv4LoopbackCidr.split("/")[1]) < 8) {
		errors.push(`$ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: "${ipv4LoopbackCidr}" is no loopback range; write one like 127.0.0.1/32`);
	}
	const config: CaptureConfig = {
		proxyPort: read.port("envoy-port", "15001"),
		inboundCapturePort: read.port("inbound-capture-port", "15006"),
		inboundTunnelPort: read.port("inbound-tunnel-port", "15008"),
		proxyUids,
		proxyGids: read.ids("proxy-gid", proxyUids.join(",")),
		interceptionMode: read.mode(),
		tproxyMark: read.mark("istio-inbound-tproxy-mark", "1337"),
		tproxyRouteTable: read.number("istio-inbound-tproxy-route-table", "133", 0xffffffff),
		inboundPorts: read.portSelection("istio-inbound-ports"),
		inboundPortsExclude: read.ports("istio-local-exclude-ports"),
		outboundPortsInclude: read.ports("istio-outbound-ports"),
		outboundPortsExclude: read.ports("istio-local-outbound-ports-exclude"),
		outboundRanges: read.rangeSelection("istio-service-cidr"),
		outboundRangesExclude: read.ranges("istio-service-exclude-cidr"),
		rerouteInterfaces: read.interfaces("kube-virt-interfaces"),
		excludeInterfaces: read.interfaces("istio-exclude-interfaces"),
		ownerGroups: ownerGroups(variables, errors),
		dns: dnsCapture(values, machine, errors, warnings),
		dropInvalid: values["drop-invalid"] === "true",
		ipv6: values["dual-stack"] === "true" || machine.isIPv6Pod,
		ipv4LoopbackCidr,
	};
	return { config, errors, warnings };
}

function createReader(values: FlagValues, errors: string[]) {
	const list = (flag: FlagName): readonly string[] => splitList(values[flag] ?? "");
	const check = (flag: FlagName, entries: readonly string[], isValid: (entry: string) => boolean, what: string): readonly string[] => {
		for (const entry of entries) if (!isValid(entry)) errors.push(`--${flag}: "${entry}" is no ${what}`);
		return entries;
	};
	const ports = (flag: FlagName) => check(flag, list(flag), isPortOrRange, "port; write 1 to 65535, or a range like 8000:8010");
	const ranges = (flag: FlagName): Ranges => {
		const entries = check(
			flag,
			entriesOf(values[flag] ?? ""),
			(cidr) => familyOf(cidr) !== undefined,
			"IP range; write CIDR form, like 10.0.0.0/8 or fd00::/8",
		);
		return { v4: entries.filter((cidr) => familyOf(cidr) === "v4"), v6: entries.filter((cidr) => familyOf(cidr) === "v6").map(canonicalV6) };
	};
	const number = (flag: FlagName, fallback: string, max: number): string => {
		const text = values[flag] || fallback;
		if (!/^\d{1,10}$/.test(text) || Number(text) > max) errors.push(`--${flag}: "${text}" is no number from 0 to ${max}`);
		return text;
	};
	return {
		number,
		mark: (flag: FlagName, fallback: string): string =>
			/^0x[0-9a-f]{1,8}$/i.test(values[flag] ?? "") ? (values[flag] ?? "") : number(flag, fallback, 0xffffffff),
		ports,
		ranges,
		port: (flag: FlagName, fallback: string): string => check(flag, [values[flag] || fallback], isPort, "port; write 1 to 65535")[0] ?? fallback,
		ids: (flag: FlagName, fallback: string): readonly string[] =>
			check(flag, splitList(values[flag] || fallback), (id) => /^\d{1,10}$/.test(id) && Number(id) <= 0xfffffffe, "numeric id"),
		interfaces: (flag: FlagName): readonly string[] => check(flag, list(flag), isInterfaceName, "name of a network interface"),
		portSelection: (flag: FlagName): PortSelection => (values[flag] === "*" ? { kind: "all" } : { kind: "only", ports: ports(flag) }),
		rangeSelection: (flag: FlagName): RangeSelection => (values[flag] === "*" ? { kind: "all" } : { kind: "only", ...ranges(flag) }),
		mode(): "REDIRECT" | "TPROXY" {
			const mode = values["istio-inbound-interception-mode"] || "REDIRECT";
			if (mode === "REDIRECT" || mode === "TPROXY") return mode;
			errors.push(`--istio-inbound-interception-mode: "${mode}" is neither REDIRECT nor TPROXY`);
			return "REDIRECT";
		},
	};
}

/** What is excluded is only read where all groups are included. */
function ownerGroups(variables: Variables, errors: string[]): CaptureConfig["ownerGroups"] {
	const include = variables["ISTIO_OUTBOUND_OWNER_GROUPS"] ?? "*";
	const kind = include === "*" ? "all-except" : "only";
	const groups = splitList(kind === "only" ? include : (variables["ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE"] ?? ""));
	// One rule matches all of them, and iptables limits how many matches a rule has.
	if (kind === "only" && groups.length > ownerGroupsMax) errors.push(`${groups.length} owner groups are given, at most ${ownerGroupsMax} can be told apart`);
	for (const group of groups) if (!/^[A-Za-z0-9_][\w.-]*$/.test(group)) errors.push(`"${group}" is no name or number of a group`);
	return { kind, groups };
}

function dnsCapture(values: FlagValues, machine: Machine, errors: string[], warnings: string[]): DnsCapture {
	if (values["redirect-dns"] !== "true") return { kind: "off" };
	if (values["capture-all-dns"] === "true") return { kind: "all" };
	let servers: readonly string[];
	try {
		servers = machine.nameservers();
	} catch (error) {
		errors.push(`failed to load /etc/resolv.conf: ${error instanceof Error ? error.message : String(error)}`);
		return { kind: "off" };
	}
	const [v4, v6] = [servers.filter((address) => isIPv4(address)), servers.filter((address) => isIPv6(address))];
	if (v4.length > 0 || v6.length > 0) return { kind: "servers", v4, v6 };
	warnings.push("--redirect-dns is set, but /etc/resolv.conf names no server and --capture-all-dns is not set: DNS is not captured");
	return { kind: "off" };
}

const entriesOf = (text: string): readonly string[] => text.split(",").filter((entry) => entry !== "");

/** iptables skips blanks around a port, a name or an id; those of an IP range are refused. */
const splitList = (text: string): readonly string[] => entriesOf(text).flatMap((entry) => entry.trim() || []);

const isPort = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65535;

function isPortOrRange(text: string): boolean {
	const [low = "", high, ...rest] = text.split(":");
	if (rest.length > 0 || !isPort(low)) return false;
	return high === undefined || (isPort(high) && Number(high) >= Number(low));
}

/** A name that Linux allows and that iptables cannot mistake for a flag; a trailing + stands for all that begin so. */
const isInterfaceName = (text: string): boolean => /^[A-Za-z0-9_][^\s/,"'\\]{0,14}$/.test(text);

function familyOf(cidr: string): "v4" | "v6" | undefined {
	const [address = "", bits = "", ...rest] = cidr.split("/");
	if (rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(bits)) return undefined;
	if (isIPv4(address)) return Number(bits) <= 32 ? "v4" : undefined;
	return isIPv6(address) && !address.includes("%") && Number(bits) <= 128 ? "v6" : undefined;
}

function canonicalV6(cidr: string): string {
	const [address = "", bits = ""] = cidr.split("/");
	if (address.includes(".")) return cidr;
	return `${new URL(`http://[${address}]`).hostname.slice(1, -1)}/${bits}`;
}
