import { IptablesError } from "./apply.ts";
import { inboundPassthroughV6 } from "./build-rules.ts";
import type { CaptureConfig } from "./capture-config.ts";
import type { RunCommand } from "./commands.ts";

/** What iptables cannot say: where marked packets go, and IPv6's second loopback address. Running twice changes nothing. */
export function applyRoutes(config: CaptureConfig, run: RunCommand): void {
	if (config.ipv6) must(run, ["-6", "addr", "replace", inboundPassthroughV6, "dev", "lo"]);
	if (!usesTproxy(config)) return;
	for (const family of families(config)) {
		const { stdout } = run("ip", [family, "rule", "show", "fwmark", config.tproxyMark]);
		const isThere = stdout.split("\n").some((line) => line.includes(` lookup ${config.tproxyRouteTable}`));
		if (!isThere) must(run, [family, "rule", "add", "fwmark", config.tproxyMark, "lookup", config.tproxyRouteTable]);
		must(run, [family, "route", "replace", "local", "default", "dev", "lo", "table", config.tproxyRouteTable]);
	}
}

/** Undoes `applyRoutes`; what is not there is no error. */
export function removeRoutes(config: CaptureConfig, run: RunCommand): void {
	run("ip", ["-6", "addr", "del", inboundPassthroughV6, "dev", "lo"]);
	for (const family of ["-4", "-6"]) {
		run("ip", [family, "rule", "del", "fwmark", config.tproxyMark, "lookup", config.tproxyRouteTable]);
		run("ip", [family, "route", "del", "local", "default", "dev", "lo", "table", config.tproxyRouteTable]);
	}
}

function usesTproxy({ interceptionMode, inboundPorts }: CaptureConfig): boolean {
	return interceptionMode === "TPROXY" && (inboundPorts.kind === "all" || inboundPorts.ports.length > 0);
}

const families = ({ ipv6 }: CaptureConfig): readonly string[] => (ipv6 ? ["-4", "-6"] : ["-4"]);

function must(run: RunCommand, args: readonly string[]): void {
	const { status, stderr } = run("ip", args);
	if (status !== 0) throw new IptablesError(`ip ${args.join(" ")} failed with status ${status}: ${stderr.trim()}`);
}
