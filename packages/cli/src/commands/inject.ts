import { readFileSync, writeFileSync } from "node:fs";
import { type Diagnostic, hasErrors, type MeshConfig } from "@weft/api";
import { decodeMeshConfig, parseDocuments } from "@weft/galley";
import { decodeInjectorSettings, injectObject, type InjectorSettings, type Notice, type OfflineResult, uninjectObject } from "@weft/injector";
import { readSources } from "../local/mesh-client.ts";
import { CommandError, printDiagnostics } from "../output/errors.ts";
import { renderKubeYaml } from "../output/kube-yaml.ts";

export interface UninjectOptions {
	readonly filename: readonly string[];
	/** yaml, json, or a file to write YAML to. */
	readonly output: string;
}
export interface InjectOptions extends UninjectOptions {
	readonly namespace: string;
	readonly meshConfigFile?: string;
	readonly injectConfigFile?: string;
	readonly valuesFile?: string;
	readonly revision: string;
	readonly nativeSidecars?: boolean;
}

/** What the webhook would make of these objects, without a cluster. */
export function injectCommand(options: InjectOptions): void {
	const settings = readSettings(options);
	const facts = { namespace: options.namespace, hasNativeSidecars: options.nativeSidecars === true };
	change(options, (object) => injectObject(object, settings, facts));
}

/** Takes back what an injection, of `weft inject` or of the webhook, added. */
export function uninjectCommand(options: UninjectOptions): void {
	change(options, uninjectObject);
}

type Change = (object: Parameters<typeof injectObject>[0]) => OfflineResult;
interface Changed {
	readonly object: unknown;
	/** The text of an object that stays as it is. */
	readonly text: string | undefined;
}

/** Nothing is written unless all of it is right: the output goes on to kubectl. */
function change({ filename, output }: UninjectOptions, of: Change): void {
	const diagnostics: Diagnostic[] = [];
	const notices: string[] = [];
	let failed = false;
	const results = readSources(filename).flatMap(({ file, text }) =>
		parseDocuments(text, file, diagnostics).map(({ value, location, text: written }): Changed => {
			if (!isObject(value)) return { object: value, text: written };
			const result = of(value);
			for (const notice of result.notices) {
				failed ||= notice.kind === "error";
				notices.push(renderNotice(notice, file, location.position?.(notice.path, false)));
			}
			return { object: result.object, text: result.object === value ? written : undefined };
		}),
	);
	printDiagnostics(diagnostics);
	for (const notice of notices) process.stderr.write(`${notice}\n`);
	if (failed || hasErrors(diagnostics)) throw new CommandError("nothing is written");
	if (output === "json") process.stdout.write(renderJson(results));
	else if (output === "yaml") process.stdout.write(renderYaml(results));
	else writeOut(output, renderYaml(results));
}

function renderNotice({ kind, subject, message }: Notice, file: string, at: { readonly line: number; readonly column: number } | undefined): string {
	return `${at ? `${file}:${at.line}:${at.column}` : file}: ${kind} ${subject}: ${message.trimEnd()}`;
}

function renderYaml(results: readonly Changed[]): string {
	return results.map(({ object, text }) => `${text?.trim() ?? renderKubeYaml(object).trim()}\n---\n`).join("");
}

/** One object as itself, several as a List, as kubectl prints them. */
function renderJson(results: readonly Changed[]): string {
	const objects = results.map(({ object }) => object);
	const shown = objects.length === 1 ? objects[0] : { apiVersion: "v1", kind: "List", items: objects };
	return `${JSON.stringify(shown, null, 2)}\n`;
}

function isObject(value: unknown): value is Parameters<typeof injectObject>[0] {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readSettings({ meshConfigFile, injectConfigFile, valuesFile, revision }: InjectOptions): InjectorSettings {
	const { value, diagnostics } = decodeInjectorSettings({
		valuesJson: valuesFile === undefined ? "" : readText(valuesFile),
		configYaml: injectConfigFile === undefined ? "" : readText(injectConfigFile),
		meshConfig: readMeshConfig(meshConfigFile),
		revision,
	});
	const files: Readonly<Record<string, string | undefined>> = { values: valuesFile, config: injectConfigFile };
	printDiagnostics(diagnostics.map(({ kind = "", ...rest }) => ({ ...rest, ...(files[kind] !== undefined && { file: files[kind] }) })));
	if (hasErrors(diagnostics)) throw new CommandError("the injector's settings are refused");
	return value;
}

function readMeshConfig(file: string | undefined): MeshConfig {
	if (file === undefined) return {};
	const { value, diagnostics } = decodeMeshConfig(readText(file), file, { injectsPods: true });
	printDiagnostics(diagnostics);
	if (hasErrors(diagnostics)) throw new CommandError(`${file}: not a usable MeshConfig`);
	return value;
}

function readText(file: string): string {
	try {
		return readFileSync(file, "utf8");
	} catch (error) {
		throw new CommandError(`${file}: cannot be read: ${error instanceof Error ? error.message : String(error)}`);
	}
}

function writeOut(file: string, text: string): void {
	try {
		writeFileSync(file, text);
	} catch (error) {
		throw new CommandError(`${file}: cannot be written: ${error instanceof Error ? error.message : String(error)}`);
	}
}
