import { statSync } from "node:fs";
import { type Diagnostic, diagnosticCodes, formatDiagnostic } from "@weft/api";
import { renderAnalyzers, renderRun } from "../analyze/analyzer-list.ts";
import { findingsOf } from "../analyze/findings.ts";
import { type LiveMeshOptions, readLiveMesh } from "../analyze/live-mesh.ts";
import { documentationUrl, isAtLeast, type Level, type Message, messagesOf, type Suppression } from "../analyze/messages.ts";
import { objectsOfFiles } from "../analyze/objects.ts";
import { type Format, renderMessages } from "../analyze/render.ts";
import { readSources, type SourceFile } from "../local/mesh-client.ts";
import { CommandError } from "../output/errors.ts";
import { readMeshConfig } from "./mesh-config.ts";

export interface AnalyzeOptions extends LiveMeshOptions {
	readonly useKube: boolean;
	readonly output: Format;
	readonly outputThreshold: Level;
	readonly failureThreshold: Level;
	readonly listAnalyzers?: boolean;
	readonly meshConfigFile?: string;
	readonly recursive?: boolean;
	readonly suppress?: readonly string[];
	readonly ignoreUnknown?: boolean;
	readonly verbose?: boolean;
	readonly color?: boolean;
}

/** Statuses of istioctl's, beside 1 for what else fails. */
const foundIssues = 79;
const unparsedFiles = 65;

/** What is odd about a mesh as it would be with these files in it, or about the files alone. */
export async function analyzeCommand(names: readonly string[], options: AnalyzeOptions): Promise<void> {
	if (options.listAnalyzers) return print(renderAnalyzers());
	if (options.recursive) warn("-R says nothing: folders are always read with what is below them");
	const suppressions = (options.suppress ?? []).map(parseSuppression);
	const sources = readSources(names.filter(isReadable));
	const mesh = options.useKube ? await readLiveMesh(options) : undefined;
	const namespace = options.namespace ?? mesh?.namespace ?? "default";
	const files = objectsOfFiles(sources, namespace);
	const meshConfig = options.meshConfigFile === undefined ? (options.useKube ? mesh?.meshConfig : {}) : readMeshConfig(options.meshConfigFile);
	const findings = findingsOf({ files, ...(mesh && { mesh: mesh.objects }), ...(meshConfig && { meshConfig }) });
	const said = findings.filter(({ code }) => !mesh?.pointless?.has(code));
	const messages = messagesOf(said, { ...(!options.allNamespaces && { namespace }), suppressions });
	const target = options.allNamespaces ? "all namespaces" : `namespace: ${namespace}`;
	tellUnread([...files.unparsed, ...(mesh?.objects.unparsed ?? [])], files.ofOtherKinds, options);
	if (options.verbose) warn(`Analyzed resources in ${target}\n${renderRun(mesh !== undefined)}`);
	report(messages, { sources, unparsed: files.unparsed, target, options });
}

interface Report {
	readonly sources: readonly SourceFile[];
	readonly unparsed: readonly Diagnostic[];
	readonly target: string;
	readonly options: AnalyzeOptions;
}

/** Prints, and throws with the status where there is something to fail for. */
function report(messages: readonly Message[], { sources, unparsed, target, options }: Report): void {
	const shown = messages.filter(({ level }) => isAtLeast(level, options.outputThreshold));
	const isColored = options.color ?? (process.stdout.isTTY && process.env["TERM"] !== "dumb");
	print(renderMessages(shown, options.output, isColored));
	if (shown.length === 0) warn(renderNothingFound(sources, unparsed, target));
	if (messages.some(({ level }) => isAtLeast(level, options.failureThreshold))) {
		warn(`Error: Analyzers found issues when analyzing ${target}.\nSee ${documentationUrl} for more information about causes and resolutions.`);
		throw new CommandError("", foundIssues);
	}
	if (unparsed.length > 0 && !options.ignoreUnknown) {
		warn("Error: Some files couldn't be parsed.");
		throw new CommandError("", unparsedFiles);
	}
}

/** `istioctl analyze *` names whatever lies about; folders are searched for what can be read. */
function isReadable(name: string): boolean {
	if (name === "-" || /\.(ya?ml|json)$/.test(name) || !(statSync(name, { throwIfNoEntry: false })?.isFile() ?? false)) return true;
	warn(`Skipping file ${name}, recognized file extensions are: [.json .yaml .yml]`);
	return false;
}

const knownCodes: ReadonlySet<string> = new Set(Object.values(diagnosticCodes));

function parseSuppression(text: string): Suppression {
	const [code = "", pattern, ...more] = text.split("=");
	if (pattern === undefined || more.length > 0) throw new CommandError(`${text} is not a valid suppression value: write CODE=KIND NAME.NAMESPACE`);
	if (!knownCodes.has(code)) warn(`Warning: Supplied message code '${code}' is an unknown message code and will not have any effect.`);
	return { code, pattern };
}

/** What is silently left out could be what was meant. */
function tellUnread(unparsed: readonly Diagnostic[], ofOtherKinds: readonly Diagnostic[], { verbose, ignoreUnknown }: AnalyzeOptions): void {
	if (unparsed.length > 0) warn(["Error(s) adding files:", ...unparsed.map((d) => `\t* ${formatDiagnostic(d)}`)].join("\n"));
	const isTold = ({ severity }: Diagnostic) => verbose || (severity === "error" && !ignoreUnknown);
	// A hundred objects of somebody else's kinds are no reason to list all known kinds a hundred times.
	const shorten = (d: Diagnostic) => ({ ...d, message: d.message.replace(/; known kinds are .*/, "") });
	for (const d of ofOtherKinds.filter(isTold)) warn(`Not analyzed: ${formatDiagnostic(shorten(d))}`);
}

function renderNothingFound(sources: readonly SourceFile[], unparsed: readonly Diagnostic[], target: string): string {
	const broken = new Set(unparsed.map(({ file }) => file)).size;
	if (broken > 0) return `No validation issues found when analyzing ${target} (but ${broken} ${broken === 1 ? "file" : "files"} could not be parsed).`;
	const files = sources.map(({ file }) => file);
	if (files.length > 1) return `\u2714 No validation issues found when analyzing:\n${files.map((file) => `  - ${file}`).join("\n")}`;
	return `\u2714 No validation issues found when analyzing ${files[0] ?? target}.`;
}

const print = (text: string): void => void process.stdout.write(text);
const warn = (text: string): void => void process.stderr.write(`${text}\n`);
