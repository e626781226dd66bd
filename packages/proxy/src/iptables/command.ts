import { readFileSync } from "node:fs";
import { isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import { createLogger, type Logger, type LogLevel, logLevels } from "@weft/runtime";
import { applyRules, type ApplyOptions, IptablesError } from "./apply.ts";
import { buildCaptureRules } from "./build-rules.ts";
import type { CaptureConfig } from "./capture-config.ts";
import { createCommandRunner, iptablesPrograms } from "./commands.ts";
import { decodeCaptureConfig, type Machine } from "./decode-config.ts";
import { type FlagName, type FlagValues, iptablesHelp, parseIptablesFlags } from "./flags.ts";
import { renderCleanup, unnamedRules } from "./installed-rules.ts";
import { applyRoutes, removeRoutes } from "./routes.ts";
import { ownChains, renderRestore, type Rule, type RuleSet } from "./rule-set.ts";
import { validateCapture } from "./validate-capture.ts";

type Variables = Readonly<Record<string, string | undefined>>;

const notImplemented: Readonly<Partial<Record<FlagName, string>>> = {
	"native-nftables": "rules are applied with iptables; run without it",
	"cni-mode": "it belongs to the CNI plugin, which Weft does not have",
	"iptables-trace-logging": "use `iptables-save -c` or nflog rules of your own",
};

/** As Istio's: its CNI's repair controller looks for it. */
const validationExitCode = 126;

/** `weft-proxy iptables …`, also `istio-iptables`. Resolves to the exit code: 0 done, 1 it could not be done, 2 wrong usage. */
export async function runIptables(args: readonly string[], variables: Variables): Promise<number> {
	const parsed = parseIptablesFlags(args, variables);
	if (parsed.kind === "error") return fail(2, [parsed.message, "See weft-proxy iptables --help."]);
	const { values } = parsed;
	if (values.help === "true") {
		process.stdout.write(iptablesHelp());
		return 0;
	}
	const missing = (Object.keys(notImplemented) as FlagName[]).filter((flag) => values[flag] === "true");
	if (missing.length > 0)
		return fail(
			2,
			missing.map((flag) => `--${flag} is not implemented: ${notImplemented[flag]}`),
		);
	const binary = values["force-iptables-binary"] || undefined;
	if (binary !== undefined && binary !== "legacy" && binary !== "nft") return fail(2, [`--force-iptables-binary: "${binary}" is neither legacy nor nft`]);
	const { config, errors, warnings } = decodeCaptureConfig(values, variables, thisMachine());
	if (errors.length > 0) return fail(1, errors);
	const log = createLogger({ level: logLevel(values.log_output_level), format: values.log_as_json === "true" ? "json" : "text" });
	for (const warning of [...parsed.warnings, ...warnings]) log.warn(warning);
	const rules = buildCaptureRules(config);
	if (values["dry-run"] === "true") {
		if (values["skip-rule-apply"] !== "true") process.stdout.write(renderDryRun(rules, values["cleanup-only"] === "true"));
		return 0;
	}
	try {
		if (values["skip-rule-apply"] !== "true") apply(config, rules, values, binary, log);
	} catch (error) {
		if (error instanceof IptablesError) return fail(1, [error.message]);
		throw error;
	}
	return values["run-validation"] === "true" ? validate(config, values) : 0;
}

async function validate(config: CaptureConfig, values: FlagValues): Promise<number> {
	const [address] = podAddresses();
	const port = Number(values["iptables-probe-port"] ?? "15002");
	const timeoutMs = durationMs(values["probe-timeout"] ?? "5s");
	if (!Number.isInteger(port) || port < 1 || port > 65535) return fail(1, [`--iptables-probe-port: "${values["iptables-probe-port"]}" is no port`]);
	if (timeoutMs === undefined) return fail(1, [`--probe-timeout: "${values["probe-timeout"]}" is no duration; write one like 5s`]);
	if (address === undefined) return fail(validationExitCode, ["this pod has no address but loopback"]);
	const problem = await validateCapture(config, { address, port, timeoutMs });
	if (problem === undefined) return 0;
	return fail(validationExitCode, [
		`traffic is not captured: ${problem}`,
		"With a CNI plugin, a pod may start before the plugin is ready on its node: delete the pod, so that it starts again.",
	]);
}

/** 500ms, 5s or 1m. */
function durationMs(text: string): number | undefined {
	const [, amount, unit] = /^(\d{1,6})(ms|s|m)$/.exec(text) ?? [];
	return amount === undefined ? undefined : Number(amount) * (unit === "ms" ? 1 : unit === "s" ? 1_000 : 60_000);
}

function podAddresses(): readonly string[] {
	return Object.values(networkInterfaces())
		.flatMap((list) => list ?? [])
		.filter(({ internal, address }) => !internal && !address.startsWith("fe80:") && !address.startsWith("169.254."))
		.map(({ address }) => address);
}

function apply(config: CaptureConfig, rules: RuleSet, values: FlagValues, binary: "legacy" | "nft" | undefined, log: Logger): void {
	const networkNamespace = values["network-namespace"];
	const run = createCommandRunner(networkNamespace ? { networkNamespace } : {});
	const options: ApplyOptions = {
		cleanupOnly: values["cleanup-only"] === "true",
		reconcile: values.reconcile === "true",
		forceApply: values["force-apply"] === "true",
	};
	const families =
		config.ipv6 || (options.cleanupOnly && run(iptablesPrograms("v6", binary).save, []).status === 0) ? (["v4", "v6"] as const) : (["v4"] as const);
	for (const family of families) {
		const outcome = applyRules(rules[family], iptablesPrograms(family, binary), options, run);
		log.info("iptables rules", { family, outcome, rules: rules[family].length });
	}
	if (options.cleanupOnly) removeRoutes(config, run);
	else applyRoutes(config, run);
}

/** Two sections, each under the program that would read it; IPv6's is empty where IPv6 is off. */
export function renderDryRun({ v4, v6 }: RuleSet, cleanupOnly: boolean): string {
	const render = (rules: readonly Rule[]) => (cleanupOnly ? renderCleanup(asInstalled(rules), unnamedRules(rules)) : renderRestore(rules));
	return `iptables-restore --noflush\n${render(v4)}\nip6tables-restore --noflush\n${render(v6)}`;
}

/** The rules as iptables-save would show them, for a cleanup that asks nothing of the system. */
function asInstalled(rules: readonly Rule[]) {
	const lines = (table: string) =>
		rules
			.filter((rule) => rule.table === table && (rule.words.at(-1) ?? "").startsWith("ISTIO_"))
			.map(({ chain, words }) => `-A ${chain} ${words.slice(words[0] === "-I" ? 3 : 2).join(" ")}`);
	return new Map([...ownChains(rules)].map(([table, chains]) => [table, { chains, rules: lines(table) }]));
}

function thisMachine(): Machine {
	return {
		nameservers: () =>
			readFileSync("/etc/resolv.conf", "utf8")
				.split("\n")
				.flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? []),
		isIPv6Pod: isIPv6(podAddresses()[0] ?? ""),
		uidOf: (name) => {
			try {
				return readFileSync("/etc/passwd", "utf8")
					.split("\n")
					.map((line) => line.split(":"))
					.find(([user]) => user === name)?.[2];
			} catch {
				// An image without users has no file; the default stands.
				return undefined;
			}
		},
	};
}

/** Istio's form: `default:info,other:debug`; only the default scope is read. */
function logLevel(text: string | undefined): LogLevel {
	const entries = (text ?? "").split(",").map((entry) => entry.split(":"));
	const name = entries.find(([scope, value]) => value === undefined || scope === "default" || scope === "all")?.at(-1);
	return logLevels.find((level) => level === name) ?? "info";
}

function fail(code: number, messages: readonly string[]): number {
	for (const message of messages) process.stderr.write(`weft-proxy iptables: ${message}\n`);
	return code;
}
