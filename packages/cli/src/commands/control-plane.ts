import { readFileSync } from "node:fs";
import { parseDurationMs } from "@weft/api";
import { decodeJwtRule, type JwtRule } from "@weft/citadel";
import { startControlPlane } from "@weft/control-plane";
import { createLogger, type LogLevel, systemClock } from "@weft/runtime";
import { CommandError } from "../output/errors.ts";
import { readMeshConfig, readMeshNetworks } from "./mesh-config.ts";

export interface ControlPlaneFlags {
	readonly files: string;
	readonly grpc?: string;
	readonly http: string;
	readonly https?: string;
	readonly secureGrpc?: string;
	readonly caDir?: string;
	readonly tokenKey?: string;
	readonly meshConfig?: string;
	readonly meshNetworks?: string;
	readonly apiTokenFile?: string;
	readonly apiDir?: string;
	readonly certificateTtl?: string;
	readonly logLevel: LogLevel;
	readonly logAsJson?: boolean;
}

export async function controlPlaneCommand(flags: ControlPlaneFlags): Promise<void> {
	const stopping = new AbortController();
	for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopping.abort());
	const controlPlane = await startControlPlane({
		files: flags.files,
		meshConfig: readMeshConfig(flags.meshConfig),
		meshNetworks: readMeshNetworks(flags.meshNetworks),
		plaintextGrpc: flags.grpc,
		secure:
			flags.secureGrpc === undefined
				? undefined
				: {
						address: flags.secureGrpc,
						caDirectory: needed(flags.caDir, "--ca-dir"),
						tokenKeyFile: flags.tokenKey ?? "",
						leafTtlMs: durationOf("--certificate-ttl", flags.certificateTtl),
						...jwtRuleOf(process.env["JWT_RULE"]),
					},
		http: flags.http,
		https: flags.https,
		apiToken: flags.apiTokenFile === undefined ? undefined : readFileSync(flags.apiTokenFile, "utf8").trim(),
		apiDirectory: flags.apiDir,
		// Istio's own variables.
		workloadGraceMs: durationOf("PILOT_WORKLOAD_ENTRY_GRACE_PERIOD", process.env["PILOT_WORKLOAD_ENTRY_GRACE_PERIOD"]),
		debounceQuietMs: durationOf("PILOT_DEBOUNCE_AFTER", process.env["PILOT_DEBOUNCE_AFTER"]),
		debounceCapMs: durationOf("PILOT_DEBOUNCE_MAX", process.env["PILOT_DEBOUNCE_MAX"]),
		clock: systemClock,
		logger: createLogger({ level: flags.logLevel, format: flags.logAsJson ? "json" : "text" }),
		signal: stopping.signal,
	}).catch((error: Error) => {
		stopping.abort();
		throw new CommandError(error.message);
	});
	await controlPlane.closed;
}

function needed(value: string | undefined, flag: string): string {
	if (value === undefined) throw new CommandError(`--secure-grpc needs ${flag}`, 2);
	return value;
}

/** istiod's own variable. */
function jwtRuleOf(text = ""): { readonly jwtRule?: JwtRule } {
	if (text === "") return {};
	const rule = decodeJwtRule(text, "istio-ca");
	if (!rule.ok) throw new CommandError(`JWT_RULE: ${rule.reason}`, 2);
	return { jwtRule: rule.value };
}

function durationOf(name: string, text: string | undefined): number | undefined {
	if (text === undefined) return undefined;
	const ms = parseDurationMs(text);
	if (ms === undefined || ms <= 0) throw new CommandError(`${name}: "${text}" is not a duration such as 24h or 100ms`, 2);
	return ms;
}
