/** Flags of istio-iptables as its users write them; each may also come from the environment, a flag beats it. */
interface FlagSpec {
	readonly short?: string;
	readonly kind: "text" | "switch";
	readonly description: string;
	/** Further variables than the flag's own name in capitals; what is said later in the list counts. */
	readonly variables?: readonly string[];
	/** No variable stands for it. */
	readonly flagOnly?: true;
}

export const flagSpecs = {
	"envoy-port": { short: "p", kind: "text", flagOnly: true, description: "port that outbound TCP traffic is redirected to (default 15001)" },
	"inbound-capture-port": { short: "z", kind: "text", description: "port that inbound TCP traffic is redirected to (default 15006)" },
	"inbound-tunnel-port": { short: "e", kind: "text", description: "port of tunnelled inbound traffic, never redirected (default 15008)" },
	"proxy-uid": { short: "u", kind: "text", description: "users whose traffic is the proxy's own, comma-separated (default 1337)" },
	"proxy-gid": { short: "g", kind: "text", description: "groups whose traffic is the proxy's own (default: as --proxy-uid)" },
	"istio-inbound-interception-mode": { short: "m", kind: "text", description: "REDIRECT or TPROXY (default REDIRECT)" },
	"istio-inbound-ports": { short: "b", kind: "text", description: "inbound ports to redirect, comma-separated; * for all, empty for none" },
	"istio-local-exclude-ports": { short: "d", kind: "text", description: "inbound ports that are not redirected; only read with -b '*'" },
	"istio-exclude-interfaces": { short: "c", kind: "text", description: "network interfaces whose traffic is left alone" },
	"istio-service-cidr": { short: "i", kind: "text", description: "outbound IP ranges to redirect (CIDR); * for all, empty for none" },
	"istio-service-exclude-cidr": { short: "x", kind: "text", description: "outbound IP ranges that are not redirected" },
	"istio-outbound-ports": { short: "q", kind: "text", description: "outbound ports that are redirected whatever their address" },
	"istio-local-outbound-ports-exclude": { short: "o", kind: "text", description: "outbound ports that are not redirected" },
	"kube-virt-interfaces": { short: "k", kind: "text", description: "interfaces of virtual machines, whose incoming traffic counts as outbound" },
	"istio-inbound-tproxy-mark": { short: "t", kind: "text", description: "packet mark of TPROXY (default 1337)" },
	"istio-inbound-tproxy-route-table": { short: "r", kind: "text", description: "routing table of TPROXY (default 133)" },
	"dry-run": { short: "n", kind: "switch", description: "print what would be applied, change nothing" },
	"redirect-dns": { kind: "switch", description: "capture DNS questions", variables: ["ISTIO_META_DNS_CAPTURE"] },
	"capture-all-dns": { kind: "switch", description: "capture questions to any server, not only those of /etc/resolv.conf" },
	"dual-stack": { kind: "switch", description: "IPv4 and IPv6", variables: ["ISTIO_DUAL_STACK"] },
	"drop-invalid": { kind: "switch", description: "drop packets that belong to no connection", variables: ["INVALID_DROP"] },
	"skip-rule-apply": { kind: "switch", description: "check the flags and end" },
	"cleanup-only": { kind: "switch", description: "remove the rules" },
	reconcile: { kind: "switch", description: "replace rules of another configuration instead of failing" },
	"force-apply": { kind: "switch", description: "apply even when the rules are there already" },
	"network-namespace": { kind: "text", description: "path of the network namespace to work in (with nsenter)" },
	"force-iptables-binary": { kind: "text", description: "legacy or nft, instead of the system's default iptables" },
	log_output_level: { kind: "text", description: "as Istio's: [scope:]level, comma-separated; none, error, warn, info or debug" },
	log_as_json: { kind: "switch", description: "log as JSON" },
	"iptables-trace-logging": { kind: "switch", description: "not implemented" },
	"run-validation": { kind: "switch", description: "check that traffic is captured (by a CNI plugin); exit code 126 if not" },
	"iptables-probe-port": { kind: "text", description: "a port that nobody listens on, for --run-validation (default 15002)" },
	"probe-timeout": { kind: "text", description: "how long --run-validation waits (default 5s)" },
	"native-nftables": { kind: "switch", description: "not implemented" },
	"cni-mode": { kind: "switch", description: "not implemented" },
	help: { short: "h", kind: "switch", description: "print this" },
} as const satisfies Readonly<Record<string, FlagSpec>>;

