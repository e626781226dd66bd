/** The rules of Istio's init container, as far as these tests turn them. The proxy runs as user and group 1337. */
export interface CaptureOptions {
	readonly mode?: "REDIRECT" | "TPROXY";
	readonly excludeInboundPorts?: readonly number[];
	readonly excludeOutboundPorts?: readonly number[];
}

const proxyPorts = [15_090, 15_021, 15_020];
const owners = ["--uid-owner 1337", "--gid-owner 1337"];

/** Input of `iptables-restore --noflush` (`ip6tables-restore` for IPv6). */
export function captureRules({ mode = "REDIRECT", excludeInboundPorts = [], excludeOutboundPorts = [] }: CaptureOptions, family: 4 | 6 = 4): string {
	const loopback = family === 4 ? "127.0.0.1/32" : "::1/128";
	const own = family === 4 ? "127.0.0.6/32" : "::6/128";
	const excluded = [...proxyPorts, ...excludeInboundPorts];
	const tproxy = mode === "TPROXY" ? tproxyTable(excluded, loopback, own) : [];
	const inbound =
		mode === "TPROXY" ? [] : ["-A PREROUTING -p tcp -j ISTIO_INBOUND", ...returns("ISTIO_INBOUND", excluded), "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT"];
	return [
		...tproxy,
		"*nat",
		...["ISTIO_INBOUND", "ISTIO_REDIRECT", "ISTIO_IN_REDIRECT", "ISTIO_OUTPUT"].map((chain) => `-N ${chain}`),
		"-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN",
		"-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001",
		"-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006",
		...inbound,
		"-A OUTPUT -j ISTIO_OUTPUT",
		...returns("ISTIO_OUTPUT", excludeOutboundPorts),
		`-A ISTIO_OUTPUT -o lo -s ${own} -j RETURN`,
		...owners.flatMap((owner) => [
			`-A ISTIO_OUTPUT -o lo ! -d ${loopback} -p tcp ! --dport 15008 -m owner ${owner} -j ISTIO_IN_REDIRECT`,
			`-A ISTIO_OUTPUT -o lo -m owner ! ${owner} -j RETURN`,
			`-A ISTIO_OUTPUT -m owner ${owner} -j RETURN`,
		]),
		`-A ISTIO_OUTPUT -d ${loopback} -j RETURN`,
		"-A ISTIO_OUTPUT -j ISTIO_REDIRECT",
		"COMMIT",
		"",
	].join("\n");
}

function returns(chain: string, ports: readonly number[]): readonly string[] {
	return ports.map((port) => `-A ${chain} -p tcp --dport ${port} -j RETURN`);
}

function tproxyTable(excluded: readonly number[], loopback: string, own: string): readonly string[] {
	return [
		"*mangle",
		...["ISTIO_DIVERT", "ISTIO_TPROXY", "ISTIO_INBOUND"].map((chain) => `-N ${chain}`),
		"-A ISTIO_DIVERT -j MARK --set-mark 1337",
		"-A ISTIO_DIVERT -j ACCEPT",
		`-A ISTIO_TPROXY ! -d ${loopback} -p tcp -j TPROXY --tproxy-mark 1337/0xffffffff --on-port 15006`,
		"-A PREROUTING -p tcp -j ISTIO_INBOUND",
		...returns("ISTIO_INBOUND", excluded),
		"-A ISTIO_INBOUND -p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT",
		"-A ISTIO_INBOUND -p tcp -j ISTIO_TPROXY",
		"-A PREROUTING -p tcp -m mark --mark 1337 -j CONNMARK --save-mark",
		"-A OUTPUT -p tcp -o lo -m mark --mark 1337 -j RETURN",
		...owners.map((owner) => `-A OUTPUT ! -d ${loopback} -p tcp -o lo -m owner ${owner} -j MARK --set-mark 1338`),
		"-A OUTPUT -p tcp -m connmark --mark 1337 -j CONNMARK --restore-mark",
		"-I ISTIO_INBOUND 1 -p tcp -m mark --mark 1337 -j RETURN",
		`-I ISTIO_INBOUND 2 -p tcp -s ${own} -i lo -j RETURN`,
		"-I ISTIO_INBOUND 3 -p tcp -i lo -m mark ! --mark 1338 -j RETURN",
		"COMMIT",
	];
}
