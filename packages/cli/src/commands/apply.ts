import { hasErrors, isKind, kindInfo, objectKindOf } from "@weft/api";
import type { ApplyResult } from "@weft/control-plane";
import { connectMesh, readSources } from "../local/mesh-client.ts";
import { CommandError, printDiagnostics } from "../output/errors.ts";
import { type OutputFormat, renderValue } from "../output/format.ts";
import { pathsOf, type StateOptions } from "./state-options.ts";

export interface ApplyOptions extends StateOptions {
	readonly filename: readonly string[];
	readonly wait: boolean;
	readonly dryRun?: boolean;
	readonly timeout: string;
	readonly output: OutputFormat;
}

/** As kubectl writes it: of two kinds of one name, the second with its group (`gateway.gateway.networking.k8s.io/edge created`). */
function resourceName(kind: string): string {
	const name = isKind(kind) && objectKindOf(kind) !== kind ? `${objectKindOf(kind)}.${kindInfo(kind).group}` : kind;
	return name.toLowerCase();
}

export function renderResult(result: ApplyResult, dryRun: boolean): string {
	const lines = result.objects.map((o) => `${resourceName(o.kind)}/${o.name} ${dryRun ? "valid (dry run)" : o.action}`);
	if (result.inForce !== undefined && result.pending?.length === 0) {
		const rest = result.unaffected ? `, ${result.unaffected} not affected` : "";
		lines.push(`in force at ${result.inForce} ${result.inForce === 1 ? "proxy" : "proxies"}${rest} after ${result.ms} ms`);
	}
	return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

/** Refusals and proxies that did not answer make the command fail: the configuration is stored, but not everywhere in force. */
export function failureOf(result: ApplyResult): string | undefined {
	const refused = (result.refusals ?? []).map((r) => `${r.proxy} refused ${r.type.toUpperCase()} ${r.resources.slice(0, 5).join(", ")}: ${r.message}`);
	const pending = (result.pending ?? []).length > 0 ? [`not in force yet at: ${result.pending?.join(", ")}`] : [];
	const all = [...refused, ...pending];
	return all.length === 0 ? undefined : all.join("\n");
}

export async function applyCommand(options: ApplyOptions): Promise<void> {
	const timeoutMs = Number(options.timeout) * 1000;
	if (!(timeoutMs > 0)) throw new CommandError(`--timeout: "${options.timeout}" is not a number of seconds`, 2);
	const dryRun = options.dryRun ?? false;
	const result = await connectMesh(pathsOf(options)).apply(readSources(options.filename), { wait: options.wait, dryRun, timeoutMs });
	printDiagnostics(result.diagnostics);
	if (hasErrors(result.diagnostics)) throw new CommandError("nothing was applied");
	process.stdout.write(options.output === "table" ? renderResult(result, dryRun) : renderValue(result, options.output));
	const failure = failureOf(result);
	if (failure !== undefined) throw new CommandError(failure);
}