export type FlagName = keyof typeof flagSpecs;

/** What was said, by flag or variable: text of text flags, "true" or "false" of switches. */
export type FlagValues = Readonly<Partial<Record<FlagName, string>>>;
export type ParsedFlags =
	| { readonly kind: "values"; readonly values: FlagValues; readonly warnings: readonly string[] }
	| { readonly kind: "error"; readonly message: string };

type Variables = Readonly<Record<string, string | undefined>>;
const specs: Readonly<Record<string, FlagSpec>> = flagSpecs;
const shorts = new Map(Object.entries(specs).flatMap(([name, spec]) => (spec.short === undefined ? [] : [[spec.short, name]])));

export function parseIptablesFlags(args: readonly string[], variables: Variables): ParsedFlags {
	const values: Record<string, string> = {};
	const warnings: string[] = [];
	for (const [name, spec] of Object.entries(specs)) {
		const value = fromEnvironment(name, spec, variables, warnings);
		if (value !== undefined) values[name] = value;
	}
	for (let i = 0; i < args.length; i++) {
		const arg = args[i] ?? "";
		const { name, value: inline } = splitFlag(arg);
		const spec = name !== undefined && Object.hasOwn(specs, name) ? specs[name] : undefined;
		if (name === undefined || spec === undefined)
			return { kind: "error", message: arg.startsWith("-") ? `unknown flag: ${arg}` : `unexpected argument "${arg}"` };
		if (spec.kind === "switch") {
			values[name] = inline ?? "true";
			continue;
		}
		const value = inline ?? args[++i];
		if (value === undefined) return { kind: "error", message: `flag needs an argument: ${arg}` };
		values[name] = value;
	}
	for (const [name, value] of Object.entries(values)) {
		if (specs[name]?.kind !== "switch") continue;
		const parsed = parseBool(value);
		if (parsed === undefined) return { kind: "error", message: `invalid value "${value}" for --${name}: write true or false` };
		values[name] = String(parsed);
	}
	return { kind: "values", values, warnings };
}

/** `--name`, `--name=value`, `-p`, `-p=value`, `-pvalue`; `-p=` alone has the value `=`, as in Go's pflag. */
function splitFlag(arg: string): { readonly name?: string; readonly value?: string } {
	if (arg.startsWith("--")) {
		const equals = arg.indexOf("=");
		return equals < 0 ? { name: arg.slice(2) } : { name: arg.slice(2, equals), value: arg.slice(equals + 1) };
	}
	if (!arg.startsWith("-")) return {};
	const name = shorts.get(arg.slice(1, 2));
	if (name === undefined) return {};
	const rest = arg.slice(2);
	return rest === "" ? { name } : { name, value: rest.startsWith("=") && rest !== "=" ? rest.slice(1) : rest };
}

/** The environment is the pod's, not istio-iptables' alone: a switch in it that is neither true nor false is left out, not refused. */
function fromEnvironment(name: string, spec: FlagSpec, variables: Variables, warnings: string[]): string | undefined {
	if (name === "help" || spec.flagOnly) return undefined;
	let found: string | undefined;
	for (const variable of [name.toUpperCase().replaceAll("-", "_"), ...(spec.variables ?? [])]) {
		const value = variables[variable];
		if (value === undefined || value === "") continue;
		if (spec.kind === "text" || parseBool(value) !== undefined) found = value;
		else warnings.push(`$${variable}: "${value}" is neither true nor false, so it is ignored`);
	}
	return found;
}

/** As Go's strconv.ParseBool, which Istio's components read switches with. */
function parseBool(text: string): boolean | undefined {
	if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
	return ["0", "f", "F", "false", "FALSE", "False"].includes(text) ? false : undefined;
}

export function iptablesHelp(): string {
	const lines = Object.entries(specs)
		.filter(([, { description }]) => description !== "not implemented")
		.map(([name, { short, kind, description }]) => {
			const flag = `${short === undefined ? "    " : `-${short}, `}--${name}${kind === "text" ? " VALUE" : ""}`;
			return `  ${flag.padEnd(52)}${description}`;
		});
	return `weft-proxy iptables (also istio-iptables): sends a pod's traffic through its sidecar, with iptables rules\n\n${lines.join("\n")}\n\nA flag other than -p may also be given as a variable: its name in capitals, with _ for -.\n`;
}
